"""A picture of the table: what each codebook tells of the sounds and of the speaker."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from vocable.benchmarks.speech_tokens.rows import TokenRow
from vocable.codecs.files import replacing

PHONETIC, SPEAKER = "#0072b2", "#e69f00"  # told apart by the colour-blind, too


def draw(path: Path, rows: Sequence[TokenRow]) -> None:
    """Draw to the image `path`, a panel for each codec: bars of a linear probe's hits, chance as a line.

    ValueError for a suffix that matplotlib can't write, ImportError without matplotlib.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    kinds = FigureCanvasAgg.get_supported_filetypes()
    if path.suffix[1:].lower() not in kinds:
        raise ValueError(f"{path}: the suffix is {path.suffix!r}; accepted: .{', .'.join(sorted(kinds))}")
    panels = [(codec, list(group)) for codec, group in groupby(rows, lambda row: row.codec)]
    figure = Figure(figsize=(9, 0.4 + 2.6 * len(panels)), layout="constrained")
    grid = figure.subplots(len(panels), squeeze=False)
    for axes, (codec, books) in zip(grid[:, 0], panels, strict=True):
        bars = (
            (-0.2, PHONETIC, "phonetic unit", [row.found for row in books], books[0].found_chance),
            (0.2, SPEAKER, "speaker", [row.speaker or 0.0 for row in books], books[0].speaker_chance),
        )
        for offset, colour, label, heights, chance in bars:
            places = [row.codebook + offset for row in books]
            if chance is None:
                continue
            axes.bar(places, heights, 0.38, color=colour, label=label)
            axes.axhline(chance, color=colour, linestyle=":", linewidth=1)
        axes.set(title=codec, xlabel="codebook", ylabel="share found", xticks=[row.codebook for row in books])
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, title="dotted: by chance", frameon=False, loc="outside right upper")
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:].lower(), dpi=120)
