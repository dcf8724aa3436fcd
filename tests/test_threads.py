"""Threads that share one codec get what one thread gets, to the bit."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch
from torch import Tensor

from vocable.benchmarks.small import NAMES, small_codec
from vocable.codecs import Tokens

THREADS = 8
SLOW = ("xcodec", "semanticodec", "bigcodec", "snac-44khz")  # to build, or as they look at long segments
PARAMS = [pytest.param(name, marks=pytest.mark.full if name.startswith(SLOW) else ()) for name in NAMES]


@pytest.mark.parametrize("name", PARAMS)
def test_eight_threads_share_a_codec(name: str) -> None:
    """Each thread works on a signal of its own, of another length, so that a shared buffer would show."""
    if name.startswith("xcodec"):
        pytest.importorskip("transformers")
    codec = small_codec(name)
    generator = torch.Generator().manual_seed(0)
    samples = codec.hop_length * 4
    wavs = [0.3 * torch.randn(codec.channels, samples + 37 * i, generator=generator) for i in range(THREADS)]
    barrier = Barrier(THREADS)

    def work(wav: Tensor) -> tuple[Tokens, Tensor]:
        barrier.wait()
        tokens = codec.encode(wav)
        return tokens, codec.decode(tokens)

    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(work, wavs))
    for wav, (tokens, audio) in zip(wavs, found, strict=True):
        alone = codec.encode(wav)
        assert torch.equal(tokens.codes, alone.codes)
        assert torch.equal(audio, codec.decode(alone))
