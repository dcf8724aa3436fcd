"""Training losses and discriminators of neural audio codecs."""

from vocable.losses.adversarial import (
    clamped_hinge_generator_loss,
    feature_loss,
    hinge_discriminator_loss,
    hinge_generator_loss,
    least_squares_discriminator_loss,
    least_squares_generator_loss,
    mean_feature_loss,
    relative_feature_loss,
    split,
)
from vocable.losses.balancer import Balancer
from vocable.losses.batch_stft import BatchSTFTLoss
from vocable.losses.complex_stft import ComplexSTFTDiscriminator
from vocable.losses.discriminators import Discriminators, MatchedMaps, PeakNormalized
from vocable.losses.groups import Averaged, Grouped
from vocable.losses.log_mel import FrameMelLoss, LogMelLoss
from vocable.losses.mfd import MultiFrequencyDiscriminator
from vocable.losses.mpd import MultiPeriodDiscriminator
from vocable.losses.mrd import MultiBandDiscriminator
from vocable.losses.msd import MultiScaleDiscriminator, melgan_discriminator
from vocable.losses.msstftd import MultiScaleSTFTDiscriminator
from vocable.losses.pqmf import PQMF, PQMFLoss
from vocable.losses.semantic import correlation_loss, cosine_loss, d_axis_loss
from vocable.losses.spec_discriminator import SpectrogramDiscriminator
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
    "PQMF",
    "Averaged",
    "Balancer",
    "BatchSTFTLoss",
    "ComplexSTFTDiscriminator",
    "ComplexSTFTLoss",
    "Discriminators",
    "FrameMelLoss",
    "Grouped",
    "LogMelLoss",
    "MatchedMaps",
    "MultiBandDiscriminator",
    "MultiFrequencyDiscriminator",
    "MultiPeriodDiscriminator",
    "MultiResolutionSTFTLoss",
    "MultiScaleDiscriminator",
    "MultiScaleMelLoss",
    "MultiScaleSTFTDiscriminator",
    "NormalizedErrorLoss",
    "PQMFLoss",
    "PeakNormalized",
    "PowerMelLoss",
    "SISDRLoss",
    "SpectrogramDiscriminator",
    "WaveformLoss",
    "clamped_hinge_generator_loss",
    "correlation_loss",
    "cosine_loss",
    "d_axis_loss",
    "feature_loss",
    "hinge_discriminator_loss",
    "hinge_generator_loss",
    "least_squares_discriminator_loss",
    "least_squares_generator_loss",
    "mean_feature_loss",
    "melgan_discriminator",
    "relative_feature_loss",
    "split",
]
