"""A codec's two programs as ONNX files."""

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from vocable.codecs.backbones.recurrence import recur
from vocable.codecs.graphs.modules import Programs

ENCODER, DECODER = "encoder.onnx", "decoder.onnx"


def write_onnx(made: Programs, folder: Path) -> None:
    """`made` as encoder.onnx, wav to codes, and decoder.onnx, codes to wav, in `folder`."""
    _write(made.encoder, folder / ENCODER, "wav", "codes")
    _write(made.decoder, folder / DECODER, "codes", "wav")


def _write(program: ExportedProgram, path: Path, source: str, target: str) -> None:
    with _quietly():
        made = torch.onnx.export(
            program,
            dynamo=True,
            input_names=[source],
            output_names=[target],
            custom_translation_table={recur._opoverload: _lstm()},
            verbose=False,
        )
    assert made is not None
    made.save(path)


def _lstm() -> Callable[..., Any]:
    """`recur` as ONNX's LSTM, by the translation of torch's own."""
    from onnxscript.function_libs.torch_lib.ops.core import aten_lstm

    def translated(x: Any, h: Any, c: Any, weights: Any, both: bool) -> Any:
        layers = len(weights) // (8 if both else 4)
        return aten_lstm(x, [h, c], weights, True, layers, 0.0, False, both, False)

    return translated


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without the exporter's own warnings: of torchvision, which is not used, and of Python's."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
