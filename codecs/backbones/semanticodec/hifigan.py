"""HiFi-GAN's generator (https://arxiv.org/abs/2010.05646), with the sizes that AudioLDM has at 16 kHz."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SLOPE = 0.1
KERNELS, DILATIONS = (3, 7, 11), (1, 3, 5)


class HiFiGAN(nn.Module):
    """Log mel spectrograms (B, bands, M) to wav (B, 1, M * 160 + 32), at the published strides.

    A transposed convolution whose kernel is longer than its stride by an odd number gives one frame more
    than it should, which the ones behind it multiply: those are the 32 samples.
    """

    def __init__(
        self,
        bands: int = 64,
        channels: int = 1024,
        strides: tuple[int, ...] = (5, 4, 2, 2, 2),
        kernels: tuple[int, ...] = (16, 16, 8, 4, 4),
    ) -> None:
        super().__init__()
        self.conv_in = nn.Conv1d(bands, channels, 7, padding=3)
        self.ups, self.branches = nn.ModuleList(), nn.ModuleList()
        for stride, kernel in zip(strides, kernels, strict=True):
            padding = (kernel - stride) // 2
            self.ups.append(nn.ConvTranspose1d(channels, channels // 2, kernel, stride, padding))
            channels //= 2
            self.branches.extend(Branch(channels, size) for size in KERNELS)
        self.conv_out = nn.Conv1d(channels, 1, 7, padding=3)

    def forward(self, spectrogram: Tensor) -> Tensor:
        x = self.conv_in(spectrogram)
        for index, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, SLOPE))
            branches = self.branches[index * len(KERNELS) : (index + 1) * len(KERNELS)]
            x = torch.stack([branch(x) for branch in branches]).mean(0)
        return torch.tanh(self.conv_out(F.leaky_relu(x)))


class Branch(nn.Module):
    """Three residual pairs of convolutions, dilated and plain, of one kernel size; (B, C, T)."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.dilated = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel, padding=kernel // 2 * d, dilation=d) for d in DILATIONS
        )
        self.plain = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel, padding=kernel // 2) for _ in DILATIONS
        )

    def forward(self, x: Tensor) -> Tensor:
        for dilated, plain in zip(self.dilated, self.plain, strict=True):
            y = dilated(F.leaky_relu(x, SLOPE))
            x = x + plain(F.leaky_relu(y, SLOPE))
        return x
