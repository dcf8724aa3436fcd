"""Mimi's encoder and decoder (https://arxiv.org/abs/2410.00037): SEANet, a transformer and one more change
of rate, all of them causal."""

from torch import Tensor

from vocable.codecs.backbones.conv import Conv1d, ConvTranspose1d, State, Stateful
from vocable.codecs.backbones.seanet import SEANetDecoder, SEANetEncoder
from vocable.codecs.backbones.tiles import in_tiles
from vocable.codecs.backbones.transformer import CausalTransformer

TILE = 64  # SEANet frames at a time, 2.6 s: the activations of Mimi's widest layers are then 16 MB


class MimiEncoder(Stateful):
    """Waveform (B, C, T) to latents (B, D, ceil(T / hop_length)).

    stride: of the convolution after the transformer, which brings SEANet's frame rate down to the codec's.
    """

    def __init__(self, seanet: SEANetEncoder, transformer: CausalTransformer, stride: int = 2):
        super().__init__()
        dim = transformer.dim
        self.seanet = seanet
        self.transformer = transformer
        self.down = Conv1d(dim, dim, 2 * stride, stride, causal=True, bias=False, pad_mode="replicate")
        self.hop_length = seanet.hop_length * stride
        self.causal = seanet.causal

    def forward(self, wav: Tensor, state: State = None) -> tuple[Tensor, State]:
        """wav (B, C, T), T of 1 or more; where it is no multiple of `hop_length`, this chunk is the last."""
        seanet, transformer, down = state if state is not None else (None, None, None)
        x, seanet = in_tiles(self.seanet, wav, seanet, TILE * self.seanet.hop_length)
        x, transformer = self.transformer(x, transformer)
        z, down = self.down(x, down)
        return z, [seanet, transformer, down]


class MimiDecoder(Stateful):
    """Latents (B, D, N) to a waveform (B, C, N * hop_length).

    stride: of the transposed convolution before the transformer, which takes each channel for itself.
    """

    def __init__(self, transformer: CausalTransformer, seanet: SEANetDecoder, stride: int = 2):
        super().__init__()
        dim = transformer.dim
        self.up = ConvTranspose1d(dim, dim, 2 * stride, stride, groups=dim, causal=True, bias=False)
        self.transformer = transformer
        self.seanet = seanet
        self.hop_length = seanet.hop_length * stride
        self.causal = seanet.causal

    def forward(self, z: Tensor, state: State = None) -> tuple[Tensor, State]:
        """z (B, D, N) to (B, C, N * hop_length)."""
        up, transformer, seanet = state if state is not None else (None, None, None)
        x, up = self.up(z, up)
        x, transformer = self.transformer(x, transformer)
        wav, seanet = in_tiles(self.seanet, x, seanet, TILE)
        return wav, [up, transformer, seanet]
