"""Mel losses of vocos, SpeechTokenizer and SoundStream."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vocable.losses.mel import MelScale, MelSpectrogram, mel_filterbank
from vocable.losses.spectral import PairLoss
from vocable.losses.stft import Framing


class LogMelLoss(PairLoss):
    """L1 distance of the natural logs of mel magnitudes at one window length.

    The defaults are vocos's (https://arxiv.org/abs/2306.00814), which WavTokenizer shares. SpeechTokenizer
    has four such terms: windows 1024 to 128, hops 240 to 30, 80 bands, floor 1e-5, "same", "htk-area".
    """

    def __init__(
        self,
        sample_rate: int,
        window: int = 1024,
        hop_length: int = 256,
        n_mels: int = 100,
        floor: float = 1e-7,
        framing: Framing = "center",
        scale: MelScale = "htk",
    ) -> None:
        super().__init__()
        self.floor = floor
        filters = mel_filterbank(sample_rate, window, n_mels, scale=scale)
        self.mel = MelSpectrogram(filters, hop_length, framing=framing)

    def compare(self, estimate: Tensor, target: Tensor) -> Tensor:
        x, y = (self.mel(wav).clamp(min=self.floor).log() for wav in (estimate, target))
        return F.l1_loss(x, y)


class FrameMelLoss(PairLoss):
    """SoundStream's mel loss (https://arxiv.org/abs/2107.03312, equations 4 and 5): the mean over frames of
    the L1 norm of mel powers' difference plus, weighted by sqrt(window / 2), the L2 norm of their logs';
    the sum over window lengths.

    Short windows are padded to 512 samples, so that no filter is empty.
    """

    def __init__(
        self,
        sample_rate: int,
        windows: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048),
        n_mels: int = 64,
        floor: float = 1e-5,
    ) -> None:
        super().__init__()
        self.floor = floor
        self.weights = [(window / 2) ** 0.5 for window in windows]
        self.mels = nn.ModuleList(
            MelSpectrogram(
                mel_filterbank(sample_rate, max(window, 512), n_mels, scale="htk"),
                window // 4,
                power=2,
                window_length=window,
            )
            for window in windows
        )

    def compare(self, estimate: Tensor, target: Tensor) -> Tensor:
        losses = []
        for mel, weight in zip(self.mels, self.weights, strict=True):
            x, y = mel(estimate), mel(target)
            logs = (x.clamp(min=self.floor).log() - y.clamp(min=self.floor).log()).square().sum(-2)
            losses.append((x - y).abs().sum(-2).mean() + weight * logs.clamp(min=1e-12).sqrt().mean())
        return torch.stack(losses).sum()
