"""From the names of an official checkpoint to ours: every tensor is accounted for, or it is an error."""

import re
from collections.abc import Mapping

from torch import Tensor

# torch's older weight norm and its parametrization hold the same two tensors
_WEIGHT_NORM = {
    "weight_g": "parametrizations.weight.original0",
    "weight_v": "parametrizations.weight.original1",
}


def rename(
    state: Mapping[str, Tensor], rules: Mapping[str, str], drop: tuple[str, ...] = ()
) -> dict[str, Tensor]:
    """The tensors of `state` under the names that `rules` give them.

    rules: regular expression to template (`re.Match.expand`); the first that matches a whole name counts.
    Weight norm is in its newer form, parametrizations.weight.original0 and 1, before they are asked.
    drop: expressions of names to leave out: what the codec does not need, such as discriminators.
    ValueError for names that no rule knows, and for two that would become one.

    >>> rename({"block.3.weight_g": g}, {r"block\\.(\\d+)\\.(.+)": r"layers.\\1.conv.\\2"})
    {"layers.3.conv.parametrizations.weight.original0": g}
    """
    named: dict[str, Tensor] = {}
    unknown = []
    for key, tensor in state.items():
        if any(re.fullmatch(pattern, key) for pattern in drop):
            continue
        stem, _, last = key.rpartition(".")
        modern = f"{stem}.{_WEIGHT_NORM[last]}" if stem and last in _WEIGHT_NORM else key
        match = next((m for rule in rules if (m := re.fullmatch(rule, modern))), None)
        if match is None:
            unknown.append(key)
            continue
        name = match.expand(rules[match.re.pattern])
        if name in named:
            raise ValueError(f"{key!r} becomes {name!r}, as another tensor does; accepted: one for each")
        named[name] = tensor
    if unknown:
        shown = ", ".join(sorted(unknown)[:8])
        raise ValueError(f"the checkpoint has {len(unknown)} tensors that are not this codec's: {shown}")
    return named


def prefixed(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, without it; ValueError where there is none."""
    found = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    if not found:
        raise ValueError(f"the checkpoint has no tensor {prefix!r}...; found: {', '.join(sorted(state)[:5])}")
    return found
