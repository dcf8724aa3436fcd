"""How networks run in training, to the same results: activations kept or computed twice, compiled or not."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def checkpoint_blocks(network: nn.Module) -> None:
    """Let each block of `network` keep only its input, and compute the rest again for the gradient.

    Memory for time (https://arxiv.org/abs/1604.06174): a third more of the forward pass. Names in the state
    dict stay as they are.
    """
    for block in list(blocks(network)):
        for part in block.modules():
            if isinstance(part, nn.ELU):
                part.inplace = False  # the block's input has to outlive it
        block.forward = partial(_recomputed, block.forward)  # type: ignore[method-assign]


def blocks(network: nn.Module) -> Iterator[nn.Module]:
    """The trained items of the outermost lists of layers that hold two matrices or kernels, or more."""
    for part in network.children():
        if not isinstance(part, nn.ModuleList | nn.Sequential):
            yield from blocks(part)
            continue
        for item in part:
            if _matrices(item) > 1 and any(parameter.requires_grad for parameter in item.parameters()):
                yield item


def compile_networks(networks: list[nn.Module], backend: str) -> None:
    """torch.compile each network in place, for its calls alone: names in the state dict stay as they are."""
    accepted = torch.compiler.list_backends(exclude_tags=None)
    if backend not in accepted:
        raise ValueError(f"compile is {backend!r}; accepted: {', '.join(accepted)}, or None")
    for network in networks:
        network.compile(backend=backend)


def _matrices(module: nn.Module) -> int:
    weights = (getattr(part, "weight", None) for part in module.modules())
    return sum(isinstance(weight, torch.Tensor) and weight.ndim > 1 for weight in weights)


def _recomputed(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return (
        checkpoint(forward, *args, use_reentrant=False, **kwargs)
        if torch.is_grad_enabled()
        else forward(*args, **kwargs)
    )
