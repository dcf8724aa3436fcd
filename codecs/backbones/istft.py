"""Short-time Fourier analysis and synthesis, and the heads that predict spectra (Vocos,
https://arxiv.org/abs/2306.00814)."""

import torch
from einops import rearrange
from torch import Tensor, nn

from vocable.codecs.backbones.padding import check_multiple

PADDINGS = ("same", "center")


class STFT(nn.Module):
    """Waveform (B, T), T a multiple of the hop, to spectra (B, n_fft / 2 + 1, T / hop), complex, Hann window.

    Frame n is centred on the hop that it stands for: the padding rule of the convolutions.
    """

    window: Tensor

    def __init__(self, n_fft: int, hop_length: int):
        super().__init__()
        check_fft(n_fft, hop_length, "same")
        self.n_fft, self.hop_length = n_fft, hop_length
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    def forward(self, wav: Tensor) -> Tensor:
        check_multiple(wav.shape[-1], self.hop_length)
        pad = (self.n_fft - self.hop_length) // 2
        frames = nn.functional.pad(wav.float(), (pad, pad)).unfold(-1, self.n_fft, self.hop_length)
        return torch.fft.rfft(frames * self.window).transpose(1, 2)


class ISTFT(nn.Module):
    """Spectra (B, n_fft / 2 + 1, N), complex, to a waveform: overlap-add over the summed squared Hann window.

    padding: "same" gives N * hop samples and inverts `STFT`; "center" gives (N - 1) * hop and inverts
    `torch.stft(center=True)`.
    """

    window: Tensor

    def __init__(self, n_fft: int, hop_length: int, padding: str = "same"):
        super().__init__()
        check_fft(n_fft, hop_length, padding)
        self.n_fft, self.hop_length, self.padding = n_fft, hop_length, padding
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    def forward(self, spec: Tensor) -> Tensor:
        if self.padding == "center":
            return torch.istft(spec, self.n_fft, self.hop_length, self.n_fft, self.window, center=True)
        frames = torch.fft.irfft(spec.transpose(1, 2), self.n_fft) * self.window
        squares = self.window.square().expand(1, frames.shape[1], -1)
        cut = (self.n_fft - self.hop_length) // 2
        wav, envelope = (overlap_add(x, self.hop_length)[:, cut : -cut or None] for x in (frames, squares))
        return wav / envelope


class ISTFTHead(nn.Module):
    """Features (B, N, dim) to a waveform (B, 1, T) by each frame's log-magnitude and phase, as Vocos does.

    T is N * hop_length ("same") or (N - 1) * hop_length ("center").
    """

    def __init__(self, dim: int, n_fft: int, hop_length: int, padding: str = "same"):
        super().__init__()
        self.out = nn.Linear(dim, n_fft + 2)
        self.istft = ISTFT(n_fft, hop_length, padding)

    def forward(self, x: Tensor) -> Tensor:
        log_magnitude, phase = self.out(x).float().transpose(1, 2).chunk(2, dim=1)
        magnitude = log_magnitude.exp().clamp(max=1e2)  # a guard against overflow early in training
        return self.istft(torch.polar(magnitude, phase)).unsqueeze(1)


class DirectionISTFTHead(nn.Module):
    """As `ISTFTHead`, with the phase given by the direction of a predicted vector (APNet,
    https://arxiv.org/abs/2305.07952): no wrapping at pi, and a gradient that does not turn with it."""

    def __init__(self, dim: int, n_fft: int, hop_length: int, padding: str = "same"):
        super().__init__()
        self.out = nn.Linear(dim, 3 * (n_fft // 2 + 1))
        self.istft = ISTFT(n_fft, hop_length, padding)

    def forward(self, x: Tensor) -> Tensor:
        log_magnitude, real, imag = self.out(x).float().transpose(1, 2).chunk(3, dim=1)
        scale = log_magnitude.exp().clamp(max=1e2) * torch.rsqrt(real.square() + imag.square() + 1e-6)
        return self.istft(torch.complex(scale * real, scale * imag)).unsqueeze(1)


def overlap_add(frames: Tensor, hop_length: int) -> Tensor:
    """Frames (B, N, W) placed every `hop_length` samples and summed: (B, (N - 1) * hop_length + W)."""
    length = (frames.shape[1] - 1) * hop_length + frames.shape[2]
    columns = rearrange(frames, "b n w -> b w n")
    return nn.functional.fold(columns, (1, length), (1, frames.shape[2]), stride=(1, hop_length))[:, 0, 0]


def check_fft(n_fft: int, hop_length: int, padding: str) -> None:
    """ValueError for sizes that a Hann window cannot invert, or an unknown padding."""
    if padding not in PADDINGS:
        raise ValueError(f"padding is {padding!r}; accepted: {PADDINGS}")
    if n_fft % 2 or not 0 < hop_length <= n_fft // 2 or (n_fft - hop_length) % 2:
        raise ValueError(
            f"n_fft is {n_fft} at hop_length {hop_length}; accepted: n_fft even, at least twice the hop, "
            "and further from it by an even number"
        )
