"""Convolutions over time with one padding rule and explicit streaming state.

The rule (SEANet's, https://github.com/facebookresearch/encodec): a kernel that spans `k` samples at stride
`s` needs `k - s` samples of padding for T / s frames. Causal layers take all of it on the left, the others
the larger half. A transposed layer trims the surplus in the same way: N frames give exactly N * s samples.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

State = Any  # a tree of lists, tensors and None; None alone is the start of the signal


class Stateful(nn.Module):
    """A layer whose forward is `(x, state=None) -> (y, state)`.

    Feeding a signal whole with `None`, or in chunks with the state handed on, gives the same output when
    the layer is causal. Other layers return `None` and refuse a state.
    """

    causal: bool

    def forward(self, x: Tensor, /, state: State = None) -> tuple[Tensor, State]:
        raise NotImplementedError


class Conv1d(Stateful):
    """Convolution (B, C_in, T) -> (B, C_out, T / stride); T must be a multiple of the stride."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        causal: bool = False,
        weight_norm: bool = False,
    ):
        super().__init__()
        span = (kernel_size - 1) * dilation + 1
        if span < stride:
            raise ValueError(
                f"kernel spans {span} samples at stride {stride}; accepted: a span of at least the stride"
            )
        conv = nn.Conv1d(in_channels, out_channels, kernel_size, stride, dilation=dilation, groups=groups)
        self.conv = cast(nn.Conv1d, parametrizations.weight_norm(conv)) if weight_norm else conv
        self.stride = stride
        self.causal = causal
        total = span - stride
        self.right = 0 if causal else total // 2
        self.left = total - self.right

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """x (B, C_in, T); state (B, C_in, left) are the inputs just before it."""
        check_multiple(x.shape[-1], self.stride)
        if not self.causal:
            refuse_state(state)
            # the convolution's own symmetric padding is faster than padding first
            if self.left == self.right:
                conv = self.conv
                y = nn.functional.conv1d(
                    x, conv.weight, conv.bias, conv.stride, self.left, conv.dilation, conv.groups
                )
                return y, None
            return self.conv(nn.functional.pad(x, (self.left, self.right))), None
        if state is None:
            state = x.new_zeros(*x.shape[:-1], self.left)
        x = torch.cat([state, x], dim=-1)
        return self.conv(x), x[..., x.shape[-1] - self.left :]


class ConvTranspose1d(Stateful):
    """Transposed convolution (B, C_in, N) -> (B, C_out, N * stride)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int,
        causal: bool = False,
        weight_norm: bool = False,
    ):
        super().__init__()
        if kernel_size < stride:
            raise ValueError(
                f"kernel_size is {kernel_size} at stride {stride}; accepted: at least the stride"
            )
        conv = nn.ConvTranspose1d(in_channels, out_channels, kernel_size, stride)
        self.conv = cast(nn.ConvTranspose1d, parametrizations.weight_norm(conv)) if weight_norm else conv
        self.stride = stride
        self.causal = causal
        self.overlap = kernel_size - stride
        self.right = self.overlap if causal else self.overlap // 2
        self.left = self.overlap - self.right

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """x (B, C_in, N); state (B, C_out, overlap) is what earlier frames add to the first samples."""
        y = self.conv(x)
        if not self.causal:
            refuse_state(state)
            return y[..., self.left : y.shape[-1] - self.right], None
        if state is not None:
            head = y[..., : self.overlap] + state
            y = torch.cat([head, y[..., self.overlap :]], dim=-1)
        end = x.shape[-1] * self.stride
        # the next chunk brings the bias itself: handing it on here would count it twice
        assert self.conv.bias is not None
        tail = y[..., end:] - self.conv.bias[:, None]
        return y[..., :end], tail


class Sequential(Stateful):
    """Layers one after another; the state is the list of theirs. Plain modules among them have none."""

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.causal = all(layer.causal for layer in layers if isinstance(layer, Stateful))

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        states: list[State] = state if state is not None else [None] * len(self.layers)
        after: list[State] = []
        for layer, before in zip(self.layers, states, strict=True):
            if isinstance(layer, Stateful):
                x, before = layer(x, before)
            else:
                x = layer(x)
            after.append(before)
        return x, after if self.causal else None


class Residual(Stateful):
    """x + layer(x)."""

    def __init__(self, layer: Stateful):
        super().__init__()
        self.layer = layer
        self.causal = layer.causal

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        y, state = self.layer(x, state)
        return x + y, state


def fold_weight_norm(module: nn.Module) -> None:
    """Replace every weight-normed weight in `module`, in place, by the plain tensor that it computes."""
    for part in module.modules():
        if parametrize.is_parametrized(part, "weight"):
            parametrize.remove_parametrizations(part, "weight")


def check_multiple(length: int, stride: int) -> None:
    """ValueError unless the length is a positive multiple of the stride."""
    if length == 0 or length % stride:
        raise ValueError(f"length is {length}; accepted: positive multiples of {stride}")


def refuse_state(state: State) -> None:
    """ValueError if a layer that is not causal is given a state."""
    if state is not None:
        raise ValueError(
            "a layer that is not causal looks ahead and cannot run in chunks; accepted: state=None"
        )
