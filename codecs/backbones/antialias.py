"""An activation that does not alias (https://arxiv.org/abs/2206.04658).

What a sine makes of a signal has overtones beyond its bandwidth, which would fold back into it. So the signal
is interpolated to twice its rate, activated there, and filtered before every second sample is dropped.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocable.codecs.backbones.conv import State
from vocable.codecs.backbones.lookahead import advance, within
from vocable.codecs.backbones.snake import SnakeBeta

TAPS = 12
REACH = 5  # samples to each side that an output depends on
BLOCK = 2**17  # samples of a block that stays, with what is computed from it, in a core's cache


def low_pass() -> list[float]:
    """For half of the bandwidth: a sinc in the Kaiser window that should leave -51 dB outside it."""
    attenuation = 2.285 * (TAPS / 2 - 1) * np.pi * 1.2 + 7.95  # Kaiser's estimates, as is the next
    window = np.kaiser(TAPS, 0.1102 * (attenuation - 8.7))
    taps = window * np.sinc((np.arange(TAPS) - (TAPS - 1) / 2) / 2)
    return (taps / taps.sum()).tolist()


class AntiAliasedSnake(nn.Module):
    """SnakeBeta at twice the sample rate; (B, C, T) -> (B, C, T).

    Beyond its ends a signal is taken to keep its first and last value.
    """

    kernel: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.act = SnakeBeta(channels)
        self.register_buffer("kernel", torch.tensor(low_pass()), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() or x.device.type != "cpu" or torch.compiler.is_compiling():
            return self._convolved(x)
        return self._in_blocks(x)

    def _convolved(self, x: Tensor) -> Tensor:
        """By the definition: the finer samples in a row, and convolutions of single channels."""
        channels = x.shape[1]
        kernel = self.kernel.expand(channels, 1, TAPS)
        # twice the kernel makes up for the zeros between samples
        padded = F.pad(x, (5, 5), "replicate")
        fine = self.act(F.conv_transpose1d(padded, 2 * kernel, stride=2, padding=15, groups=channels))
        return F.conv1d(F.pad(fine, (5, 6), "replicate"), kernel, stride=2, groups=channels)

    def _in_blocks(self, x: Tensor) -> Tensor:
        """The same for a CPU in a half to a sixth of the time: some rows (T) after others, in place."""
        batch, channels, length = x.shape
        rows = F.pad(x, (3, 3), "replicate").view(-1, length + 6)
        out = rows.new_empty(len(rows), length)
        rates = [rate.repeat(batch, 1) for rate in self.act.rates()]
        for blocks in zip(*(t.split(max(1, BLOCK // length)) for t in (rows, *rates, out)), strict=True):
            _activate(*blocks)
        return out.view(batch, channels, length)


@advance.register
def _(layer: AntiAliasedSnake, x: Tensor, state: State, final: bool) -> tuple[Tensor, State]:
    return within(layer, (REACH, REACH), x, state, final)


_EVEN, _ODD = low_pass()[::2], low_pass()[1::2]


def _activate(x: Tensor, frequency: Tensor, gain: Tensor, out: Tensor) -> None:
    """Rows x (R, T + 6), three samples of padding at each end, into out (R, T).

    The finer signal's even and odd samples are kept apart. Every second tap meets each of them, so both are
    sums of six shifted copies of x, and out is one of six of theirs.
    """
    even, odd = fine = x.new_empty(2, *x.shape)
    scratch = torch.empty_like(out)
    for half, taps, shift in ((even[:, 3:-3], _EVEN, 0), (odd[:, 3:-3], _ODD, 1)):
        _shifted_sum(x, [2 * tap for tap in taps], shift, half)
        torch.mul(half, frequency, out=scratch)
        half.addcmul_(scratch.sin_().square_(), gain)
    # the first of the finer samples is even, the last is odd
    fine[..., :3], fine[..., -3:] = even[:, 3:4], odd[:, -4:-3]
    _shifted_sum(even, _ODD, 1, out)
    _shifted_sum(odd, _EVEN, 0, scratch)
    out.add_(scratch)


def _shifted_sum(x: Tensor, taps: list[float], shift: int, out: Tensor) -> None:
    """out (R, T): the copies of x (R, T + 6) shifted by `shift` and more, weighted by taps."""
    length = out.shape[1]
    torch.mul(x[:, shift : shift + length], taps[0], out=out)
    for start, tap in enumerate(taps[1:], shift + 1):
        out.add_(x[:, start : start + length], alpha=tap)
