"""One end of a codec that looks ahead, encoder or decoder, over a signal that comes in chunks."""

from typing import Protocol

import torch
from torch import Tensor, nn

from vocable.codecs.backbones.conv import Sequential, State
from vocable.codecs.backbones.lookahead import advance, goes_on
from vocable.codecs.backbones.pieces import MULTIPLE, by_layers, ways
from vocable.codecs.precision import as_weights


class End(Protocol):
    """exact: whether the chunks together are what the whole signal gives. ahead: frames that it waits for."""

    exact: bool

    @property
    def ahead(self) -> int: ...

    def push(self, x: Tensor, final: bool) -> Tensor:
        """What the next inputs (B, ..., T), any T, make known. final: they are the last of this signal."""
        ...


class GoingOn:
    """Layers that each keep what they need, and give what they can: exact, and nothing is computed twice.

    samples: of a frame that goes in; channels: that go in; hop: samples of a frame that come out.
    """

    exact = True

    def __init__(self, layers: nn.Module, channels: int, samples: int, hop: int) -> None:
        self.layers, self.channels, self.samples, self.hop = layers, channels, samples, hop
        self.state: State = None
        self._ahead: int | None = None

    def push(self, x: Tensor, final: bool) -> Tensor:
        x = as_weights(self.layers, x)
        y, state = advance(self.layers, x, self.state, final)
        self.state = None if final else state
        return y

    @property
    def ahead(self) -> int:
        """Measured on silence, once: the most, over some whole windows of attention."""
        if self._ahead is None:
            self._ahead = self._measured()
        return self._ahead

    def _measured(self) -> int:
        weight, state, given, known, most = next(self.layers.parameters()), None, 0, 0, 0
        while given < 2 * most + MULTIPLE:
            silence = weight.new_zeros(1, self.channels, self.samples)
            with torch.no_grad(), torch.autocast(weight.device.type, enabled=False):
                y, state = advance(self.layers, silence, state, False)
            given, known = given + 1, known + y.shape[-1]
            most = max(most, given - known // self.hop)
        return most


class Window:
    """A window that slides over the frames: `before` of them, `step` whose outputs count, and `ahead`.

    Where it holds all that an output depends on, that is what the whole signal gives; else it is near it.
    The windows stand in the same places however the signal is cut into chunks.
    samples: of a frame that goes in; hop: of one that comes out.
    """

    exact = False

    def __init__(self, part: nn.Module, before: int, ahead: int, samples: int, hop: int) -> None:
        self.part, self.before, self.ahead, self.samples, self.hop = part, before, ahead, samples, hop
        # as far as it looks: with less each input would go through more windows
        self.step = max(1, ahead)
        self.kept: Tensor | None = None
        self.start = self.done = 0  # frames: the first that is kept, and those given

    def push(self, x: Tensor, final: bool) -> Tensor:
        kept = x if self.kept is None else torch.cat([self.kept, x], -1)
        parts = []
        while self.done < (end := self.start + -(-kept.shape[-1] // self.samples)):
            stop = self.done + self.step
            if not final and self.start + kept.shape[-1] // self.samples < stop + self.ahead:
                break
            first = max(0, self.done - self.before)
            kept, self.start = kept[..., (first - self.start) * self.samples :], first
            y = self.part(kept[..., : (stop + self.ahead - first) * self.samples])[0]
            last = y.shape[-1] if stop >= end else (stop - first) * self.hop  # an end may have a frame more
            parts.append(y[..., (self.done - first) * self.hop : last])
            self.done = stop
        self.kept = kept.clone()
        if final:
            self.kept, self.start, self.done = None, 0, 0
        return torch.cat(parts, -1) if parts else x.new_zeros(len(x), 0, 0)


def going_on(part: nn.Module) -> nn.Module | None:
    """What of a part `advance` can work on, chunk after chunk; None where the part needs the whole signal."""
    layered = ways.dispatch(type(part)) is by_layers and not getattr(part, "causal", False)
    layers = getattr(part, "layers", None) if layered else part
    known = all(map(goes_on, layers.layers)) if isinstance(layers, Sequential) else True
    return layers if isinstance(layers, nn.Module) and known and goes_on(layers) else None
