"""A training that starts from another codec's weights, and parts of a codec that stay as they are."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vocable.codecs import hub
from vocable.codecs.backbones.convnext import ConvNeXtBlock
from vocable.codecs.build import build
from vocable.codecs.codec import Codec
from vocable.quantizers.codebook import VQ
from vocable.recipes.checkpoint import read_codec
from vocable.recipes.matching import Matches, fitted, match


def warm_start(codec: Codec, source: str | Path) -> Matches:
    """Give `codec` the weights of `source` where its layers fit; the others stay as they are.

    source: a codec's name, folder or hub id, as for `vocable.codecs.load`, or the file of a training's
    checkpoint. Nothing in it is built or run. ValueError where no layer fits.
    """
    (config, theirs), own = read(source), codec.state_dict()
    found = match(own, theirs)
    if not found.pairs:
        layers = [", ".join([*side][:3]) for side in (found.theirs, found.own)]
        raise ValueError(
            f"init_from is {source}: of its {len(found.theirs)} layers ({layers[0]}, ...) none fits the "
            f"codec's ({layers[1]}, ...); accepted: a codec of its architecture, which codec=same gives"
        )
    codec.load_state_dict(own | fitted(own, theirs, found.pairs), strict=True)
    _mark_codebooks(codec, theirs, found)
    _look_back(codec, config, found)
    return found


def freeze(codec: Codec, parts: Iterable[str]) -> None:
    """Keep parts of the codec, "encoder" or "quantizer.layers.0", as they are in training.

    They get no gradient, and are in eval mode: averages in codebooks and norms stay too.
    """
    for name in parts:
        try:
            part = codec.get_submodule(name or "?")
        except AttributeError:
            known = ", ".join(child for child, _ in codec.named_children())
            raise ValueError(f"freeze names {name!r}; accepted: {known}, or a module in these") from None
        part.requires_grad_(False).eval()
        for module in part.modules():
            if isinstance(module, nn.RNNBase):
                module.train()  # in eval mode cuDNN passes no gradient on; without dropout both are equal
    if not any(parameter.requires_grad for parameter in codec.parameters()):
        raise ValueError(
            f"freeze is {list(parts)}, all of the codec; accepted: parts, so that some is trained"
        )


def same(source: str | Path, trusted: Iterable[str] = ("vocable.",)) -> Codec:
    """A codec of the architecture of `source` (see `warm_start`), with random weights.

    trusted: prefixes of what its config may build.
    """
    return build(read(source)[0], tuple(trusted))


def expanded(node: dict[str, Any]) -> dict[str, Any]:
    """A codec's node, or for one of `same` the node of its source: what an exported codec needs."""
    return read(node["source"])[0] if node["_target_"] == f"{__name__}.{same.__name__}" else node


def read(source: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The config and the tensors of a codec (see `warm_start`)."""
    if Path(source).is_file():
        return read_codec(Path(source))
    folder, _ = hub.find(source, None)
    return hub.read(folder)


def _mark_codebooks(codec: Codec, theirs: dict[str, Tensor], found: Matches) -> None:
    """Codebooks that were found are no more set by the first batch, and the others are."""
    state = codec.state_dict()
    for path, module in codec.named_modules():
        if isinstance(module, VQ) and f"{path}.inited" in state:
            owner = next(
                name for name, part in module.named_modules(prefix=path) if _holds(part, module.table)
            )
            known = theirs.get(f"{path}.inited", torch.ones(())) if owner in found.pairs else torch.zeros(())
            state[f"{path}.inited"].copy_(known.reshape(()))


@torch.no_grad()
def _look_back(codec: Codec, config: dict[str, Any], found: Matches) -> None:
    """Kernels from a part with lookahead keep what looks back where it was, and lose the rest."""
    for path, block in codec.named_modules():
        saw_later = config.get(path.partition(".")[0], {}).get("lookahead", True)
        if isinstance(block, ConvNeXtBlock) and f"{path}.depthwise" in found.pairs and saw_later:
            past, later = block.reach
            if not later:
                kernel = block.depthwise.weight
                kernel.copy_(F.pad(kernel[..., : past // 2 + 1], (past // 2, 0)))


def _holds(module: nn.Module, tensor: Tensor) -> bool:
    return any(own is tensor for own in (*module.parameters(recurse=False), *module.buffers(recurse=False)))
