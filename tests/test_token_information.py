"""What tokens tell and cost, and the linear probe: against closed forms, and scikit-learn."""

import math

import pytest
import torch
from torch import Tensor

from vocable.benchmarks.speech_tokens.information import (
    code_length,
    mutual_information,
    occurrences,
    told,
)
from vocable.benchmarks.speech_tokens.probe import fit_probe


def labels(size: int, noise: float) -> tuple[Tensor, Tensor]:
    """Codes (M,) of 20 that tell units (M,) of 8, but for a share of noise."""
    torch.manual_seed(0)
    units = torch.randint(8, (size,))
    codes = torch.where(torch.rand(size) < noise, torch.randint(20, (size,)), 2 * units)
    return codes, units


def halves(codes: Tensor, units: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    middle = len(codes) // 2
    return (codes[:middle], units[:middle]), (codes[middle:], units[middle:])


def test_information_of_a_noisy_channel() -> None:
    codes, units = labels(40_000, 0.5)
    joint = torch.full((20, 8), 0.5 / 20 / 8, dtype=torch.float64)
    joint[torch.arange(8) * 2, torch.arange(8)] += 0.5 / 8
    bits = float((joint * (joint / joint.sum(1, keepdim=True) / joint.sum(0)).log2()).sum())
    assert 1 < bits < 2
    found = mutual_information(*halves(codes, units), 8)
    assert found.bits == pytest.approx(bits, abs=0.03)
    assert found.share == pytest.approx(bits / 3, abs=0.01)
    assert told(*halves(codes, units), 8) == pytest.approx(bits / 3, abs=0.01)


def test_codes_that_are_the_units_and_codes_that_have_nothing_to_do_with_them() -> None:
    torch.manual_seed(0)
    codes, units = torch.randint(1000, (4000,)), torch.randint(50, (4000,))
    found = mutual_information(*halves(units, units), 50)
    assert found.share > 0.99
    assert found.bits == pytest.approx(math.log2(50), abs=0.05)
    assert told(*halves(units, units), 50) > 0.95
    # two observations of each code: the listener that trusts them is misled, the careful one is not
    assert told(*halves(codes, units), 50) < -0.1
    assert abs(mutual_information(*halves(codes, units), 50).share) < 0.01
    never_seen = (codes[:9], units[:9]), (codes[9:] + 1000, units[9:])
    assert told(*never_seen, 50) < 0.01


def test_told_is_of_the_frequencies_in_a_whole_table() -> None:
    codes, units = labels(3000, 0.7)
    (fit, said), (test, said_test) = halves(codes, units)
    table = torch.zeros(20, 8, dtype=torch.float64)
    table.index_put_((fit, said), table.new_ones(()), accumulate=True)
    prior = (table.sum(0) + 1) / (table.sum() + 8)
    posterior = (table + prior) / (table.sum(1, keepdim=True) + 1)
    entropy = -prior.log()[said_test].mean()
    expected = float(1 + posterior.log()[test, said_test].mean() / entropy)
    assert told((fit, said), (test, said_test), 8) == pytest.approx(expected, abs=1e-12)


def test_codebooks_larger_than_memory() -> None:
    codes, units = labels(4000, 0.5)
    apart = codes * 2**44
    assert told(*halves(apart, units), 8) == told(*halves(codes, units), 8)
    wide = code_length([apart[:2000]], [apart[2000:]], 2**48)
    assert wide == pytest.approx(code_length([codes[:2000]], [codes[2000:]], 20), abs=0.01)
    assert occurrences(torch.tensor([3, 5, 3]), torch.tensor([3, 4, 5])).tolist() == [2, 0, 1]


def test_code_length_is_a_chains_entropy_rate() -> None:
    """Stays with 0.7, else goes anywhere of 8."""
    torch.manual_seed(0)
    fresh = torch.randint(8, (60_000,))
    moves = torch.rand(60_000) >= 0.7
    chain = fresh[torch.where(moves, torch.arange(60_000), 0).cummax(0).values]
    stay, go = 0.7 + 0.3 / 8, 0.3 / 8
    rate = -stay * math.log2(stay) - 7 * go * math.log2(go)
    found = code_length([chain[:30_000]], [chain[30_000:45_000], chain[45_000:]], 8)
    assert found.alone == pytest.approx(3, abs=0.01)
    assert found.given_last == pytest.approx(rate, abs=0.02)


def test_little_data_does_not_fake_a_low_entropy() -> None:
    torch.manual_seed(0)
    codes = torch.randint(1000, (10_000,))
    found = code_length([codes[:5000]], [codes[5000:]], 1000)  # a plug-in estimate given the last: 2.3 bits
    assert found.alone == pytest.approx(math.log2(1000), abs=0.02)
    assert found.given_last == pytest.approx(math.log2(1000), abs=0.02)
    sparse = torch.randint(65_536, (4000,))  # a plug-in estimate: at most 11 bits
    assert code_length([sparse[:2000]], [sparse[2000:]], 65_536).alone == pytest.approx(16, abs=0.05)


def test_code_length_of_what_is_certain_and_of_single_tokens() -> None:
    cycle = torch.arange(4000) % 4
    found = code_length([cycle[:2000]], [cycle[2000:]], 4)
    assert found.alone == pytest.approx(2, abs=0.01)
    assert found.given_last == pytest.approx(0, abs=0.01)
    ones = [torch.tensor([i % 2]) for i in range(100)]
    assert code_length(ones, ones, 2) == (pytest.approx(1, abs=0.02), None)


def test_probe_is_logistic_regression() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    torch.manual_seed(0)
    x, centres = torch.randn(600, 10), torch.randn(5, 10)
    y = (x @ centres.T + torch.randn(600, 5)).argmax(1)
    found = fit_probe(x[:400], y[:400], 5).guess(x[400:])
    model = linear_model.LogisticRegression(C=25, max_iter=500).fit(x[:400], y[:400])
    assert float((found == y[400:]).double().mean()) == pytest.approx(model.score(x[400:], y[400:]), abs=0.03)
    assert float((found == y[400:]).double().mean()) > 0.5


def test_probe_of_few_dimensions_in_a_wide_space() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    torch.manual_seed(0)
    narrow, lift = torch.randn(900, 5), torch.randn(5, 64)
    y = (narrow @ torch.randn(5, 4) + 0.5 * torch.randn(900, 4)).argmax(1)
    x = narrow @ lift
    probe = fit_probe(x[:600], y[:600], 4)
    assert probe.axes is not None
    assert probe.axes.shape == (64, 5)
    standard = ((x - probe.mean) / probe.scale).numpy()
    model = linear_model.LogisticRegression(C=1 / (600 * 1e-4), max_iter=2000, tol=1e-8).fit(
        standard[:600], y[:600]
    )
    weight = probe.weight @ probe.axes.T  # back in the wide space: the same optimum
    difference = weight - torch.from_numpy(model.coef_).float()
    assert difference.norm() < 0.02 * weight.norm()
    assert fit_probe(narrow, y, 4).axes is None


def test_probe_of_constant_inputs_guesses_the_most_frequent() -> None:
    probe = fit_probe(torch.ones(10, 4), torch.tensor([1] * 7 + [0] * 3), 2)
    assert probe.guess(torch.ones(2, 4)).tolist() == [1, 1]
