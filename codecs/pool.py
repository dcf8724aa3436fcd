"""The states of many signals, kept as the batch in which they last went on together."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass

import torch
from torch import Tensor

from vocable.codecs.backbones.conv import State
from vocable.codecs.state import join, owned, pick, shape

Forward = Callable[[Tensor, State], tuple[Tensor, State]]


@dataclass
class Group:
    """Signals, by number, whose states are one: item i of each tensor is of the i-th."""

    numbers: list[int]
    state: State
    kind: Hashable


class Pool:
    """One end of a codec for signals that come and go.

    As long as the same ones go on together, their state stays one batch and nothing is copied.

    forward: `(x (B, ..., T), state) -> (y, state)`, causal.
    first: T that a signal must begin with; one that has less is to end with it.
    """

    def __init__(self, forward: Forward, first: int) -> None:
        self.forward, self.first = forward, first
        self.groups: list[Group] = []

    def has(self, number: int) -> bool:
        """Whether the signal has begun."""
        return self._group(number) is not None

    def put(self, number: int, state: State) -> None:
        """A signal that goes on from this state of its own; None, it has not begun."""
        if state is not None:
            self.groups.append(Group([number], owned(state), shape(state)))

    def take(self, number: int) -> State:
        """The state of a signal, which is then no longer here; None where it has not begun."""
        return self._gather({number})[1]

    def run(self, chunks: dict[int, Tensor]) -> dict[int, Tensor]:
        """The next chunk (1, ..., T), T of 1 or more, of some signals, to what `forward` makes of each.

        As much as all have goes through in one batch, and then the rest of those with more.
        """
        left, done = dict(chunks), {number: list[Tensor]() for number in chunks}
        while left:
            numbers, state = self._gather(self._alike(left))
            steps = min(left[number].shape[-1] for number in numbers)
            y, state = self.forward(torch.cat([left[number][..., :steps] for number in numbers]), state)
            self.groups.append(Group(numbers, owned(state), shape(state)))
            for number, part in zip(numbers, y.split(1), strict=True):
                done[number].append(part)
                rest = left.pop(number)[..., steps:]
                left |= {number: rest} if rest.shape[-1] else {}
        return {
            number: parts[0] if len(parts) == 1 else torch.cat(parts, -1) for number, parts in done.items()
        }

    def _alike(self, chunks: dict[int, Tensor]) -> set[int]:
        """Those that can be one batch: of those that have not begun, or else with states of one shape."""
        kinds = {number: group.kind for number in chunks if (group := self._group(number)) is not None}
        if new := {number: chunk.shape[-1] for number, chunk in chunks.items() if number not in kinds}:
            least = min(new.values())
            return {number for number, length in new.items() if least >= self.first or length == least}
        kind = next(iter(kinds.values()))
        return {number for number in kinds if kinds[number] == kind}

    def _gather(self, wanted: set[int]) -> tuple[list[int], State]:
        """These signals, in the order of the state that is given, and gone from here."""
        numbers, states = list[int](), list[State]()
        for group in [group for group in self.groups if not wanted.isdisjoint(group.numbers)]:
            self.groups.remove(group)
            here = [i for i, number in enumerate(group.numbers) if number in wanted]
            rest = [i for i in range(len(group.numbers)) if i not in here]
            numbers += [group.numbers[i] for i in here]
            states.append(pick(group.state, here) if rest else group.state)
            if rest:  # copied too, so that no batch stays in memory for a few of its items
                kept = [group.numbers[i] for i in rest]
                self.groups.append(Group(kept, pick(group.state, rest), group.kind))
        if not numbers:
            return sorted(wanted), None
        return numbers, states[0] if len(states) == 1 else join(states)

    def _group(self, number: int) -> Group | None:
        return next((group for group in self.groups if number in group.numbers), None)
