"""The short-time Fourier transform that spectral losses and discriminators look at."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Framing = Literal["center", "same", "valid"]
FRAMINGS = ("center", "same", "valid")


class STFT(nn.Module):
    """Waveforms (B, C, T) to complex spectra (B, C, n_fft / 2 + 1, N), Hann window, always in float32.

    framing: "center" puts frame n at sample n * hop_length (N = T // hop + 1), "same" gives N = ceil(T / hop)
    frames as a convolution would, "valid" takes whole windows only, with no padding. Padding reflects.
    normalized: divide by the window's L2 norm, so that white noise has the same level at every resolution.
    window_length: of a window shorter than n_fft, in the middle of it.
    """

    window: Tensor

    def __init__(
        self,
        n_fft: int,
        hop_length: int,
        framing: Framing = "center",
        normalized: bool = False,
        window_length: int | None = None,
    ):
        super().__init__()
        length = n_fft if window_length is None else window_length
        if framing not in FRAMINGS:
            raise ValueError(f"framing is {framing!r}; accepted: {', '.join(FRAMINGS)}")
        if not 0 < hop_length <= n_fft:
            raise ValueError(f"hop_length is {hop_length}; accepted: 1 to n_fft = {n_fft}")
        if not 0 < length <= n_fft:
            raise ValueError(f"window_length is {length}; accepted: 1 to n_fft = {n_fft}")
        self.n_fft, self.hop_length, self.framing = n_fft, hop_length, framing
        rest = n_fft - length
        window = F.pad(torch.hann_window(length), (rest // 2, rest - rest // 2))
        self.scale = 1 / float(window.norm()) if normalized else 1.0
        self.register_buffer("window", window, persistent=False)

    @property
    def same_padding(self) -> tuple[int, int]:
        """Left and right padding of a whole number of hops for "same" framing."""
        total = self.n_fft - self.hop_length
        return total // 2, total - total // 2

    @property
    def min_samples(self) -> int:
        """The length from which any signal can be framed: a reflection must be shorter than the signal."""
        if self.framing == "center":
            return self.n_fft // 2 + 1
        return self.n_fft if self.framing == "valid" else self.same_padding[1] + self.hop_length

    def forward(self, wav: Tensor) -> Tensor:
        batch, channels, samples = wav.shape
        if samples < self.min_samples:
            raise ValueError(f"wav has {samples} samples; n_fft = {self.n_fft} needs {self.min_samples}")
        with torch.autocast(wav.device.type, enabled=False):
            wav = wav.float()
            if self.framing == "same":
                left, right = self.same_padding
                wav = F.pad(wav, (left, right + -samples % self.hop_length), mode="reflect")
            spec = torch.stft(
                wav.flatten(0, 1),
                self.n_fft,
                self.hop_length,
                window=self.window,
                center=self.framing == "center",
                return_complex=True,
            )
            return spec.unflatten(0, (batch, channels)) * self.scale
