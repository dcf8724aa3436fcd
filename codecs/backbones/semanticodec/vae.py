"""The decoder of latent diffusion's autoencoder (https://arxiv.org/abs/2112.10752)."""

from torch import Tensor, nn
from torch.nn import functional as F

from vocable.codecs.backbones.semanticodec.resnet import GROUPS, ResBlock, Upsample

BLOCKS = 3  # a level


class VAEDecoder(nn.Module):
    """Latents (B, latent, H, W) to a log mel spectrogram (B, f H, f W), f = 2 ** (levels - 1).

    multipliers: of `channels`, level by level from the widest image to the smallest.
    """

    def __init__(
        self, channels: int = 128, multipliers: tuple[int, ...] = (1, 2, 4), latent: int = 8
    ) -> None:
        super().__init__()
        width = multipliers[-1] * channels
        self.expand = nn.Conv2d(latent, latent, 1)
        self.conv_in = nn.Conv2d(latent, width, 3, padding=1)
        self.middle = nn.Sequential(ResBlock(width, width), SelfAttention(width), ResBlock(width, width))
        levels = []
        for level, multiplier in reversed(list(enumerate(multipliers))):
            layers: list[nn.Module] = []
            for _ in range(BLOCKS):
                layers.append(ResBlock(width, multiplier * channels))
                width = multiplier * channels
            levels.append(nn.Sequential(*layers, Upsample(width) if level else nn.Identity()))
        self.up = nn.ModuleList(reversed(levels))
        self.norm_out = nn.GroupNorm(GROUPS, width, eps=1e-6)
        self.conv_out = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, latents: Tensor) -> Tensor:
        x = self.middle(self.conv_in(self.expand(latents)))
        for level in reversed(self.up):
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(x)))[:, 0]


class SelfAttention(nn.Module):
    """x + attention of one head over all places of (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, channels, eps=1e-6)
        self.q, self.k, self.v, self.out = (nn.Conv2d(channels, channels, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        q, k, v = (layer(y).flatten(2).transpose(1, 2)[:, None] for layer in (self.q, self.k, self.v))
        y = F.scaled_dot_product_attention(q, k, v)[:, 0].transpose(1, 2)
        return x + self.out(y.unflatten(2, x.shape[2:]))
