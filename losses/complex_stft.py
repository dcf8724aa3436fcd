"""SoundStream's discriminator on complex spectra (https://arxiv.org/abs/2107.03312, section III-E).

A complex tensor (B, C, N, F) is held as a real one (B, 2C, N, F), real parts first, so that every precision
and device has its convolutions.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vocable.losses.layers import FeatureMaps, Pair, fold_channels
from vocable.losses.stft import STFT


class ComplexConv2d(nn.Module):
    """Complex convolution (B, 2C, N, F) -> (B, 2C', N', F') by one real one of twice the channels."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: Pair, stride: Pair = (1, 1), padding: Pair = (0, 0)
    ) -> None:
        super().__init__()
        conv = nn.Conv2d(in_channels, 2 * out_channels, kernel)  # for its initial values
        self.real, self.imag = (nn.Parameter(part) for part in conv.weight.detach().chunk(2))
        self.bias = conv.bias
        self.stride, self.padding = stride, padding

    def forward(self, x: Tensor) -> Tensor:
        rows = [torch.cat([self.real, -self.imag], dim=1), torch.cat([self.imag, self.real], dim=1)]
        return F.conv2d(x, torch.cat(rows), self.bias, self.stride, self.padding)


class ModReLU(nn.Module):
    """ReLU of the magnitude plus a learned number; the phase stays (https://arxiv.org/abs/1511.06464)."""

    def __init__(self, floor: float = 1e-6) -> None:
        super().__init__()
        self.floor = floor
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        parts = x.unflatten(1, (2, -1))
        magnitude = (parts.square().sum(1, keepdim=True) + self.floor**2).sqrt()
        return (parts * ((magnitude + self.bias).relu() / magnitude)).flatten(1, 2)


class ComplexUnit(nn.Module):
    """A residual pair of convolutions, then one that divides frames and bins by `stride`."""

    def __init__(self, in_channels: int, out_channels: int, stride: Pair) -> None:
        super().__init__()
        kernel = (stride[0] + 2, stride[1] + 2)
        self.residual = nn.Sequential(
            ComplexConv2d(in_channels, in_channels, (3, 3), padding=(1, 1)),
            ModReLU(),
            ComplexConv2d(in_channels, in_channels, (3, 3), padding=(1, 1)),
        )
        padding = (kernel[0] // 2, kernel[1] // 2)
        self.down = ComplexConv2d(in_channels, out_channels, kernel, stride, padding)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(x + self.residual(x))


class ComplexSTFTDiscriminator(nn.Module):
    """Complex convolutions over the spectrum of waveforms (B, C, T), one window length.

    multiples: of `channels`, the width after each of six units that divide the bins by 2 and, every second
    one, the frames too. Gives in a list of one the maps (B * C, 2 channels, N, bins) and the logits
    (B * C, 2, N, 1), real and imaginary part.
    """

    def __init__(
        self, window: int = 1024, channels: int = 32, multiples: tuple[int, ...] = (1, 2, 4, 4, 8, 8)
    ) -> None:
        super().__init__()
        self.stft = STFT(window, window // 4)
        widths = [channels, *(multiple * channels for multiple in multiples)]
        units = [
            ComplexUnit(before, after, (1 + i % 2, 2)) for i, (before, after) in enumerate(pairwise(widths))
        ]
        bins = window // 2 + 1
        for _ in units:
            bins = bins // 2 + 1
        first = ComplexConv2d(1, channels, (7, 7), padding=(3, 3))
        self.layers = FeatureMaps([first, *units, ComplexConv2d(widths[-1], 1, (1, bins))])

    def forward(self, wav: Tensor) -> list[list[Tensor]]:
        spec = torch.view_as_real(self.stft(fold_channels(wav)).squeeze(1))
        return [self.layers(spec.permute(0, 3, 2, 1))]
