"""Training losses and discriminators of neural audio codecs."""

from vocable.losses.adversarial import (
    feature_loss,
    hinge_discriminator_loss,
    hinge_generator_loss,
    least_squares_discriminator_loss,
    least_squares_generator_loss,
    relative_feature_loss,
    split,
)
from vocable.losses.balancer import Balancer
from vocable.losses.discriminators import Discriminators, PeakNormalized
from vocable.losses.mpd import MultiPeriodDiscriminator
from vocable.losses.mrd import MultiBandDiscriminator
from vocable.losses.msstftd import MultiScaleSTFTDiscriminator
from vocable.losses.spectral import (
    ComplexSTFTLoss,
    MultiResolutionSTFTLoss,
    MultiScaleMelLoss,
    NormalizedErrorLoss,
    PowerMelLoss,
    SISDRLoss,
    WaveformLoss,
)

__all__ = [
    "Balancer",
    "ComplexSTFTLoss",
    "Discriminators",
    "MultiBandDiscriminator",
    "MultiPeriodDiscriminator",
    "MultiResolutionSTFTLoss",
    "MultiScaleMelLoss",
    "MultiScaleSTFTDiscriminator",
    "NormalizedErrorLoss",
    "PeakNormalized",
    "PowerMelLoss",
    "SISDRLoss",
    "WaveformLoss",
    "feature_loss",
    "hinge_discriminator_loss",
    "hinge_generator_loss",
    "least_squares_discriminator_loss",
    "least_squares_generator_loss",
    "relative_feature_loss",
    "split",
]
