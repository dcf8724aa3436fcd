"""WavTokenizer's decoder: attention, ConvNeXt and an inverse STFT (https://arxiv.org/abs/2408.16532)."""

from torch import Tensor, nn

from vocable.codecs.backbones.conv import Conv1d, State, Stateful, refuse_state
from vocable.codecs.backbones.convnext import ConvNeXtBlock, init_weights
from vocable.codecs.backbones.istft import ISTFTHead
from vocable.codecs.backbones.pieces import Pieces, ways
from vocable.codecs.backbones.resnet import AttnBlock, ResnetBlock, group_norm
from vocable.codecs.backbones.windows import by_window

EPS = 1e-6  # of every LayerNorm


class WavTokenizerDecoder(Stateful):
    """Latents (B, latent_dim, N) to a waveform (B, 1, N * hop_length); each frame attends to all.

    dim: a multiple of 32. blocks: of ConvNeXt. A frame of the inverse STFT is four hops long.
    window: an attribute, frames beyond which a codec decodes in windows (see `windows`); None: never.
    """

    causal = False
    window: int | None = 3072  # 41 s at 75 frames a second

    def __init__(self, latent_dim: int = 512, dim: int = 768, blocks: int = 12, hop_length: int = 320):
        super().__init__()
        self.hop_length = hop_length
        self.inp = Conv1d(latent_dim, dim, 7)
        self.norm = nn.LayerNorm(dim, EPS)
        self.blocks = nn.Sequential(
            *(ConvNeXtBlock(dim, layer_scale=1 / blocks, eps=EPS) for _ in range(blocks))
        )
        self.out_norm = nn.LayerNorm(dim, EPS)
        self.apply(init_weights)
        self.context = nn.Sequential(
            ResnetBlock(dim),
            ResnetBlock(dim),
            AttnBlock(dim),
            ResnetBlock(dim),
            ResnetBlock(dim),
            group_norm(dim),
        )
        self.head = ISTFTHead(dim, 4 * hop_length, hop_length)

    def forward(self, z: Tensor, state: State = None) -> tuple[Tensor, State]:
        """z (B, D, N) to (B, 1, N * hop_length)."""
        refuse_state(state)
        x = self.context(self.inp(z)[0])
        x = self.blocks(self.norm(x.transpose(1, 2)))
        return self.head(self.out_norm(x)), None


@ways.register
def _(layer: WavTokenizerDecoder, pieces: Pieces) -> Pieces:
    return by_window(layer, pieces)
