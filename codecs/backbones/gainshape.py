"""A spectral encoder and decoder that see each band's level apart from the shape within it, as CELT does
(RFC 6716, https://www.rfc-editor.org/rfc/rfc6716).

What a network sees and gives is then of one scale whatever the loudness, and the way from spectrum to
spectrum is linear but for the levels: what it learns first is a lapped transform, the phases included.
"""

import torch
from torch import Tensor, nn

from vocable.codecs.backbones.conv import State, Stateful, refuse_state
from vocable.codecs.backbones.convnext import ConvNeXtBlock, init_weights
from vocable.codecs.backbones.istft import ISTFT, STFT
from vocable.codecs.backbones.lookahead import advance

FLOOR = 1e-6  # power of a bin: 16-bit silence
MAX_LEVEL = 6.0  # natural logarithm; a full-scale tone has 5, and exp must not overflow early in training


class GainShapeEncoder(Stateful):
    """Waveform (B, 1, T) to latents (B, latent_dim, T / stft_hop).

    The STFT's bins over the level of their band, and the levels' logarithms; `blocks` ConvNeXt blocks; and a
    LayerNorm without weights, which keeps the latent's scale while the codebooks learn.

    n_fft, stft_hop: in samples. bands: how many, each as wide as the next on the Bark scale.
    lookahead: whether frames see later ones; without it a frame is known with its hop's last sample.
    """

    causal = False
    takes_float32 = True

    def __init__(
        self,
        latent_dim: int = 128,
        dim: int = 384,
        sample_rate: int = 16000,
        n_fft: int = 640,
        stft_hop: int = 320,
        bands: int = 25,
        blocks: int = 5,
        lookahead: bool = True,
    ):
        super().__init__()
        self.hop_length = stft_hop
        self.stft = STFT(n_fft, stft_hop, causal=not lookahead)
        self.bands = Bands(n_fft, sample_rate, bands)
        self.inp = nn.Linear(n_fft + 2 + bands, dim)
        self.blocks = nn.Sequential(*(ConvNeXtBlock(dim, causal=not lookahead) for _ in range(blocks)))
        self.out = nn.Linear(dim, latent_dim)
        self.out_norm = nn.LayerNorm(latent_dim, elementwise_affine=False)
        self.apply(init_weights)
        nn.init.trunc_normal_(self.inp.weight, std=0.04)
        nn.init.orthogonal_(self.out.weight)

    def forward(self, wav: Tensor, state: State = None) -> tuple[Tensor, State]:
        """wav (B, 1, T), T a multiple of `hop_length`, to (B, D, N)."""
        refuse_state(state)
        if wav.shape[1] != 1:
            raise ValueError(f"wav has {wav.shape[1]} channels; accepted: 1")
        return self._latents(self.blocks(self._features(self.stft(wav.squeeze(1))))), None

    def _features(self, spec: Tensor) -> Tensor:
        spec = spec.transpose(1, 2)
        power = self.bands.means(spec.real.square() + spec.imag.square()) + FLOOR
        gain = self.bands.spread(power.rsqrt())
        features = torch.cat([spec.real * gain, spec.imag * gain, 0.5 * power.log()], -1)
        return self.inp(features.to(self.inp.weight.dtype))

    def _latents(self, x: Tensor) -> Tensor:
        return self.out_norm(self.out(x)).transpose(1, 2)


@advance.register
def _(layer: GainShapeEncoder, x: Tensor, state: State, final: bool) -> tuple[Tensor, State]:
    stft, blocks = state or [None] * 2
    spec, stft = advance(layer.stft, x.squeeze(1), stft, final)
    y, blocks = advance(layer.blocks, layer._features(spec), blocks, final)
    return layer._latents(y), [stft, blocks]


class GainShapeDecoder(Stateful):
    """Latents (B, latent_dim, N) to a waveform (B, 1, N * stft_hop): the mirrored encoder.

    lookahead: as the encoder's; without it a hop of the waveform is known with the frame after its own, whose
    window reaches into it.
    """

    causal = False

    def __init__(
        self,
        latent_dim: int = 128,
        dim: int = 384,
        sample_rate: int = 16000,
        n_fft: int = 640,
        stft_hop: int = 320,
        bands: int = 25,
        blocks: int = 7,
        lookahead: bool = True,
    ):
        super().__init__()
        self.hop_length = stft_hop
        self.bands = Bands(n_fft, sample_rate, bands)
        self.inp = nn.Linear(latent_dim, dim)
        self.blocks = nn.Sequential(*(ConvNeXtBlock(dim, causal=not lookahead) for _ in range(blocks)))
        self.out = nn.Linear(dim, n_fft + 2 + bands)
        self.istft = ISTFT(n_fft, stft_hop, "same" if lookahead else "causal")
        self.apply(init_weights)
        nn.init.orthogonal_(self.inp.weight)
        nn.init.trunc_normal_(self.out.weight, std=0.04)

    def forward(self, z: Tensor, state: State = None) -> tuple[Tensor, State]:
        """z (B, D, N) to (B, 1, N * hop_length)."""
        refuse_state(state)
        return self.istft(self._spectra(self.blocks(self.inp(z.transpose(1, 2))))).unsqueeze(1), None

    def _spectra(self, x: Tensor) -> Tensor:
        """x (B, N, dim) to (B, n_fft / 2 + 1, N), complex."""
        bins = len(self.bands.band_of_bin)
        real, imag, levels = self.out(x).float().split([bins, bins, self.bands.count], -1)
        gain = self.bands.spread(levels.clamp(max=MAX_LEVEL).exp())
        return torch.complex(real * gain, imag * gain).transpose(1, 2)


@advance.register
def _(layer: GainShapeDecoder, x: Tensor, state: State, final: bool) -> tuple[Tensor, State]:
    blocks, istft = state or [None] * 2
    y, blocks = advance(layer.blocks, layer.inp(x.transpose(1, 2)), blocks, final)
    wav, istft = advance(layer.istft, layer._spectra(y), istft, final)
    return wav.unsqueeze(1), [blocks, istft]


class Bands(nn.Module):
    """The bins of a spectrum (..., n_fft / 2 + 1) in bands (..., count) of one width on the Bark scale."""

    band_of_bin: Tensor

    def __init__(self, n_fft: int, sample_rate: int, count: int):
        super().__init__()
        self.count = count
        # a list, for a model may be built on the meta device
        frequencies = [sample_rate * k / n_fft for k in range(n_fft // 2 + 1)]
        # Traunmüller's formula (https://doi.org/10.1121/1.399849) but for an offset
        barks = [26.81 * frequency / (1960 + frequency) for frequency in frequencies]
        band = [min(int(bark / barks[-1] * count), count - 1) for bark in barks]
        if empty := count - len(set(band)):
            bins = len(band)
            raise ValueError(f"bands is {count}, of which {empty} have no bin of {bins}; accepted: fewer")
        self.register_buffer("band_of_bin", torch.tensor(band), persistent=False)

    def means(self, x: Tensor) -> Tensor:
        """x (..., bins) to its mean in each band, float32."""
        # made anew, as a buffer would follow the weights to half precision
        members = nn.functional.one_hot(self.band_of_bin, self.count).float()
        return x @ (members / members.sum(0))

    def spread(self, x: Tensor) -> Tensor:
        """x (..., count) to each bin's (..., bins)."""
        return x[..., self.band_of_bin]
