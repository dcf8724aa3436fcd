"""The command `vocable`. Each subcommand imports what it needs when it runs: help and errors come at once."""

import time
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from vocable.codecs import cli_modules, cli_zoo

if TYPE_CHECKING:
    from vocable.codecs.codec import Codec
    from vocable.codecs.formats.language_model import LanguageModel

app = typer.Typer(
    help="Neural audio codecs: audio to tokens and back.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out, err = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)

DEFAULT = "vocable-16khz"
CodecName = Annotated[str, typer.Option("--codec", help="A built-in's name, a codec folder or a hub id.")]
Codebooks = Annotated[int | None, typer.Option(help="Use the first K codebooks only.", metavar="K", min=1)]
Inputs = Annotated[list[Path], typer.Argument(metavar="IN...", show_default=False)]
Output = Annotated[str, typer.Option("-o", "--output", help="A file, or a folder (new ones end in /).")]


def clip() -> Path:
    """The recording that ships in the package: 7 s of public-domain English at 16 kHz."""
    return Path(str(resources.files("vocable.codecs.pretrained"))) / "librivox.flac"


@app.command()
def reconstruct(
    source: Annotated[Path | None, typer.Argument(metavar="IN", help="None: a clip that ships here.")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="OUT.wav")] = None,
    codec: CodecName = DEFAULT,
    codebooks: Codebooks = None,
    plot: Annotated[Path | None, typer.Option(metavar="OUT.png", help="Draw spectrograms and codes.")] = None,
) -> None:
    """Audio to tokens and back: the rates, the speed and the quality."""
    if output is not None and output == plot:
        _usage(f"-o and --plot are both {output}; accepted: two files")
    if plot is not None:
        cli_modules.need("bench", "--plot", "matplotlib")
    from vocable.codecs import audio, batch, report
    from vocable.codecs.measure import measure

    model = _load(codec, codebooks)
    source = source or clip()
    try:
        for target in (output, plot):
            if target is not None:
                batch.check_not_input(target, [source])
    except ValueError as error:
        _usage(str(error))

    def work(source: Path, _: Path, __: batch.Told) -> None:
        with err.status(f"{source.name} through {codec}"):
            wav, rate = audio.read(source)
            model.decode(model.encode(wav[:, : rate // 2], rate, num_codebooks=codebooks))  # to warm up
            start = time.perf_counter()
            tokens = model.encode(wav, rate, num_codebooks=codebooks)
            middle = time.perf_counter()
            made = model.decode(tokens, rate)[0].cpu()
            end = time.perf_counter()
            wav = audio.to_channels(wav, model.channels)
            if output is not None:
                audio.write(output, made, rate)
            if plot is not None:
                from vocable.codecs.plot import plot as draw

                draw(plot, wav, made, rate, tokens)
            measures = measure(wav, made, rate)
        speed = {"encode": middle - start, "decode": end - middle}
        rows = {"codec": codec, **report.reconstruction_rows(source.name, wav, rate, tokens, speed)}
        rows |= report.measure_rows(measures)
        _show(rows | {f"written to {target}": "" for target in (output, plot) if target is not None})

    raise typer.Exit(int(batch.run([(source, output or source)], work, err) > 0))


@app.command()
def encode(
    inputs: Inputs,
    output: Output,
    codec: CodecName = DEFAULT,
    codebooks: Codebooks = None,
    lm: Annotated[bool, typer.Option("--lm", help="Smaller .ecdc, by a language model; slow.")] = False,
    pack: Annotated[
        Literal["bits", "entropy"], typer.Option(help=".voc: entropy is often smaller; slower.")
    ] = "bits",
) -> None:
    """Audio files to token files (.voc), or those of EnCodec (.ecdc) and Descript (.dac)."""
    from vocable.codecs import batch
    from vocable.codecs.formats import files

    pairs = _pairs(inputs, output, files.SUFFIXES)
    if lm and any(target.suffix.lower() != ".ecdc" for _, target in pairs):
        _usage(f"--lm is given for {pairs[0][1]}; accepted: for .ecdc")
    if pack == "entropy":
        if any(target.suffix.lower() != ".voc" for _, target in pairs):
            _usage(f"--pack entropy is given for {pairs[0][1]}; accepted: for .voc")
        cli_modules.need("pack", "--pack entropy", "constriction")
    model = _load(codec, codebooks)
    coder = _language_model(model) if lm else None

    def work(source: Path, target: Path, told: batch.Told) -> None:
        files.encode(model, source, target, codebooks, coder, pack, told)

    raise typer.Exit(int(batch.run(pairs, work, err) > 0))


@app.command()
def decode(
    inputs: Inputs,
    output: Output,
    codec: Annotated[str | None, typer.Option(help="None: the one that the file names.")] = None,
    rate: Annotated[
        Literal["source", "codec"], typer.Option(help="Sample rate: of what was encoded, or the codec's.")
    ] = "source",
    any_weights: Annotated[bool, typer.Option("--any-weights", help="Also by other weights.")] = False,
) -> None:
    """Token files (.voc, .ecdc, .dac) to audio files."""
    import soundfile

    from vocable.codecs import batch
    from vocable.codecs.formats import files

    kinds = [f".{name.lower()}" for name in soundfile.available_formats()]
    pairs = _pairs(inputs, output, (".wav", *kinds, ".opus", ".oga", ".aif"))
    models = {} if codec is None else {codec: _load(codec)}

    def work(source: Path, target: Path, told: batch.Told) -> None:
        from vocable.codecs.hub import load

        name = codec or files.made_by(source)
        if not name:
            raise ValueError("names no codec; tell it by --codec")
        if name not in models:
            models[name] = load(name)
        files.decode(models[name], source, target, rate == "source", any_weights, told)

    raise typer.Exit(int(batch.run(pairs, work, err) > 0))


@app.command()
def info(name: Annotated[str, typer.Argument(metavar="NAME|FILE", show_default=False)]) -> None:
    """What a codec, or a token file, is made of."""
    from vocable.codecs import report
    from vocable.codecs.formats import files

    if not Path(name).is_file():
        _show(report.codec_rows(_load(name), name))
        return
    try:
        peer = Path(name).suffix.lower() in (".ecdc", ".dac")
        rows = files.rows(name) if peer else report.file_rows(name)
    except (ValueError, OSError) as error:
        err.print(f"{error}", style="red", markup=False, highlight=False)
        raise typer.Exit(1) from error
    _show(rows)


app.command(name="list")(cli_zoo.list_codecs)
app.command()(cli_zoo.convert)

for command in (cli_modules.bench, cli_modules.compare, cli_modules.train, cli_modules.export):
    app.command(context_settings=cli_modules.FORWARD, add_help_option=False)(command)


def _usage(message: str) -> NoReturn:
    raise typer.BadParameter(message)


def _load(name: str, codebooks: int | None = None) -> "Codec":
    from vocable.codecs.hub import load

    try:
        codec = load(name)
        codec.quantizer.check_num_codebooks(codebooks)
    except (ValueError, OSError, ImportError) as error:
        _usage(str(error))
    return codec


def _language_model(codec: "Codec") -> "LanguageModel":
    from vocable.codecs.formats.language_model import load_language_model

    try:
        return load_language_model(codec.name or f"encodec-{codec.sample_rate // 1000}khz")
    except (ValueError, OSError) as error:
        _usage(str(error))


def _pairs(inputs: list[Path], output: str, suffixes: tuple[str, ...]) -> list[tuple[Path, Path]]:
    from vocable.codecs.batch import outputs

    try:
        return outputs(inputs, output, suffixes)
    except ValueError as error:
        _usage(str(error))


def _show(rows: dict[str, str]) -> None:
    table = Table.grid(padding=(0, 2))
    for name, value in rows.items():
        table.add_row(Text(name, style="bold"), Text(value))
    out.print(table)
