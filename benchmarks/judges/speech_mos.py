"""DNSMOS, P.808 and PLCMOS: Microsoft's predictors, whose weights come with the package speechmos."""

from functools import cached_property
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from vocable.benchmarks.judges.base import Column, Judge, Score, Utterance
from vocable.benchmarks.judges.common import at, digest, need, versions

RATE = 16_000
SHORTEST = 0.1  # seconds; what is shorter would be a tone once it is repeated
RATERS = 15  # that the package asks for


def _model(name: str) -> Path:
    return Path(str(files("speechmos"))) / name


def _session(path: Path) -> Any:
    """The model in one thread, as the runner has many workers; the package's own takes every core."""
    onnxruntime: Any = import_module("onnxruntime")  # it names its classes at run time only
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _samples(utterance: Utterance, made: Tensor) -> np.ndarray:
    """(T,) at 16 kHz, clipped to -1 and 1, as in 16 bits: the package refuses what goes beyond."""
    return at(RATE, utterance, made, SHORTEST).clamp(-1, 1).numpy()


class DNSMOS(Judge):
    """DNSMOS P.835 (https://arxiv.org/abs/2110.01763) and P.808 (https://arxiv.org/abs/2010.15258).

    Of what was made, without the original: the mean over parts of 9.01 s, 1 s apart; audio that is shorter is
    repeated, as the package has it. 0.1 s or more.
    """

    name = "DNSMOS"
    kind = "offline"
    columns = (
        Column("DNSMOS", "Overall quality, 1 to 5, predicted by DNSMOS P.835.", "higher"),
        Column("DNSMOS SIG", "Quality of the speech itself, 1 to 5, predicted by DNSMOS P.835.", "higher"),
        Column("DNSMOS BAK", "Quality of the background, 1 to 5, predicted by DNSMOS P.835.", "higher"),
        Column("P.808", "Overall quality, 1 to 5, as in tests after P.808, predicted by DNSMOS.", "higher"),
    )
    _keys = ("ovrl_mos", "sig_mos", "bak_mos", "p808_mos")
    _files = ("dnsmos_models/sig_bak_ovr.onnx", "dnsmos_models/model_v8.onnx")

    def check(self) -> None:
        need(("speechmos.dnsmos", "librosa"), "speechmos")

    @property
    def version(self) -> str:
        return f"{versions('speechmos', 'onnxruntime', 'librosa')}, {digest(*map(_model, self._files))}"

    @cached_property
    def _judge(self) -> Any:
        from speechmos.dnsmos import DNSMOS as Package

        judge = Package(*(str(_model(name)) for name in self._files))
        judge.onnx_sess, judge.p808_onnx_sess = (_session(_model(name)) for name in self._files)
        return judge

    def __call__(self, utterance: Utterance, made: Tensor) -> dict[str, Score]:
        found = self._judge(_samples(utterance, made), RATE, is_personalized_MOS=False)
        pairs = zip(self.columns, self._keys, strict=True)
        return {column.name: Score(float(found[key])) for column, key in pairs}


class PLCMOS(Judge):
    """PLCMOS v2 (https://arxiv.org/abs/2305.15127) of what was made, without the original; 0.1 s or more.

    The mean over raters that are drawn at random: the same ones for each file, the package draws anew.
    """

    name = "PLCMOS"
    kind = "offline"
    columns = (Column("PLCMOS", "Quality as packet loss harms it, 1 to 5, predicted by PLCMOS.", "higher"),)
    _raters = np.random.default_rng(0).standard_normal((RATERS, 1, 64)).astype(np.float32)
    _file = "plcmos_models/plcmos_v2.onnx"

    def check(self) -> None:
        need(("speechmos.plcmos",), "speechmos")

    @property
    def version(self) -> str:
        return f"{versions('speechmos', 'onnxruntime')}, {digest(_model(self._file))}"

    @cached_property
    def _judge(self) -> Any:
        from speechmos.plcmos import PLCMOS as Package

        judge = Package()
        judge.session = _session(_model(self._file))
        return judge

    def __call__(self, utterance: Utterance, made: Tensor) -> dict[str, Score]:
        features = np.asarray(self._judge.stft_transform(_samples(utterance, made)), np.float32)[None, None]
        found = [
            self._judge.session.run(None, {"degraded_audio": features, "rater_embed": rater})[0]
            for rater in self._raters
        ]
        return {"PLCMOS": Score(float(np.mean(found)))}
