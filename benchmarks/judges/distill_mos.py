"""DistillMOS: quality of speech, by a small model that learnt from a large one."""

from contextlib import redirect_stdout
from functools import cached_property
from importlib.resources import files
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vocable.benchmarks.judges.base import Column, Judge, Score, Utterance
from vocable.benchmarks.judges.common import at, digest, need, versions

RATE = 16_000
SHORTEST = 0.1  # seconds; what is shorter would be judged by the zeros that fill it up


class DistillMOS(Judge):
    """DistillMOS (https://arxiv.org/abs/2502.05356) of what was made, without the original.

    The mean over parts of 7.68 s, at most 1 s apart, each made equally loud; zeros follow shorter audio.
    0.1 s or more.
    """

    name = "DistillMOS"
    kind = "offline"
    columns = (Column("MOS DistillMOS", "Quality of speech, 1 to 5, predicted by DistillMOS.", "higher"),)

    def check(self) -> None:
        need(("distillmos",), "distillmos")

    @property
    def version(self) -> str:
        weights = Path(str(files("distillmos"))) / "weights" / "distill_mos_v7.pt"
        return f"{versions('distillmos', 'torch')}, {digest(weights)}"

    @cached_property
    def _model(self) -> Any:
        from distillmos import ConvTransformerSQAModel

        with redirect_stdout(StringIO()):  # it prints the path of its weights
            return ConvTransformerSQAModel().eval()

    @torch.inference_mode()
    def __call__(self, utterance: Utterance, made: Tensor) -> dict[str, Score]:
        return {"MOS DistillMOS": Score(float(self._model(at(RATE, utterance, made, SHORTEST)[None])))}
