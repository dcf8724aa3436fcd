"""Which layers of a codec another one's weights fit: by name and shape, and else by order."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher

import torch
from torch import Tensor

Shapes = dict[str, tuple[int, ...]]
_NORMED = re.compile(r"parametrizations\.(\w+)\.original([01])")
_FLAG = "inited"  # of a codebook: follows from whether the codebook itself is found


@dataclass(frozen=True)
class Matches:
    """own, theirs: the layers of the codec and of the source, each with its shapes.

    pairs: layers of the codec to the source's that fit.
    """

    own: dict[str, Shapes]
    theirs: dict[str, Shapes]
    pairs: dict[str, str]

    def lines(self) -> list[str]:
        """What fits, what has another shape, what the source lacks, by part, and what it has beyond."""
        lines: list[str] = []
        for part in dict.fromkeys(path.partition(".")[0] for path in self.own):
            layers = {path: shapes for path, shapes in self.own.items() if path.partition(".")[0] == part}
            found = {path: shapes for path, shapes in layers.items() if path in self.pairs}
            lines.append(
                f"{part}: {len(found)} of {len(layers)} layers, "
                f"{_size(found.values())} of {_size(layers.values())} numbers"
            )
            fresh = [path for path in layers if path not in self.pairs]
            reshaped = [path for path in fresh if path in self.theirs]
            lines += [f"  {path} is {layers[path]}, in the source {self.theirs[path]}" for path in reshaped]
            if missing := [path for path in fresh if path not in self.theirs]:
                lines.append(f"  not in the source: {', '.join(missing)}")
        used = {*self.pairs.values(), *self.own}
        if beyond := [path for path in self.theirs if path not in used]:
            lines.append(f"only in the source: {', '.join(beyond)}")
        return lines


def match(own: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> Matches:
    """The layers of two codecs' states that fit, weight norm folded or not.

    A layer fits whole or not at all: a bias of one convolution is no use to another's kernel. Layers of
    encoder and decoder that moved, as where a block more or less precedes them, fit in their order.
    Codebooks do not: each codes what is left by those before it.
    """
    ours, source = layers(own), layers(theirs)
    pairs = {path: path for path, shapes in ours.items() if source.get(path) == shapes}
    left = [_movable(found, pairs) for found in (source, ours)]
    kinds = [
        [_kind(path, found[path]) for path in rest] for rest, found in zip(left, (source, ours), strict=True)
    ]
    for start, own_start, count in SequenceMatcher(None, *kinds, autojunk=False).get_matching_blocks():
        pairs |= zip(left[1][own_start : own_start + count], left[0][start : start + count], strict=True)
    return Matches(ours, source, pairs)


def layers(state: Mapping[str, Tensor]) -> dict[str, Shapes]:
    """The shapes of each module's own tensors, as with weight norm folded, by part and then by number."""
    found: dict[str, Shapes] = {}
    for key, tensor in state.items():
        path, name = _split(key)
        if (normed := _NORMED.fullmatch(name)) and normed[2] == "0":
            continue
        if name != _FLAG:
            found.setdefault(path, {})[normed[1] if normed else name] = tuple(tensor.shape)
    parts = [*dict.fromkeys(path.partition(".")[0] for path in found)]
    ordered = sorted(found, key=lambda path: (parts.index(path.partition(".")[0]), re.split(r"(\d+)", path)))
    return {path: dict(sorted(found[path].items())) for path in ordered}


def fitted(
    own: Mapping[str, Tensor], theirs: Mapping[str, Tensor], pairs: Mapping[str, str]
) -> dict[str, Tensor]:
    """The source's tensors under the codec's names, with weight norm as the codec has it."""
    found = {}
    for key in own:
        path, name = _split(key)
        if path in pairs and name != _FLAG:
            found[key] = _stated(theirs, pairs[path], name)
    return found


def _stated(source: Mapping[str, Tensor], path: str, name: str) -> Tensor:
    """The tensor `name` of a layer, whose weight norm may be folded in the source alone, or here alone."""
    if (found := source.get(f"{path}.{name}")) is not None:
        return found
    if normed := _NORMED.fullmatch(name):
        weight = source[f"{path}.{normed[1]}"].float()
        norm = torch.norm_except_dim(weight, 2, 0)
        # any direction does for a row of length 0, but 0 / 0
        return norm if normed[2] == "0" else torch.where(norm > 0, weight, 1.0)
    norm, weight = (source[f"{path}.parametrizations.{name}.original{i}"].float() for i in "01")
    return weight * (norm / torch.norm_except_dim(weight, 2, 0))


def _split(key: str) -> tuple[str, str]:
    """The module of a tensor, and its name there."""
    if match := re.search(rf"(?:^|\.)({_NORMED.pattern})$", key):
        return key[: match.start()], match[1]
    path, _, name = key.rpartition(".")
    return path, name


def _movable(found: Mapping[str, Shapes], pairs: Mapping[str, str]) -> list[str]:
    return [path for path in found if path not in pairs and path.partition(".")[0] != "quantizer"]


def _kind(path: str, shapes: Shapes) -> tuple[str, tuple[tuple[str, tuple[int, ...]], ...]]:
    """What two layers that may stand for each other have in common."""
    return re.sub(r"\d+", "#", path), tuple(shapes.items())


def _size(found: Iterable[Shapes]) -> str:
    total = sum(torch.Size(shape).numel() for shapes in found for shape in shapes.values())
    return f"{total / 1e6:.2f} M" if total >= 1e5 else str(total)
