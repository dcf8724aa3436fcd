"""Means over files with their intervals, and whether two codecs differ."""

from typing import NamedTuple

import numpy as np

from vocable.benchmarks.results import Estimate

RESAMPLES, SEED = 2000, 0


class Difference(NamedTuple):
    """Of two codecs on the same files: mean of the first less the second's, its 95 % interval, p value."""

    value: float
    low: float
    high: float
    p: float
    files: int


def estimate(values: np.ndarray, weights: np.ndarray) -> Estimate:
    """The weighted mean of (M,) values, with a 95 % percentile bootstrap interval over files.

    A ratio of sums, so that word error rates weighted by words give the corpus's.
    """
    mean = _mean(values * weights, weights)
    if len(values) < 2:
        return Estimate(float(mean), files=len(values))
    low, high = _interval(values * weights, weights)
    return Estimate(float(mean), low, high, len(values))


def difference(a: np.ndarray, b: np.ndarray, weights: np.ndarray) -> Difference:
    """Paired: (M,) values of the same files. p of a permutation test that swaps the codecs file by file.

    ValueError for fewer than 2 files.
    """
    from scipy.stats import permutation_test

    if not len(a) == len(b) == len(weights) or len(a) < 2:
        raise ValueError(f"{len(a)} and {len(b)} files; accepted: the same ones, 2 or more")
    change = (a - b) * weights
    value = float(_mean(change, weights))
    low, high = _interval(change, weights)

    def signed(x: np.ndarray, axis: int = -1) -> np.ndarray:
        return x.sum(axis)

    found = permutation_test(
        (change,),
        signed,
        permutation_type="samples",
        vectorized=True,
        n_resamples=9999,
        rng=np.random.default_rng(SEED),
    )
    return Difference(value, low, high, float(found.pvalue), len(a))


def _interval(parts: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    from scipy.stats import bootstrap

    found = bootstrap(
        (parts, weights),
        _mean,
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=RESAMPLES,
        rng=np.random.default_rng(SEED),
        batch=max(1, 10**7 // len(parts)),
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def _mean(parts: np.ndarray, weights: np.ndarray, axis: int = -1) -> np.ndarray:
    return parts.sum(axis) / weights.sum(axis)
