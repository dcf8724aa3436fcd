"""The command of the benchmark of tokens."""

from dataclasses import asdict
from importlib.util import find_spec
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
    if output is not None and find_spec("matplotlib") is None:
        raise typer.BadParameter("-o draws with matplotlib; accepted: pip install 'vocable[bench]', no -o")
    try:
        codecs = {name: load(name) for name in codec}
        fit, judged = (find_entries(data, {"split": split, "source": source}) for split in (train, test))
        paths = [entry.path for entry in fit], [entry.path for entry in judged]
        speakers = {e.path: e.fields["speaker"] for e in [*fit, *judged] if "speaker" in e.fields}
        teacher = whisper_tiny_en(layer=LAYER)
        rows = run(codecs, *paths, speakers, options, teacher, Console(stderr=True, soft_wrap=True))
    except (ValueError, OSError) as error:
        raise typer.BadParameter(str(error)) from error
    text = f"{markdown(rows)}\n\n{units} units of Whisper tiny.en, fitted on {len(fit)} files; "
    text += f"judged on {len(judged)}. Speakers are told from {window:g} s."
    typer.echo(text)
    if output is not None:
        about = asdict(options) | {"data": str(data), "source": source, train: len(fit), test: len(judged)}
        output.mkdir(parents=True, exist_ok=True)
        (output / "tokens.md").write_text(text + "\n", encoding="utf-8")
        save(output / "tokens.json", rows, about)
        draw(output / "tokens.png", rows)
