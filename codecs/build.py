"""A config tree to objects: Hydra's `instantiate(node, _convert_="all")`, from trusted modules only."""

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from typing import Any

# Of vocable itself a config names parts of codecs only: `load` or `write` there would be a way out.
PARTS = (
    "vocable.codecs.codec",
    "vocable.codecs.backbones",
    "vocable.codecs.zoo",
    "vocable.quantizers",
    "vocable.losses",
)


def build(node: Any, trusted: tuple[str, ...] = ("vocable.",)) -> Any:
    """Build `node`: each mapping with `_target_` (a dotted path) becomes a call of that class or function.

    `_args_` are its positional arguments, `_partial_: true` gives a `functools.partial`, nested nodes are
    built first. ValueError, before anything is imported, where a target is outside the `trusted` prefixes:

    >>> build({"_target_": "vocable.quantizers.fsq.FSQ", "dim": 8, "levels": [5, 5]}).codebook_sizes
    (25,)
    """
    if isinstance(trusted, str):
        raise ValueError(f"trusted is the string {trusted!r}; accepted: a tuple of prefixes")
    for where, target in _targets(node, ""):
        if not isinstance(target, str) or not _within(target, trusted):
            raise ValueError(
                f"config{where}: target {target!r} is not trusted; accepted: {', '.join(trusted)}"
            )
    return _build(node, "", trusted)


def _build(node: Any, where: str, trusted: tuple[str, ...]) -> Any:
    if isinstance(node, list | tuple):
        return [_build(item, f"{where}[{i}]", trusted) for i, item in enumerate(node)]
    if not isinstance(node, dict):
        return node
    values = {key: _build(value, f"{where}.{key}", trusted) for key, value in node.items()}
    if "_target_" not in node:
        return values
    target = _resolve(values.pop("_target_"), where, trusted)
    args, lazy = values.pop("_args_", []), values.pop("_partial_", False)
    if values.pop("_convert_", "all") != "all" or values.pop("_recursive_", True) is not True:
        raise ValueError(f"config{where}: accepted: _convert_ 'all' and _recursive_ true only")
    try:
        return partial(target, *args, **values) if lazy else target(*args, **values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"config{where}: {node['_target_']}: {error}") from error


def _targets(node: Any, where: str) -> Iterator[tuple[str, Any]]:
    """Each `_target_` of the tree with its place."""
    if isinstance(node, dict) and "_target_" in node:
        yield where, node["_target_"]
    if isinstance(node, dict | list | tuple):
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for key, value in items:
            yield from _targets(value, f"{where}.{key}" if isinstance(node, dict) else f"{where}[{key}]")


def _resolve(target: str, where: str, trusted: tuple[str, ...]) -> Callable[..., Any]:
    """The class or function `module.name`, whose own home must be trusted too: an imported name is not."""
    module, _, name = target.rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):
            raise  # the module is there, a package that it needs is not
        raise ValueError(f"config{where}: no module {error.name!r} for target {target!r}") from error
    except AttributeError as error:
        raise ValueError(f"config{where}: module {module!r} has no {name!r} for target {target!r}") from error
    if not (inspect.isclass(found) or inspect.isfunction(found)):
        raise ValueError(
            f"config{where}: target {target!r} is a {type(found).__name__}; accepted: class, function"
        )
    home = f"{found.__module__}.{found.__qualname__}"
    if not _within(home, trusted) or (_within(home, ("vocable",)) and not _within(home, PARTS)):
        raise ValueError(
            f"config{where}: target {target!r} is {home}; accepted: {', '.join((*trusted, *PARTS))}"
        )
    return found


def _within(path: str, prefixes: tuple[str, ...]) -> bool:
    return any(path.startswith(prefix.rstrip(".") + ".") for prefix in prefixes)
