"""X-codec2's decoder, and its layers between the speech model and the mix (https://arxiv.org/abs/2502.04128)."""

from torch import Tensor, nn
from torch.nn import functional as F

from vocable.codecs.backbones.conv import State, Stateful, refuse_state
from vocable.codecs.backbones.convnext import init_weights
from vocable.codecs.backbones.istft import ISTFTHead
from vocable.codecs.backbones.pieces import Pieces, ways
from vocable.codecs.backbones.resnet import ResnetBlock
from vocable.codecs.backbones.windows import by_window

EPS = 1e-6  # of every norm


class ReLUAdapter(nn.Module):
    """Four convolutions of 3 with a shortcut around the middle two; (B, D, N) both ways."""

    def __init__(self, dim: int):
        super().__init__()
        self.inp, self.out = (nn.Conv1d(dim, dim, 3, padding=1, bias=False) for _ in range(2))
        self.conv1, self.conv2 = (nn.Conv1d(dim, dim, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        # the published ReLU works in place: what it gives, not what it gets, takes the shortcut
        x = F.relu(self.inp(x))
        return self.out(x + self.conv2(F.relu(self.conv1(x))))


class TransformerBlock(nn.Module):
    """Attention of all frames to all, and a SiLU layer, each behind an RMSNorm; (B, N, D) both ways.

    Frames have no positions. The published code turns queries and keys by an angle that depends on the head
    instead of the position, which leaves their products as they were.
    """

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.attention_norm, self.mlp_norm = nn.RMSNorm(dim, EPS), nn.RMSNorm(dim, EPS)
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)
        self.widen = nn.Linear(dim, 4 * dim, bias=False)
        self.narrow = nn.Linear(4 * dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.attention_norm(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.narrow(F.silu(self.widen(self.mlp_norm(x))))


class XCodec2Decoder(Stateful):
    """Latents (B, quantizer_dim, N) to a waveform (B, 1, N * hop_length); each frame attends to all.

    dim: a multiple of 32 and of heads. layers: of the transformer. A frame of the inverse STFT is four hops.
    window: an attribute, frames beyond which a codec decodes in windows (see `windows`); None: never.
    """

    causal = False
    window: int | None = 2048  # 41 s

    def __init__(
        self,
        quantizer_dim: int = 2048,
        dim: int = 1024,
        layers: int = 12,
        heads: int = 16,
        hop_length: int = 320,
    ):
        super().__init__()
        self.hop_length = hop_length
        self.inp = nn.Linear(quantizer_dim, dim)
        self.embed = nn.Conv1d(dim, dim, 7, padding=3)
        self.before = nn.Sequential(ResnetBlock(dim), ResnetBlock(dim))
        self.transformer = nn.Sequential(*(TransformerBlock(dim, heads) for _ in range(layers)))
        self.after = nn.Sequential(ResnetBlock(dim), ResnetBlock(dim))
        self.norm = nn.LayerNorm(dim, EPS)
        self.head = ISTFTHead(dim, 4 * hop_length, hop_length)
        self.apply(init_weights)

    def forward(self, z: Tensor, state: State = None) -> tuple[Tensor, State]:
        """z (B, D, N) to (B, 1, N * hop_length)."""
        refuse_state(state)
        x = self.before(self.embed(self.inp(z.transpose(1, 2)).transpose(1, 2)))
        x = self.after(self.transformer(x.transpose(1, 2)).transpose(1, 2))
        return self.head(self.norm(x.transpose(1, 2))), None


@ways.register
def _(layer: XCodec2Decoder, pieces: Pieces) -> Pieces:
    return by_window(layer, pieces)
