"""A spectral encoder and decoder: ConvNeXt blocks between an STFT and an inverse STFT.

The blocks are Vocos's (https://arxiv.org/abs/2306.00814). Features run as (B, N, dim): the pointwise layers,
which are nearly all of the work, are then plain matrix products.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from vocable.codecs.backbones.conv import Conv1d, ConvTranspose1d, State, Stateful, refuse_state
from vocable.codecs.backbones.istft import STFT, ISTFTHead
from vocable.codecs.backbones.lookahead import advance, goes_on, within


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution of 7, LayerNorm, GELU layer `expansion` times as wide; (B, N, dim) both ways.

    layer_scale: initial weight of the block beside its input. eps: LayerNorm's; Vocos has 1e-6.
    causal: the convolution sees no later frames.
    """

    def __init__(
        self,
        dim: int,
        expansion: int = 3,
        layer_scale: float = 0.1,
        eps: float = 1e-5,
        causal: bool = False,
    ):
        super().__init__()
        self.reach = (6, 0) if causal else (3, 3)
        self.depthwise = nn.Conv1d(dim, dim, 7, padding=0 if causal else 3, groups=dim)
        self.norm = nn.LayerNorm(dim, eps)
        self.widen = nn.Linear(dim, expansion * dim)
        self.narrow = nn.Linear(expansion * dim, dim)
        self.scale = nn.Parameter(torch.full((dim,), layer_scale))

    def forward(self, x: Tensor) -> Tensor:
        y = x.transpose(1, 2)
        if not self.reach[1]:  # symmetrical padding is the convolution's own, which is faster
            y = nn.functional.pad(y, self.reach)
        y = self.depthwise(y).transpose(1, 2)
        y = self.narrow(nn.functional.gelu(self.widen(self.norm(y))))
        return x + self.scale * y


@advance.register
def _(layer: ConvNeXtBlock, x: Tensor, state: State, final: bool) -> tuple[Tensor, State]:
    """x (B, N, dim)."""
    return within(layer, layer.reach, x, state, final, dim=1)


class STFTEncoder(Stateful):
    """Waveform (B, 1, T) to latents (B, latent_dim, T / hop_length), not causal.

    Real and imaginary parts of the compressed spectrum, `fine_blocks` blocks at the STFT's own rate, a
    strided convolution, `blocks` blocks at the frame rate, and a LayerNorm without weights, which keeps the
    latent's scale while the codebooks learn.

    n_fft, stft_hop: of the STFT, in samples. stride: STFT frames in one latent frame.
    """

    causal = False
    takes_float32 = True
    compression = (
        0.3  # exponent of the magnitudes: near the ear's loudness, and of even scale for the network
    )

    def __init__(
        self,
        latent_dim: int = 128,
        dim: int = 384,
        n_fft: int = 640,
        stft_hop: int = 160,
        stride: int = 2,
        fine_blocks: int = 3,
        blocks: int = 5,
    ):
        super().__init__()
        self.hop_length = stft_hop * stride
        self.stft = STFT(n_fft, stft_hop)
        self.inp = nn.Linear(n_fft + 2, dim)
        self.inp_norm = nn.LayerNorm(dim)
        self.fine = nn.Sequential(*(ConvNeXtBlock(dim) for _ in range(fine_blocks)))
        self.down = Conv1d(dim, dim, 2 * stride, stride) if stride > 1 else Conv1d(dim, dim, 1)
        self.coarse = nn.Sequential(*(ConvNeXtBlock(dim) for _ in range(blocks)))
        self.norm = nn.LayerNorm(dim)
        self.out = nn.Linear(dim, latent_dim)
        self.out_norm = nn.LayerNorm(latent_dim, elementwise_affine=False)
        self.apply(init_weights)

    def forward(self, wav: Tensor, state: State = None) -> tuple[Tensor, State]:
        """wav (B, 1, T), T a multiple of `hop_length`, to (B, D, N)."""
        refuse_state(state)
        if wav.shape[1] != 1:
            raise ValueError(f"wav has {wav.shape[1]} channels; accepted: 1")
        x = self.fine(self._features(self.stft(wav.squeeze(1))))
        x = self.down(x.transpose(1, 2))[0].transpose(1, 2)
        return self._latents(self.coarse(x)), None

    def _features(self, spec: Tensor) -> Tensor:
        spec = spec * (spec.abs() + 1e-5) ** (self.compression - 1)
        x = torch.cat([spec.real, spec.imag], dim=1).transpose(1, 2).to(self.inp.weight.dtype)
        return self.inp_norm(self.inp(x))

    def _latents(self, x: Tensor) -> Tensor:
        return self.out_norm(self.out(self.norm(x))).transpose(1, 2)


@advance.register
def _(layer: STFTEncoder, x: Tensor, state: State, final: bool) -> tuple[Tensor, State]:
    stft, fine, down, coarse = state or [None] * 4
    spec, stft = advance(layer.stft, x.squeeze(1), stft, final)
    y, fine = advance(layer.fine, layer._features(spec), fine, final)
    y, down = advance(layer.down, y.transpose(1, 2), down, final)
    y, coarse = advance(layer.coarse, y.transpose(1, 2), coarse, final)
    return layer._latents(y), [stft, fine, down, coarse]


class ISTFTDecoder(Stateful):
    """Latents (B, latent_dim, N) to a waveform (B, 1, N * hop_length), not causal: `STFTEncoder` mirrored.

    head: builds the last layer from (dim, n_fft, stft_hop).
    """

    causal = False

    def __init__(
        self,
        latent_dim: int = 128,
        dim: int = 384,
        n_fft: int = 640,
        stft_hop: int = 160,
        stride: int = 2,
        fine_blocks: int = 3,
        blocks: int = 5,
        head: Callable[..., nn.Module] = ISTFTHead,
    ):
        super().__init__()
        self.hop_length = stft_hop * stride
        self.inp = Conv1d(latent_dim, dim, 7)
        self.inp_norm = nn.LayerNorm(dim)
        self.coarse = nn.Sequential(*(ConvNeXtBlock(dim) for _ in range(blocks)))
        self.up = ConvTranspose1d(dim, dim, 2 * stride, stride) if stride > 1 else Conv1d(dim, dim, 1)
        self.fine = nn.Sequential(*(ConvNeXtBlock(dim) for _ in range(fine_blocks)))
        self.norm = nn.LayerNorm(dim)
        self.apply(init_weights)
        self.head = head(dim=dim, n_fft=n_fft, hop_length=stft_hop)

    def forward(self, z: Tensor, state: State = None) -> tuple[Tensor, State]:
        """z (B, D, N) to (B, 1, N * hop_length)."""
        refuse_state(state)
        x = self.inp(z)[0].transpose(1, 2)
        x = self.coarse(self.inp_norm(x))
        x = self.up(x.transpose(1, 2))[0].transpose(1, 2)
        return self.head(self.norm(self.fine(x))), None

    @property
    def needs_whole(self) -> bool:
        """Whether it can't go on from piece to piece: for the sake of a head of one's own."""
        return not goes_on(self.head)


@advance.register
def _(layer: ISTFTDecoder, x: Tensor, state: State, final: bool) -> tuple[Tensor, State]:
    inp, coarse, up, fine, head = state or [None] * 5
    y, inp = advance(layer.inp, x, inp, final)
    y, coarse = advance(layer.coarse, layer.inp_norm(y.transpose(1, 2)), coarse, final)
    y, up = advance(layer.up, y.transpose(1, 2), up, final)
    y, fine = advance(layer.fine, y.transpose(1, 2), fine, final)
    y, head = advance(layer.head, layer.norm(y), head, final)
    return y, [inp, coarse, up, fine, head]


def init_weights(module: nn.Module) -> None:
    """Vocos's initialisation: weights from a truncated normal of 0.02, biases zero."""
    if isinstance(module, nn.Conv1d | nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
