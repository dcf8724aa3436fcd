"""Means, intervals and tests of a benchmark against closed forms."""

import math

import numpy as np
import pytest

pytest.importorskip("scipy")

from vocable.benchmarks.significance import difference, estimate


def test_an_estimate_is_the_corpus_ratio() -> None:
    """3 of 10 words wrong and 1 of 30 are 4 of 40, not the mean of 30 % and 3.3 %."""
    found = estimate(np.array([30.0, 100 / 30]), np.array([10.0, 30.0]))
    assert found.value == pytest.approx(10.0)
    assert found.files == 2
    assert found.low == pytest.approx(100 / 30)  # both resampled files are the better one
    assert found.high == pytest.approx(30.0)


def test_the_interval_is_that_of_the_normal_law() -> None:
    values = np.random.default_rng(3).normal(2.0, 0.5, 400)
    found = estimate(values, np.ones(400))
    half = 1.96 * values.std() / math.sqrt(400)
    assert found.low is not None
    assert found.high is not None
    assert found.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_one_file_has_no_interval() -> None:
    found = estimate(np.array([2.5]), np.array([1.0]))
    assert (found.value, found.low, found.high, found.files) == (2.5, None, None, 1)


def test_a_paired_test_sees_what_the_spread_of_files_hides() -> None:
    random = np.random.default_rng(0)
    a = random.normal(0, 10, 30)
    better = difference(a + 0.5 + random.normal(0, 0.1, 30), a, np.ones(30))
    assert better.value == pytest.approx(0.5, abs=0.06)
    assert better.low > 0.4
    assert better.p < 0.001
    same = difference(a + random.normal(0, 0.1, 30), a, np.ones(30))
    assert same.p > 0.05
    assert same.low < 0 < same.high


def test_p_of_few_files_is_exact() -> None:
    """Of 2 ** 5 ways to swap five files, two are as far out as all of one sign."""
    found = difference(np.arange(5.0) + 1, np.zeros(5), np.ones(5))
    assert found.p == pytest.approx(2 / 32)
    with pytest.raises(ValueError, match="1 and 1 files; accepted: the same ones, 2 or more"):
        difference(np.ones(1), np.ones(1), np.ones(1))
