"""Moonshine (https://arxiv.org/abs/2410.15608), a small recogniser whose weights come inside a package."""

import math
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from vocable.benchmarks.judges.common import digest, need, versions
from vocable.benchmarks.judges.recognition import RATE, Recogniser, packaged

INSTALL = "moonshine-voice==0.0.4"  # whose wheel holds the weights
NAMES = ("encoder_model.ort", "decoder_model_merged.ort", "tokenizer.bin")
FILES = tuple(f"assets/tiny-en/{name}" for name in NAMES)
LONGEST = 30 * RATE  # samples, of what it was trained on
QUIET = RATE // 10  # samples, of the pause in which longer recordings are cut
TOKENS = 6.5  # a second at most, as its authors decode: of noise it would else go on for ever
BEGIN, END = 1, 2
HEADS, WIDTH = 8, 36


class Moonshine(Recogniser):
    """Moonshine tiny, English, of moonshine-voice (MIT), by onnxruntime: greedy, no voice detection.

    The package's own transcriber cuts speech at its pauses and leaves earlier recordings' lines in later
    texts; its model has neither fault. What is over 30 s is cut in pauses.
    """

    name = "moonshine"
    shortest = RATE // 10

    def check(self) -> None:
        need(("onnxruntime", "moonshine_voice"), f"onnxruntime {INSTALL}")
        _ = self._files

    @property
    def version(self) -> str:
        packages = versions("moonshine-voice", "onnxruntime")
        return f"{packages}, {digest(*self._files)}, greedy, {TOKENS:g} tokens/s at most"

    def recognise(self, wav: Tensor) -> str:
        return " ".join(self._recognise(piece) for piece in pieces(wav.numpy()))

    def _recognise(self, wav: np.ndarray) -> str:
        encoder, decoder = self._sessions
        mask = np.ones((1, len(wav)), np.int64)
        (states,) = encoder.run(None, {"input_values": wav[None], "attention_mask": mask})
        given = {"encoder_attention_mask": mask, "encoder_hidden_states": states}
        outputs = [output.name for output in decoder.get_outputs()]
        empty = np.zeros((1, HEADS, 0, WIDTH), np.float32)
        past = {name.replace("present", "past_key_values"): empty for name in outputs if name != "logits"}
        tokens = [BEGIN]
        for step in range(math.ceil(len(wav) / RATE * TOKENS)):
            given |= {"input_ids": np.array([tokens[-1:]]), "use_cache_branch": np.array([step > 0])}
            found = dict(zip(outputs, decoder.run(None, given | past), strict=True))
            token = int(found.pop("logits")[0, -1].argmax())
            if token == END:
                break
            tokens.append(token)
            # the encoder's keys and values are made by the first step, and none by the later ones
            new = {name: value for name, value in found.items() if step == 0 or ".decoder." in name}
            past |= {name.replace("present", "past_key_values"): value for name, value in new.items()}
        text = b"".join(self._vocabulary[token] for token in tokens[1:])
        return text.decode(errors="replace").replace("▁", " ").strip()

    @cached_property
    def _files(self) -> tuple[Path, ...]:
        """Encoder, decoder and vocabulary."""
        return packaged("moonshine_voice", FILES, INSTALL)

    @cached_property
    def _sessions(self) -> tuple[Any, Any]:
        """Encoder and decoder."""
        from onnxruntime import InferenceSession, SessionOptions  # pyright: ignore[reportAttributeAccessIssue]

        options = SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # files are judged in parallel
        encoder, decoder, _ = (str(path) for path in self._files)
        given = {"sess_options": options, "providers": ["CPUExecutionProvider"]}
        return InferenceSession(encoder, **given), InferenceSession(decoder, **given)

    @cached_property
    def _vocabulary(self) -> list[bytes]:
        """The text of each token: in the file its length, of two bytes from 128 on, then UTF-8."""
        data = self._files[2].read_bytes()
        found, at = [], 0
        while at < len(data):
            size, at = data[at], at + 1
            if size >= 128:
                size, at = size - 128 + 128 * data[at], at + 1
            found.append(data[at : at + size])
            at += size
        return found


def pieces(wav: np.ndarray) -> Iterator[np.ndarray]:
    """(T,) in parts of at most 30 s, each cut where the second half of what could be one is quietest."""
    while len(wav) > LONGEST:
        # up to a little before 30 s, or what is left could be shorter than the model takes
        power = np.cumsum(np.square(wav[LONGEST // 2 : LONGEST - QUIET], dtype=np.float64))
        cut = LONGEST // 2 + int((power[QUIET:] - power[:-QUIET]).argmin()) + QUIET // 2
        yield wav[:cut]
        wav = wav[cut:]
    yield wav
