"""The command of the benchmark of tokens."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from vocable.benchmarks.speech_tokens.codebook import Options
from vocable.benchmarks.speech_tokens.figure import draw
from vocable.benchmarks.speech_tokens.rows import markdown, save
from vocable.benchmarks.speech_tokens.run import run
from vocable.benchmarks.speech_tokens.units import LAYER
from vocable.codecs import load
from vocable.codecs.backbones.whisper import whisper_tiny_en
from vocable.codecs.manifest import find_entries

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    codec: Annotated[list[str], typer.Option(help="A built-in's name, a folder or a hub id; once for each.")],
    data: Annotated[Path, typer.Option(help="A manifest: CSV with columns path and split, perhaps speaker.")],
    train: Annotated[str, typer.Option(help="The split to fit units and probes on.")] = "train",
    test: Annotated[str, typer.Option(help="The split to judge on, of other speakers.")] = "eval",
    source: Annotated[str | None, typer.Option(help="Only the manifest's files of this source.")] = None,
    units: Annotated[int, typer.Option(min=2, help="How many.")] = Options.units,
    frames: Annotated[
        int, typer.Option(min=1000, help="At most so many to fit units and probes on.")
    ] = Options.frames,
    window: Annotated[float, typer.Option(min=0.1, help="Seconds that tell a speaker.")] = Options.window,
    seed: int = Options.seed,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="A folder for tokens.md, tokens.json and tokens.png."),
    ] = None,
) -> None:
    """Print, for each codec, what its codebooks tell of sounds and of speakers, the bits of their tokens, and
    how these bear a shift. Units are clusters of Whisper tiny.en's features."""
    options = Options(units, frames, window, seed)
    try:
        codecs = {name: load(name) for name in codec}
        splits = [find_entries(data, {"split": split, "source": source}) for split in (train, test)]
        speakers = {
            entry.path: entry.fields["speaker"]
            for split in splits
            for entry in split
            if "speaker" in entry.fields
        }
        paths = [[entry.path for entry in split] for split in splits]
        teacher = whisper_tiny_en(layer=LAYER)
        rows = run(codecs, *paths, speakers, options, teacher, Console(stderr=True, soft_wrap=True))
    except (ValueError, OSError) as error:
        raise typer.BadParameter(str(error)) from error
    counts = [len(each) for each in paths]
    text = f"{markdown(rows)}\n\n{units} units of Whisper tiny.en, fitted on {counts[0]} files; "
    text += f"judged on {counts[1]}. Speakers are told from {window:g} s."
    typer.echo(text)
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        (output / "tokens.md").write_text(text + "\n", encoding="utf-8")
        save(
            output / "tokens.json",
            rows,
            asdict(options) | {"data": str(data), "source": source, "files": counts},
        )
        draw(output / "tokens.png", rows)
