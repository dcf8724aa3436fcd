"""How far streams that look ahead are from the whole signal: `python -m vocable.benchmarks.sliding`."""

from collections.abc import Iterable
from typing import Annotated, NamedTuple

import torch
import typer
from torch import Tensor

from vocable.benchmarks.small import NAMES, small_codec
from vocable.codecs import Codec, load
from vocable.codecs.audio import read, resample, to_channels
from vocable.codecs.cli import clip
from vocable.codecs.measure import snr
from vocable.codecs.sliding import SlidingStream
from vocable.codecs.stream import Stream

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
CHUNK = 0.1  # seconds


class Deviation(NamedTuple):
    """codes: the share that differs from the whole signal's. snr: dB of the audio of the same codes.

    latency: of the stream, ms; exact: whether it is so by construction.
    """

    codes: float
    snr: float
    latency: float
    exact: bool


def deviation(codec: Codec, wav: Tensor, context: float, lookahead: float | None = None) -> Deviation:
    """What `codec.stream(context, lookahead)` makes of wav (C, T), beside `encode` and `decode`."""
    stream = codec.stream(context=context, lookahead=lookahead)
    whole = codec.encode(wav).codes
    codes = torch.cat(list(_encoded(stream, wav[None])), -1)
    expected = codec.decode(whole)
    found = torch.cat(list(_decoded(stream, whole)), -1)
    differ = float((codes != whole).double().mean())
    return Deviation(differ, snr(expected, found), stream.latency, stream.exact)


def _encoded(stream: Stream | SlidingStream, wav: Tensor) -> Iterable[Tensor]:
    for chunk in wav.split(max(1, round(CHUNK * stream.codec.sample_rate)), -1):
        yield stream.encode(chunk)
    yield stream.flush()


def _decoded(stream: Stream | SlidingStream, codes: Tensor) -> Iterable[Tensor]:
    chunks = codes.split(max(1, round(CHUNK * stream.codec.frame_rate)), -1)
    for i, chunk in enumerate(chunks):
        yield stream.decode(chunk, final=i + 1 == len(chunks))


@app.command()
def main(
    codec: Annotated[
        str, typer.Option(help="With weights; a name, a folder or a hub id. '': the reduced zoo.")
    ] = "",
    only: Annotated[str, typer.Option(help="Names of the reduced zoo, with commas between.")] = "",
    contexts: Annotated[str, typer.Option(help="Seconds, with commas between.")] = "0.1,0.5,2",
    lookahead: Annotated[float | None, typer.Option(min=0, help="Seconds; None: as much as context.")] = None,
    source: Annotated[str, typer.Option(help="Audio file. '': the recording in the package.")] = "",
    seconds: Annotated[float, typer.Option(min=0.1, help="Of it, from its start.")] = 6.0,
) -> None:
    """Print a Markdown table: latency, codes that differ, SNR of the audio of the same codes."""
    typer.echo(
        "| codec | context, s | latency, ms | exact | codes that differ | audio, dB |\n" + "|---" * 6 + "|"
    )
    for name in [codec] if codec else only.split(",") if only else NAMES:
        model = load(name) if codec else small_codec(name)
        wav, rate = read(source or clip())
        wav = to_channels(resample(wav, rate, model.sample_rate), model.channels)
        wav = wav[:, : round(seconds * model.sample_rate)]
        if getattr(model.encoder, "causal", False) or model.needs_whole:
            continue
        for context in map(float, contexts.split(",")):
            found = deviation(model, wav, context, lookahead)
            share = f"{found.codes:.2%}" if found.codes else "0"
            word = "yes" if found.exact else "no"
            typer.echo(f"| {name} | {context:g} | {found.latency:.0f} | {word} | {share} | {found.snr:.0f} |")
            if found.exact:
                break  # context plays no part
    typer.echo(f"\n{seconds:g} s, {'its weights' if codec else 'reduced size'}, torch {torch.__version__}.")


if __name__ == "__main__":
    app()
