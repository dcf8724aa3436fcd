"""Residual and attention blocks of latent-diffusion autoencoders, over time
(https://arxiv.org/abs/2112.10752), as WavTokenizer and X-codec2 use them; (B, C, N) both ways."""

from torch import Tensor, nn
from torch.nn import functional as F


def group_norm(dim: int) -> nn.GroupNorm:
    """GroupNorm of 32 groups; `dim` must be a multiple of 32."""
    return nn.GroupNorm(32, dim, eps=1e-6)


class ResnetBlock(nn.Module):
    """x + two times (GroupNorm, swish, convolution of 3), with dropout before the second convolution."""

    def __init__(self, dim: int, dropout: float = 0.1):
        super().__init__()
        self.norm1, self.norm2 = group_norm(dim), group_norm(dim)
        self.conv1 = nn.Conv1d(dim, dim, 3, padding=1)
        self.conv2 = nn.Conv1d(dim, dim, 3, padding=1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(self.dropout(F.silu(self.norm2(y))))


class AttnBlock(nn.Module):
    """x + attention of one head over all N frames; N is not limited, the work grows with its square."""

    def __init__(self, dim: int):
        super().__init__()
        self.norm = group_norm(dim)
        self.q, self.k, self.v, self.proj_out = (nn.Conv1d(dim, dim, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        q, k, v = (layer(y).transpose(1, 2) for layer in (self.q, self.k, self.v))
        attended = F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0]
        return x + self.proj_out(attended.transpose(1, 2))
