"""A picture of a reconstruction: both spectrograms over the codes."""

from pathlib import Path

import torch
from torch import Tensor

from vocable.codecs.files import replacing
from vocable.codecs.tokens import Tokens


def plot(path: str | Path, reference: Tensor, estimate: Tensor, sample_rate: int, tokens: Tokens) -> None:
    """Draw two (C, T) at `sample_rate` and the first item of `tokens` to the image `path`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    path, seconds = Path(path), reference.shape[-1] / sample_rate
    kinds = FigureCanvasAgg.get_supported_filetypes()
    if path.suffix[1:].lower() not in kinds:
        raise ValueError(f"{path}: the suffix is {path.suffix!r}; accepted: .{', .'.join(sorted(kinds))}")
    figure = Figure(figsize=(10, 8), layout="constrained")  # not pyplot's: no global state, no window
    top, middle, bottom = figure.subplots(3, sharex=True)
    floor = spectrogram(reference, sample_rate).max().item() - 80.0
    for axes, wav, title in ((top, reference, "input"), (middle, estimate, "reconstruction")):
        image = axes.imshow(
            spectrogram(wav, sample_rate).numpy(),
            origin="lower",
            aspect="auto",
            extent=(0.0, seconds, 0.0, sample_rate / 2000),
            vmin=floor,
            vmax=floor + 80.0,
        )
        axes.set(title=title, ylabel="kHz")
    figure.colorbar(image, ax=(top, middle), label="dB")
    codes, sizes = tokens[0].codes[0].cpu(), torch.tensor(tokens.codebook_sizes)
    books, frames = codes.shape
    image = bottom.imshow(
        (codes / sizes[:, None]).numpy(),
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        extent=(0.0, frames / tokens.frame_rate, 0.5, books + 0.5),
        vmin=0.0,
        vmax=1.0,
    )
    bottom.set(title="codes", xlabel="seconds", ylabel="codebook")
    bottom.yaxis.get_major_locator().set_params(integer=True)
    figure.colorbar(image, ax=bottom, label="entry, of its codebook's size")
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:].lower(), dpi=120)


def spectrogram(wav: Tensor, sample_rate: int) -> Tensor:
    """(C, T), mixed to one channel, to its power (F, N) in dB, by windows of 32 ms every 8 ms."""
    size = max(4, round(0.032 * sample_rate))
    window = torch.hann_window(size)
    mono = torch.nn.functional.pad(wav.cpu().float().mean(0), (size // 2, size // 2))
    spectrum = torch.stft(mono, size, size // 4, window=window, center=False, return_complex=True)
    return 20 * (spectrum.abs() / window.sum()).clamp_min(1e-6).log10()
