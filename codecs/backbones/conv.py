"""Convolutions over time with one padding rule and explicit streaming state.

The rule (SEANet's, https://github.com/facebookresearch/encodec): a kernel that spans `k` samples at stride
`s` needs `k - s` samples of padding for T / s frames. Causal layers take all of it on the left, the others
the larger half; where T is no multiple of `s`, what is missing is padded on the right. A transposed layer
trims the surplus in the same way: N frames give exactly N * s samples.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, parametrize

from vocable.codecs.backbones import few
from vocable.codecs.backbones.padding import PAD_MODES, check_multiple, pad

# A tree of lists, tuples, tensors and None; None alone is the start of the signal. Tensors are batch first.
State = Any
CLOSED = "closed"  # the state after a chunk that only the end of the signal can have


class Stateful(nn.Module):
    """A layer whose forward is `(x, state=None) -> (y, state)`.

    Feeding a signal whole with `None`, or in chunks with the state handed on, gives the same output when
    the layer is causal. Other layers return `None` and refuse a state.
    """

    causal: bool

    def forward(self, x: Tensor, /, state: State = None) -> tuple[Tensor, State]:
        raise NotImplementedError


class Conv1d(Stateful):
    """Convolution (B, C_in, T) -> (B, C_out, ceil(T / stride)).

    pad_mode: "constant" (zeros), "reflect" or "replicate".
    norm: applied to what the convolution gives.
    """

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
        bias: bool = True,
        pad_mode: str = "constant",
        norm: nn.Module | None = None,
    ):
        super().__init__()
        span = (kernel_size - 1) * dilation + 1
        if span < stride:
            raise ValueError(
                f"kernel spans {span} samples at stride {stride}; accepted: a span of at least the stride"
            )
        if pad_mode not in PAD_MODES:
            raise ValueError(f"pad_mode is {pad_mode!r}; accepted: {PAD_MODES}")
        conv = nn.Conv1d(in_channels, out_channels, kernel_size, stride, 0, dilation, groups, bias)
        self.conv = cast(nn.Conv1d, parametrizations.weight_norm(conv)) if weight_norm else conv
        self.norm, self.needs_whole = norm, norm is not None
        self.stride, self.causal, self.pad_mode = stride, causal, pad_mode
        total = span - stride
        self.right = 0 if causal else total // 2
        self.left = total - self.right

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """x (B, C_in, T), T of 1 or more; state (B, C_in, left) are the inputs just before it.

        Where T is no multiple of the stride, or too short to reflect, this chunk is the last.
        """
        if state is None:
            return self._start(x)
        if not self.causal:
            refuse_state(state)
        if isinstance(state, str):
            raise ValueError("the signal ended with the chunk before; accepted: state=None, a new signal")
        extra = -x.shape[-1] % self.stride
        short = self.norm is None and few.are_few(self.conv, x, (x.shape[-1] + extra) // self.stride)
        x = torch.cat([state, x], dim=-1)
        after = self._after(x, ended=extra > 0)
        x = pad(x, 0, extra, self.pad_mode)
        return few.convolve(self.conv, x) if short else self.convolve(x), after

    def _start(self, x: Tensor) -> tuple[Tensor, State]:
        length = x.shape[-1]
        check_multiple(length, 1)
        extra = -length % self.stride
        # the convolution's own symmetric padding is faster than padding first
        if self.pad_mode == "constant" and self.left == self.right and not extra:
            return self.convolve(x, self.left), None
        short = self.pad_mode == "reflect" and _at_most(length, max(self.left, self.right + extra))
        padded = pad(x, self.left, self.right + extra, self.pad_mode)
        state = self._after(padded[..., : self.left + length], ended=short or extra > 0)
        return self.convolve(padded), state

    def _after(self, x: Tensor, ended: bool) -> State:
        """The state that inputs so far, x, leave."""
        if not self.causal:
            return None
        # a copy: a view would keep all of the chunk in memory
        return CLOSED if ended else x[..., x.shape[-1] - self.left :].clone()

    def convolve(self, x: Tensor, padding: int = 0) -> Tensor:
        """The convolution and its norm, of x (B, C_in, T) padded by `padding` zeros at both ends."""
        conv = self.conv
        y = F.conv1d(x, conv.weight, conv.bias, conv.stride, padding, conv.dilation, conv.groups)
        return y if self.norm is None else self.norm(y)


class ConvTranspose1d(Stateful):
    """Transposed convolution (B, C_in, N) -> (B, C_out, N * stride).

    norm: applied to what the convolution gives, before it is trimmed; only where it is not causal.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int,
        groups: int = 1,
        causal: bool = False,
        weight_norm: bool = False,
        bias: bool = True,
        norm: nn.Module | None = None,
    ):
        super().__init__()
        if kernel_size < stride:
            raise ValueError(
                f"kernel_size is {kernel_size} at stride {stride}; accepted: at least the stride"
            )
        if causal and norm is not None:
            raise ValueError("norm is a module in a causal layer, whose overlaps add up; accepted: norm=None")
        conv = nn.ConvTranspose1d(in_channels, out_channels, kernel_size, stride, groups=groups, bias=bias)
        self.conv = cast(nn.ConvTranspose1d, parametrizations.weight_norm(conv)) if weight_norm else conv
        self.norm, self.needs_whole = norm, norm is not None
        self.stride = stride
        self.causal = causal
        self.overlap = kernel_size - stride
        self.right = self.overlap if causal else self.overlap // 2
        self.left = self.overlap - self.right

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """x (B, C_in, N); state (B, C_out, overlap) is what earlier frames add to the first samples."""
        short = state is not None and few.are_few(self.conv, x, x.shape[-1])
        y = few.transposed(self.conv, x) if short else self.conv(x)
        if not self.causal:
            refuse_state(state)
            y = y if self.norm is None else self.norm(y)
            return y[..., self.left : y.shape[-1] - self.right], None
        if state is not None:
            head = y[..., : self.overlap] + state
            y = torch.cat([head, y[..., self.overlap :]], dim=-1)
        end = x.shape[-1] * self.stride
        tail = y[..., end:]
        # the next chunk brings the bias itself: handing it on here would count it twice
        return y[..., :end], tail.clone() if self.conv.bias is None else tail - self.conv.bias[:, None]


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


def _at_most(length: int, limit: int) -> bool:
    """Whether the length is so short; False for the open length of a graph, which is of a whole signal."""
    return not isinstance(length, torch.SymInt) and length <= limit


def refuse_state(state: State) -> None:
    """ValueError if a layer that is not causal is given a state."""
    if state is not None:
        raise ValueError(
            "a layer that is not causal looks ahead and cannot run in chunks; accepted: state=None"
        )
