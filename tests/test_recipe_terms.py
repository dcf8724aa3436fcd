"""The phases of a loss's weight, and its weight by an item's codebooks."""

import pytest
import torch

from vocable.losses.spectral import WaveformLoss
from vocable.recipes.adversary import Adversary
from vocable.recipes.by_rate import weighed
from vocable.recipes.terms import Term


def test_weight_has_phases() -> None:
    term = Term(WaveformLoss(), 8.0, start_step=2, ramp_steps=3, end_step=7)
    assert [term.weight_at(step) for step in range(9)] == [0, 0, 2, 4, 6, 8, 8, 0, 0]
    assert Term(WaveformLoss(), 8.0).weight_at(10**9) == 8


def test_a_phase_without_steps_is_refused() -> None:
    with pytest.raises(ValueError, match="end_step is 5; accepted: more than start_step = 5"):
        Term(WaveformLoss(), 1.0, start_step=5, end_step=5)


def test_items_of_one_codebook_count_as_often_as_asked() -> None:
    wav, target = torch.randn(3, 1, 50, requires_grad=True), torch.randn(3, 1, 50)
    loss = Term(WaveformLoss(), 1.0, alone=2.5)(wav, target, torch.tensor([1, 12, 1]))
    plain = WaveformLoss()(wav, target)
    assert torch.equal(loss, plain)
    ours, theirs = (torch.autograd.grad(value, wav)[0] for value in (loss, plain))
    torch.testing.assert_close(ours, theirs * torch.tensor([2.5, 1, 2.5])[:, None, None])


def test_nothing_is_weighed_by_what_is_not_told() -> None:
    wav = torch.randn(2, 1, 50)
    assert weighed(wav, None, 1.0) is wav
    with pytest.raises(ValueError, match=r"alone is 0\.5, and the quantizer does not tell"):
        weighed(wav, None, 0.5)


@pytest.mark.parametrize("alone", [-0.5, float("inf"), float("nan")])
def test_what_is_no_weight_is_refused(alone: float) -> None:
    message = f"alone is {alone:g}; accepted: 0 or more, and finite"
    with pytest.raises(ValueError, match=message):
        Term(WaveformLoss(), 1.0, alone=alone)
    with pytest.raises(ValueError, match=message):
        Adversary(WaveformLoss(), alone=alone)
