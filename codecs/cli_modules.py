"""The subcommands of `vocable` that are modules of other folders, whose options they pass on."""

import os
import sys
from importlib.util import find_spec
from typing import NoReturn

import typer

FORWARD = {"ignore_unknown_options": True, "allow_extra_args": True}


def bench(context: typer.Context) -> None:
    """Measure codecs as the field does: a table, and a page to look at and listen to."""
    args = context.args
    tokens = "--speech-tokens" in args
    args = [arg for arg in args if arg != "--speech-tokens"]
    _forward("bench", f"vocable.benchmarks.{'speech_tokens' if tokens else 'bench'}", args, "pesq", "jiwer")


def compare(context: typer.Context) -> None:
    """Whether two rows of a report differ."""
    _forward("bench", "vocable.benchmarks.compare", context.args, "scipy")


def train(context: typer.Context) -> None:
    """Train a codec: python -m vocable.recipes.train and the same arguments."""
    _forward("train", "vocable.recipes.train", context.args, "lightning", "hydra")


def export(context: typer.Context) -> None:
    """A training checkpoint to a codec folder: python -m vocable.recipes.export and the same arguments.

    With --onnx, a codec to ONNX files: python -m vocable.codecs.graphs.export and the others.
    """
    args = [arg for arg in context.args if arg != "--onnx"]
    if len(args) < len(context.args):
        _forward("onnx", "vocable.codecs.graphs.export", args, "onnx", "onnxscript", "onnxruntime")
    _forward("train", "vocable.recipes.export", context.args, "lightning", "hydra")


def _forward(extra: str, module: str, args: list[str], *needed: str) -> NoReturn:
    """Become the module's own process: signals, exit code and restarted DDP ranks are then its own."""
    need(extra, f"vocable {module.rpartition('.')[2]}", *needed)
    os.execv(sys.executable, [sys.executable, "-m", module, *args])


def need(extra: str, what: str, *modules: str) -> None:
    """A usage error, with what to install, where a module is missing."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise typer.BadParameter(f"{what} needs {', '.join(missing)}: pip install 'vocable[{extra}]'")
