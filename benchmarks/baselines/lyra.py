"""Lyra V2: SoundStream's encoder and quantizer as Google released them, with a small generative decoder."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vocable.benchmarks.baselines.base import Baseline, fit
from vocable.benchmarks.judges.common import digest, need, versions
from vocable.benchmarks.subjects import Made

FILES = ("soundstream_encoder.tflite", "quantizer.tflite", "lyragan.tflite")
RATE, FRAME, FRAME_RATE = 16_000, 320, 50.0  # Hz, samples, Hz
CODEBOOKS, SIZE = 46, 16  # as the quantizer has them; entries of each
BIT_RATES = {3_200: 16, 6_000: 30, 9_200: 46}  # bits/s to codebooks


class Lyra(Baseline):
    """Lyra V2 at `bit_rate` bits a second from a folder with the three files of google/lyra's `model_coeffs`.

    https://github.com/google/lyra, Apache-2.0. Its output has no delay but the 20 ms of a frame, which
    cutting a recording into frames hides. TensorFlow Lite's kernels round differently from one version to the
    next, which changes the output and the scores of single recordings with it.
    """

    def __init__(self, bit_rate: int, folder: str | Path) -> None:
        if bit_rate not in BIT_RATES:
            raise ValueError(f"bit_rate is {bit_rate}; accepted: {', '.join(map(str, BIT_RATES))} bits/s")
        self.paths = [Path(folder) / name for name in FILES]
        if missing := [path.name for path in self.paths if not path.is_file()]:
            raise ValueError(
                f"{folder} lacks {', '.join(missing)}; accepted: a folder with {', '.join(FILES)}, "
                "of https://github.com/google/lyra"
            )
        need(("ai_edge_litert.interpreter",), "ai-edge-litert")
        super().__init__(
            f"Lyra V2 {bit_rate / 1000:g} kbit/s", RATE, versions("ai-edge-litert"), digest(*self.paths)
        )
        self.count, self.frame_rate = BIT_RATES[bit_rate], FRAME_RATE
        self.codebook_sizes = (SIZE,) * self.count

    def code(self, wav: Tensor) -> Made:
        encoder, quantizer, decoder = map(_interpreter, self.paths)  # new ones: state outlives a reset
        encode, decode = (quantizer.get_signature_runner(name) for name in ("encode", "decode"))
        count, codes, made = np.array(self.count, np.int32), [], []
        for frame in F.pad(wav, (0, -len(wav) % FRAME)).view(-1, 1, FRAME).numpy():
            latent = _invoke(encoder, frame)
            indices = encode(input_frames=latent, num_quantizers=count)["output_0"]  # -1 for those left out
            codes.append(indices[: self.count, 0, 0])
            made.append(_invoke(decoder, decode(encoding_indices=indices)["output_0"])[0])
        samples = torch.from_numpy(np.concatenate(made)).clamp(-1, 1)
        tokens = torch.from_numpy(np.stack(codes, 1)).long()
        return Made(fit(samples, 0, len(wav)), self.count * 4 * FRAME_RATE, tokens)


def _interpreter(path: Path) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    made = Interpreter(str(path), num_threads=1)
    made.allocate_tensors()
    return made


def _invoke(interpreter: Any, value: np.ndarray) -> np.ndarray:
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], value)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
