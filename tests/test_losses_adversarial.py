"""Adversarial losses against DAC's and closed forms."""

import pytest
import torch
from torch import Tensor, nn

from vocable.losses.adversarial import (
    feature_loss,
    hinge_discriminator_loss,
    hinge_generator_loss,
    least_squares_discriminator_loss,
    least_squares_generator_loss,
    relative_feature_loss,
    split,
)
from vocable.losses.mpd import MultiPeriodDiscriminator


def logits(*values: float) -> list[Tensor]:
    """Sub-discriminators of different sizes, each with one value throughout."""
    return [torch.full((2, 1, 3 + i), value) for i, value in enumerate(values)]


def test_least_squares_and_features_equal_dac() -> None:
    peer = pytest.importorskip("dac.nn.loss")

    class Signal:
        def __init__(self, audio_data: Tensor):
            self.audio_data = audio_data

        def clone(self) -> "Signal":
            return Signal(self.audio_data.clone())

        def detach(self) -> "Signal":
            return Signal(self.audio_data.detach())

    torch.manual_seed(0)
    discriminator = MultiPeriodDiscriminator((2, 3, 5), (4, 8))
    real, fake = torch.randn(2, 2, 1, 300)
    theirs = peer.GANLoss(discriminator)
    generator, features = theirs.generator_loss(Signal(fake), Signal(real))
    (real_logits, real_maps), (fake_logits, fake_maps) = (
        split(discriminator(real)),
        split(discriminator(fake)),
    )
    ours = least_squares_discriminator_loss(real_logits, fake_logits)
    torch.testing.assert_close(ours, theirs.discriminator_loss(Signal(fake), Signal(real)))
    torch.testing.assert_close(least_squares_generator_loss(fake_logits), generator)
    torch.testing.assert_close(feature_loss(real_maps, fake_maps), features)


def test_hinge_in_closed_form() -> None:
    """Past the margin there is nothing to learn: the terms are (0.5, 2) and (0, 0)."""
    loss = hinge_discriminator_loss(logits(0.5, 3.0), logits(1.0, -2.0))
    assert float(loss) == (0.5 + 2 + 0 + 0) / 2
    assert float(hinge_generator_loss(logits(1.0, -2.0))) == 0.5


def test_least_squares_in_closed_form() -> None:
    loss = least_squares_discriminator_loss(logits(0.5, 1.0), logits(0.5, 2.0))
    assert float(loss) == 0.25 + 0.25 + 0 + 4
    assert float(least_squares_generator_loss(logits(0.5, -1.0))) == 0.25 + 4


def test_feature_losses_in_closed_form() -> None:
    """Two sub-discriminators with two maps and one: distances 1, 0.5 and 3 on scales 2, 1 and 4."""
    real = [logits(2.0, -1.0), logits(4.0)]
    fake = [logits(1.0, -0.5), logits(1.0)]
    assert float(feature_loss(real, fake)) == 1 + 0.5 + 3
    assert float(relative_feature_loss(real, fake)) == ((0.5 + 0.5) / 2 + 0.75) / 2
    scaled = [[10 * x for x in maps] for maps in real], [[10 * x for x in maps] for maps in fake]
    assert float(relative_feature_loss(*scaled)) == float(relative_feature_loss(real, fake))


def test_features_teach_the_generator_only() -> None:
    for loss in (feature_loss, relative_feature_loss):
        real, fake = (torch.randn(2, 3, requires_grad=True) for _ in range(2))
        loss([[real]], [[fake]]).backward()
        assert real.grad is None
        assert fake.grad is not None
    silent = torch.zeros(2, 3)
    assert float(relative_feature_loss([[silent]], [[silent]])) == 0


def test_low_precision_logits_are_averaged_in_float32() -> None:
    fake = [torch.full((1000,), 0.1, dtype=torch.bfloat16)]
    loss = least_squares_generator_loss(fake)
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx((1 - float(fake[0][0])) ** 2, rel=1e-6)


def test_unequal_lists_are_refused() -> None:
    with pytest.raises(ValueError, match="real has 2 entries and fake 1"):
        hinge_discriminator_loss(logits(1, 1), logits(1))
    with pytest.raises(ValueError, match="real has 1 entries and fake 2"):
        feature_loss([logits(1)], [logits(1, 1)])
    with pytest.raises(ValueError, match="at least 1"):
        least_squares_discriminator_loss([], [])


@pytest.mark.parametrize(
    ("discriminator_loss", "generator_loss"),
    [
        (hinge_discriminator_loss, hinge_generator_loss),
        (least_squares_discriminator_loss, least_squares_generator_loss),
    ],
)
def test_the_game_moves_both_players(discriminator_loss, generator_loss) -> None:
    """A linear critic learns to tell two means apart, then pulls the generated one to the real one."""
    torch.manual_seed(0)
    critic, offset = nn.Linear(1, 1), nn.Parameter(torch.zeros(1))
    real = torch.randn(64, 1) * 0.1 + 2
    fake = torch.randn(64, 1) * 0.1
    optimizer = torch.optim.Adam(critic.parameters(), 0.05)
    for _ in range(100):
        optimizer.zero_grad()
        discriminator_loss([critic(real)], [critic(fake)]).backward()
        optimizer.step()
    with torch.no_grad():
        assert float(critic(real).mean()) > float(critic(fake).mean()) + 0.5
    generator_loss([critic(fake + offset)]).backward()
    assert offset.grad is not None
    assert float(offset.grad) < 0
