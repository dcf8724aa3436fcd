"""The phases of a loss's weight."""

import pytest

from vocable.losses.spectral import WaveformLoss
from vocable.recipes.terms import Term


def test_weight_has_phases() -> None:
    term = Term(WaveformLoss(), 8.0, start_step=2, ramp_steps=3, end_step=7)
    assert [term.weight_at(step) for step in range(9)] == [0, 0, 2, 4, 6, 8, 8, 0, 0]
    assert Term(WaveformLoss(), 8.0).weight_at(10**9) == 8


def test_a_phase_without_steps_is_refused() -> None:
    with pytest.raises(ValueError, match="end_step is 5; accepted: more than start_step = 5"):
        Term(WaveformLoss(), 1.0, start_step=5, end_step=5)
