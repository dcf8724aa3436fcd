"""Codec 2, a vocoder of 700 to 3200 bit/s, by pycodec2."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vocable.benchmarks.baselines.base import Baseline, fit
from vocable.benchmarks.judges.common import need, versions
from vocable.benchmarks.subjects import Made

RATE = 8_000  # Hz
MODES = (3200, 2400, 1600, 1400, 1300, 1200, 700)  # bits/s; 700 is the mode 700C
LATE = {700: 240}  # samples
USUALLY_LATE = 160


class Codec2(Baseline):
    """Speech below 4 kHz at `bit_rate` bits a second, one of `MODES` (https://github.com/drowe67/codec2).

    The delay is taken out. It is constant: the encoder looks at the middle of its last 40 ms, so it is 20 ms
    late, and 700C 10 ms more by where it starts to interpolate between frames (its src/newamp1.c). The phase
    is the decoder's own making, so samples don't match, and a waveform's measure says nothing of it.
    """

    def __init__(self, bit_rate: int) -> None:
        if bit_rate not in MODES:
            raise ValueError(f"bit_rate is {bit_rate}; accepted: {', '.join(map(str, MODES))} bits/s")
        need(("pycodec2",), "pycodec2")
        super().__init__(f"Codec2 {bit_rate / 1000:g} kbit/s", RATE, versions("pycodec2"))
        self.bit_rate = bit_rate

    def code(self, wav: Tensor) -> Made:
        import pycodec2

        coder = pycodec2.Codec2(self.bit_rate)  # type: ignore[attr-defined]  # it is compiled
        frame, late = coder.samples_per_frame(), LATE.get(self.bit_rate, USUALLY_LATE)
        padded = F.pad(wav, (0, late + -(len(wav) + late) % frame))
        samples = (padded * 2**15).round().clamp(-(2**15), 2**15 - 1).numpy().astype(np.int16)
        decoded = [coder.decode(coder.encode(chunk)) for chunk in samples.reshape(-1, frame)]
        made = torch.from_numpy(np.concatenate(decoded)).float() / 2**15
        return Made(fit(made, late, len(wav)), coder.bits_per_frame() * RATE / frame)
