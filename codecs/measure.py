"""How close a reconstruction is to what went in: SNR, SI-SDR, STOI and PESQ."""

import math
import warnings
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from vocable.codecs.audio import resample

INSTALL = "pip install 'vocable[bench]'"
# seconds: the package has room for 50 passages of speech, and where there are more it crashes the process
PESQ_LONGEST = 60


def snr(reference: Tensor, estimate: Tensor) -> float:
    """Signal-to-noise ratio of two tensors of one shape, in dB; infinite where they are equal."""
    noise = (estimate.double() - reference.double()).square().sum().item()
    return 10 * math.log10(reference.double().square().sum().item() / noise) if noise else math.inf


def si_sdr(reference: Tensor, estimate: Tensor) -> float:
    """Scale-invariant signal-to-distortion ratio of two (T,), in dB (https://arxiv.org/abs/1811.02508)."""
    _check(reference, estimate)
    reference, estimate = (wav.double() - wav.double().mean() for wav in (reference, estimate))
    if not reference.any() or not estimate.any():
        raise ValueError("SI-SDR of a constant signal; accepted: one that varies")
    target = (estimate @ reference) / (reference @ reference) * reference
    noise = (estimate - target).square().sum().item()
    return 10 * math.log10(target.square().sum().item() / noise) if noise else math.inf


def stoi(reference: Tensor, estimate: Tensor, sample_rate: int) -> float:
    """Short-time objective intelligibility of two (T,), 0 to 1, by pystoi."""
    from pystoi import stoi as judge

    _check(reference, estimate)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # it gives 1e-5 for too little speech, and only warns
        try:
            return float(judge(reference.cpu().numpy(), estimate.cpu().numpy(), sample_rate))
        except RuntimeWarning as warning:
            raise ValueError("too little speech for STOI; accepted: about 0.4 s or more") from warning


def pesq_wb(reference: Tensor, estimate: Tensor, sample_rate: int) -> float:
    """Wide-band PESQ of two (T,), MOS 1.0 to 4.64, at 16 kHz, by the package pesq; 60 s at most."""
    return _pesq(reference, estimate, sample_rate, "wb")


def pesq_nb(reference: Tensor, estimate: Tensor, sample_rate: int) -> float:
    """Narrow-band PESQ of two (T,), MOS 1.0 to 4.55, of 16 kHz, by the package pesq; 60 s at most."""
    return _pesq(reference, estimate, sample_rate, "nb")


def measure(reference: Tensor, estimate: Tensor, sample_rate: int) -> dict[str, float | str]:
    """STOI, PESQ-WB and SI-SDR of two (C, T), mixed to one channel; of one not run, the reason."""
    pair = reference.cpu().mean(0), estimate.cpu().mean(0)
    judges = {
        "STOI": partial(stoi, *pair, sample_rate),
        "PESQ-WB": partial(pesq_wb, *pair, sample_rate),
        "SI-SDR": partial(si_sdr, *pair),
    }
    return {name: _run(judge) for name, judge in judges.items()}


def _pesq(reference: Tensor, estimate: Tensor, sample_rate: int, mode: str) -> float:
    from pesq import PesqError
    from pesq import pesq as judge

    _check(reference, estimate)
    if not reference.any() or not estimate.any():
        raise ValueError("PESQ of silence; accepted: a signal")
    seconds = len(reference) / sample_rate
    if seconds > PESQ_LONGEST:
        raise ValueError(f"the signals have {seconds:.0f} s; accepted: {PESQ_LONGEST} s or less for PESQ")
    pair = [resample(wav, sample_rate, 16_000).cpu().numpy() for wav in (reference, estimate)]
    try:
        return float(judge(16_000, *pair, mode=mode))
    except PesqError as error:
        raise ValueError(f"too little speech for PESQ: {error}") from error


def _run(judge: Callable[[], float]) -> float | str:
    try:
        return judge()
    except ModuleNotFoundError:
        return f"not run: {INSTALL}"
    except ValueError as error:
        return f"not run: {error}"


def _check(reference: Tensor, estimate: Tensor) -> None:
    if reference.ndim != 1 or reference.shape != estimate.shape or not torch.is_floating_point(reference):
        found = f"{tuple(reference.shape)} and {tuple(estimate.shape)}"
        raise ValueError(f"signals are {found}; accepted: two float (T,) of one length")
