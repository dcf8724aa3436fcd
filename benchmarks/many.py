"""Many files: `encode_files` against a loop of `encode`, in turn, in one process.

python -m vocable.benchmarks.many --data speech/manifest.csv --split eval --limit 100
"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import torch
import typer

from vocable.codecs.hub import load
from vocable.codecs.manifest import find_clips
from vocable.codecs.tokens import Tokens

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(help=__doc__)
def main(
    data: Annotated[Path, typer.Option(help="A folder of audio files, or a manifest of them.")],
    split: Annotated[str | None, typer.Option(help="Of the manifest's column split.")] = None,
    limit: Annotated[int, typer.Option(help="The first files alone.")] = 100,
    codec: Annotated[str, typer.Option(help="A name or a folder.")] = "vocable-16khz",
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    threads: Annotated[int, typer.Option(help="torch's.")] = 1,
    repeats: Annotated[int, typer.Option(help="Of each, in turn; the medians are printed.")] = 3,
) -> None:
    """Print the seconds of both ways, their ratio, and whether the tokens are the same."""
    torch.set_num_threads(threads)
    clips = find_clips(data, {"split": split} if split else None)[0][:limit]
    paths = [clip.path for clip in clips]
    model = load(codec).to(device)
    list(model.encode_files(paths[:2]))
    loop, many, same = compare(
        lambda: [model.encode(path) for path in paths],
        lambda: [tokens for _, tokens in model.encode_files(paths)],
        repeats,
    )
    seconds = sum(clip.seconds for clip in clips)
    print(f"{len(paths)} files, {seconds:.0f} s, {codec} on {device}, {threads} threads")
    print(f"loop {loop:.2f} s, encode_files {many:.2f} s: {loop / many:.2f} times as fast")
    print(f"the same codes: {100 * same:.2f} %")


def compare(
    loop: Callable[[], Iterable[Tokens]], many: Callable[[], Iterable[Tokens]], repeats: int
) -> tuple[float, float, float]:
    """The median seconds of each way, and the share of codes in which they agree."""
    times: list[list[float]] = [[], []]
    made: list[Any] = [None, None]
    for _ in range(repeats):
        for way, work in enumerate((loop, many)):
            start = time.perf_counter()
            made[way] = list(work())
            times[way].append(time.perf_counter() - start)
    agree = [(one.codes == other.codes).float().mean() for one, other in zip(*made, strict=True)]
    return median(times[0]), median(times[1]), float(torch.stack(agree).mean())


if __name__ == "__main__":
    app()
