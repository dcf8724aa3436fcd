"""What all discriminators are made of: weight-normalised convolutions whose every output is a feature map."""

from typing import Literal

from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

Pair = tuple[int, int]


def conv2d(
    in_channels: int,
    out_channels: int,
    kernel: Pair,
    stride: Pair = (1, 1),
    dilation: Pair = (1, 1),
    pad_mode: Literal["zeros", "reflect"] = "zeros",
) -> nn.Module:
    """A weight-normalised convolution that pads half of its kernel on both sides."""
    padding = (kernel[0] // 2 * dilation[0], kernel[1] // 2 * dilation[1])
    return weight_norm(
        nn.Conv2d(in_channels, out_channels, kernel, stride, padding, dilation, padding_mode=pad_mode)
    )


class FeatureMaps(nn.ModuleList):
    """Layers run one after the other; gives the output of each."""

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for layer in self:
            x = layer(x)
            maps.append(x)
        return maps


def fold_channels(wav: Tensor) -> Tensor:
    """Waveforms (B, C, T) to (B * C, 1, T): channels judged one by one."""
    return wav.flatten(0, 1).unsqueeze(1)
