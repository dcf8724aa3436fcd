"""ViSQOL: how a listener would score what was made beside the original."""

import sys
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vocable.benchmarks.judges.base import Column, Judge, Score, Utterance
from vocable.benchmarks.judges.common import at, digest, need, versions

RATE = 16_000
SHORTEST = 0.5  # seconds
MODEL = "lattice_tcditugenmeetpackhref_ls2_nl60_lr12_bs2048_learn.005_ep2400_train1_7_raw.tflite"


class ViSQOL(Judge):
    """ViSQOL v3 (https://arxiv.org/abs/2004.09584) in its speech mode, by visqol-python; 0.5 s or more.

    With the mapping by a lattice network, which is google/visqol's default. It moves what was made in time to
    fit the original. The original beside itself gets about 4.5.
    """

    name = "ViSQOL"
    kind = "offline"
    columns = (Column("ViSQOL", "Likeness to the original, 1 to 5, by ViSQOL for speech.", "higher"),)

    def check(self) -> None:
        need(("visqol", "ai_edge_litert.interpreter"), "'visqol-python[lattice]'")

    @property
    def version(self) -> str:
        model = Path(str(files("visqol"))) / "model" / MODEL
        return f"{versions('visqol-python', 'ai-edge-litert')}, {digest(model)}"

    @cached_property
    def _judge(self) -> Any:
        from visqol import VisqolApi

        if "numba" in sys.modules:  # which visqol takes where it is there, with every core
            threads = torch.get_num_threads()
            sys.modules["numba"].set_num_threads(1)
            torch.set_num_threads(threads)  # numba's own start may set OpenMP's number, which torch shares
        judge = VisqolApi()
        judge.create(mode="speech", use_lattice_model=True)
        return judge

    def __call__(self, utterance: Utterance, made: Tensor) -> dict[str, Score]:
        pair = [at(RATE, utterance, wav, SHORTEST).double().numpy() for wav in (utterance.wav, made)]
        if not all(samples.any() for samples in pair):
            raise ValueError("ViSQOL of silence; accepted: a signal")
        try:
            found = self._judge.measure_from_arrays(*pair, RATE)
        except IndexError as error:  # of its list of passages with speech
            raise ValueError("too little speech for ViSQOL; accepted: about 1 s or more") from error
        return {"ViSQOL": Score(found.moslqo)}
