"""Short-time Fourier analysis and synthesis, and the heads that predict spectra (Vocos,
https://arxiv.org/abs/2306.00814)."""

import torch
from einops import rearrange
from torch import Tensor, nn

from vocable.codecs.backbones.conv import State
from vocable.codecs.backbones.fourier import irfft, rfft
from vocable.codecs.backbones.lookahead import advance
from vocable.codecs.backbones.padding import check_multiple

PADDINGS = ("same", "center", "causal")
ENVELOPE_FLOOR = 0.1  # of the summed squared windows, which only the last samples of "causal" are below


class STFT(nn.Module):
    """Waveform (B, T), T a multiple of the hop, to spectra (B, n_fft / 2 + 1, T / hop), complex, Hann window.

    Frame n is centred on the hop that it stands for: the padding rule of the convolutions. Where the STFT is
    causal it ends with that hop.
    """

    def __init__(self, n_fft: int, hop_length: int, causal: bool = False):
        super().__init__()
        check_fft(n_fft, hop_length, "same")
        self.n_fft, self.hop_length = n_fft, hop_length
        self.left, self.right = margins(n_fft, hop_length, causal)

    def forward(self, wav: Tensor) -> Tensor:
        check_multiple(wav.shape[-1], self.hop_length)
        return self.spectra(nn.functional.pad(wav.float(), (self.left, self.right)))

    def spectra(self, padded: Tensor) -> Tensor:
        """Of every whole frame, the first of which begins with padded (B, T)."""
        frames = padded.unfold(-1, self.n_fft, self.hop_length)
        return rfft(frames * hann(self.n_fft, frames)).transpose(1, 2)


@advance.register
def _(layer: STFT, x: Tensor, state: State, final: bool) -> tuple[Tensor, State]:
    """x (B, T)."""
    x = nn.functional.pad(x.float(), (layer.left, 0)) if state is None else torch.cat([state, x.float()], -1)
    x = nn.functional.pad(x, (0, layer.right)) if final else x
    count = max(0, (x.shape[-1] - layer.n_fft) // layer.hop_length + 1)
    if not count:
        return torch.zeros(len(x), layer.n_fft // 2 + 1, 0, dtype=torch.complex64, device=x.device), x
    used = count * layer.hop_length
    return layer.spectra(x[..., : used - layer.hop_length + layer.n_fft]), x[..., used:].clone()


class ISTFT(nn.Module):
    """Spectra (B, n_fft / 2 + 1, N), complex, to a waveform: overlap-add over the summed squared Hann window.

    padding: "same" gives N * hop samples and inverts `STFT`; "causal" the same, for a causal one, but for the
    end, where the last window fades; "center" gives (N - 1) * hop and inverts `torch.stft(center=True)`.
    """

    def __init__(self, n_fft: int, hop_length: int, padding: str = "same"):
        super().__init__()
        check_fft(n_fft, hop_length, padding)
        self.n_fft, self.hop_length, self.padding = n_fft, hop_length, padding
        self.left, self.right = margins(n_fft, hop_length, padding == "causal")
        self.needs_whole = padding == "center"

    def forward(self, spec: Tensor) -> Tensor:
        if self.padding == "center":
            window = hann(self.n_fft, spec)
            return torch.istft(spec, self.n_fft, self.hop_length, self.n_fft, window, center=True)
        wav, envelope = (x[:, self.left : x.shape[1] - self.right] for x in self.sums(spec))
        return wav / envelope.clamp(min=ENVELOPE_FLOOR)

    def sums(self, spec: Tensor) -> tuple[Tensor, Tensor]:
        """The frames of spec (B, F, N) in their places, (B, T), and the squared windows in theirs, (1, T)."""
        frames = irfft(spec.transpose(1, 2), self.n_fft)
        window = hann(self.n_fft, frames)
        frames, squares = frames * window, window.square().expand(1, frames.shape[1], -1)
        return overlap_add(frames, self.hop_length), overlap_add(squares, self.hop_length)


@advance.register
def _(layer: ISTFT, x: Tensor, state: State, final: bool) -> tuple[Tensor, State]:
    """x (B, F, N) to (B, T). State: what frames so far add to later samples, and how many of these to cut."""
    overlap = layer.n_fft - layer.hop_length
    tails, early = state or ((), layer.left)
    blank = x.real.new_zeros(len(x), overlap)
    both = layer.sums(x) if x.shape[-1] else (blank, blank[:1].clone())
    for part, tail in zip(both, tails, strict=False):  # at the start there are none
        part[:, :overlap] += tail
    end = x.shape[-1] * layer.hop_length
    known = end + layer.left if final else end
    start = min(early, known)
    wav, envelope = (part[:, start:known] for part in both)
    tails = [part[:, end:].clone() for part in both]
    return wav / envelope.clamp(min=ENVELOPE_FLOOR), (tails, max(0, early - known))


class ISTFTHead(nn.Module):
    """Features (B, N, dim) to a waveform (B, 1, T) by each frame's log-magnitude and phase, as Vocos does.

    T is N * hop_length ("same") or (N - 1) * hop_length ("center").
    """

    def __init__(self, dim: int, n_fft: int, hop_length: int, padding: str = "same"):
        super().__init__()
        self.out = nn.Linear(dim, n_fft + 2)
        self.istft = ISTFT(n_fft, hop_length, padding)

    def forward(self, x: Tensor) -> Tensor:
        return self.istft(self.spectra(x)).unsqueeze(1)

    def spectra(self, x: Tensor) -> Tensor:
        """x (B, N, dim) to (B, n_fft / 2 + 1, N), complex."""
        log_magnitude, phase = self.out(x).float().transpose(1, 2).chunk(2, dim=1)
        magnitude = log_magnitude.exp().clamp(max=1e2)  # a guard against overflow early in training
        return torch.polar(magnitude, phase)


class DirectionISTFTHead(nn.Module):
    """As `ISTFTHead`, with the phase given by the direction of a predicted vector (APNet,
    https://arxiv.org/abs/2305.07952): no wrapping at pi, and a gradient that does not turn with it."""

    def __init__(self, dim: int, n_fft: int, hop_length: int, padding: str = "same"):
        super().__init__()
        self.out = nn.Linear(dim, 3 * (n_fft // 2 + 1))
        self.istft = ISTFT(n_fft, hop_length, padding)

    def forward(self, x: Tensor) -> Tensor:
        return self.istft(self.spectra(x)).unsqueeze(1)

    def spectra(self, x: Tensor) -> Tensor:
        """x (B, N, dim) to (B, n_fft / 2 + 1, N), complex."""
        log_magnitude, real, imag = self.out(x).float().transpose(1, 2).chunk(3, dim=1)
        scale = log_magnitude.exp().clamp(max=1e2) * torch.rsqrt(real.square() + imag.square() + 1e-6)
        return torch.complex(scale * real, scale * imag)


@advance.register(ISTFTHead)
@advance.register(DirectionISTFTHead)
def _(layer: ISTFTHead | DirectionISTFTHead, x: Tensor, state: State, final: bool) -> tuple[Tensor, State]:
    """x (B, N, dim)."""
    wav, state = advance(layer.istft, layer.spectra(x), state, final)
    return wav[:, None], state


def hann(n_fft: int, like: Tensor) -> Tensor:
    """Hann's window (n_fft,), float32; made anew, as a buffer would follow the weights to half precision."""
    return torch.hann_window(n_fft, device=like.device)


def overlap_add(frames: Tensor, hop_length: int) -> Tensor:
    """Frames (B, N, W) placed every `hop_length` samples and summed: (B, (N - 1) * hop_length + W)."""
    length = (frames.shape[1] - 1) * hop_length + frames.shape[2]
    columns = rearrange(frames, "b n w -> b w n")
    return nn.functional.fold(columns, (1, length), (1, frames.shape[2]), stride=(1, hop_length))[:, 0, 0]


def margins(n_fft: int, hop_length: int, causal: bool) -> tuple[int, int]:
    """Samples of a window before and after the hop that it stands for."""
    rest = n_fft - hop_length
    return (rest, 0) if causal else (rest // 2, rest - rest // 2)


def check_fft(n_fft: int, hop_length: int, padding: str) -> None:
    """ValueError for sizes that a Hann window cannot invert, or an unknown padding."""
    if padding not in PADDINGS:
        raise ValueError(f"padding is {padding!r}; accepted: {PADDINGS}")
    if n_fft % 2 or not 0 < hop_length <= n_fft // 2 or (n_fft - hop_length) % 2:
        raise ValueError(
            f"n_fft is {n_fft} at hop_length {hop_length}; accepted: n_fft even, at least twice the hop, "
            "and further from it by an even number"
        )
