"""Codecs as graphs and in half precision: `python -m vocable.benchmarks.export --help`."""

import copy
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import torch
import typer
from torch import Tensor

from vocable.benchmarks.small import NAMES, small_codec
from vocable.codecs import Codec, load
from vocable.codecs.graphs import DecoderGraph, EncoderGraph, export_onnx, programs
from vocable.codecs.graphs.agreement import Session, speech_at
from vocable.codecs.measure import snr

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
HEAD = (
    *("codec", "ONNX codes equal", "ONNX audio error, of peak", "torch.export", "graph breaks"),
    *(
        "onnxruntime times faster: encode",
        "decode",
        "bfloat16 decode SNR, dB",
        "float16",
        "bfloat16 codes equal",
    ),
)


@app.command()
def main(
    codecs: Annotated[
        str, typer.Option(help="Names, with commas; a name with -small is the reduced codec.")
    ] = "vocable-16khz,dac-16khz-small,encodec-24khz-small,snac-24khz-small,snac-44khz-small,mimi-small",
    threads: Annotated[int, typer.Option(min=1, help="Of the CPU, for both runtimes.")] = 1,
) -> None:
    """Print a Markdown table, on the package's recording: what is exported against the codec in torch."""
    torch.set_num_threads(threads)
    typer.echo(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
    for name in codecs.split(","):
        try:
            codec = _codec(name)
        except (ValueError, OSError, ImportError) as error:
            raise typer.BadParameter(str(error)) from error
        typer.echo(f"| {' | '.join((name, *row(codec, threads)))} |")
    typer.echo(f"\n{threads} threads, torch {torch.__version__}.")


@torch.no_grad()
def row(codec: Codec, threads: int) -> list[str]:
    """One line of the table, after the name."""
    speech = speech_at(codec)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "onnx"
        agreement = export_onnx(codec, folder)
        exported = _exported(codec, speech)
        speeds = faster(codec, folder, speech, threads)
    breaks = sum(graph_breaks(codec, speech))
    halves = {dtype: half(codec, dtype, speech) for dtype in (torch.bfloat16, torch.float16)}
    return [
        f"{100 * agreement.codes:.3f} %",
        f"{agreement.audio:.1e}",
        exported,
        str(breaks),
        *(f"{speed:.2f}" for speed in speeds),
        *(f"{decibels:.1f}" for decibels, _ in halves.values()),
        f"{100 * halves[torch.bfloat16][1]:.1f} %",
    ]


def graph_breaks(codec: Codec, speech: Tensor) -> list[int]:
    """Graph breaks of torch.compile in the encoder and in the decoder."""
    encoder, decoder = EncoderGraph(codec), DecoderGraph(codec)
    wav = _whole(codec, speech)
    explained: Callable[..., Any] = torch._dynamo.explain
    return [explained(graph)(x).graph_break_count for graph, x in ((encoder, wav), (decoder, encoder(wav)))]


def half(codec: Codec, dtype: torch.dtype, speech: Tensor) -> tuple[float, float]:
    """dB of decoding the same codes with weights of this type, against float32; share of equal codes."""
    other = copy.deepcopy(codec).to(dtype)
    tokens = codec.encode(speech)
    reference, found = codec.decode(tokens), other.decode(tokens, any_weights=True)
    return snr(reference, found), float((other.encode(speech).codes == tokens.codes).double().mean())


def faster(codec: Codec, folder: Path, speech: Tensor, threads: int, repeats: int = 7) -> list[float]:
    """How many times faster onnxruntime encodes and decodes than torch, medians of runs in turn."""
    wav = _whole(codec, speech)
    codes = EncoderGraph(codec)(wav)
    found = []
    for file, graph, x in (("encoder", EncoderGraph(codec), wav), ("decoder", DecoderGraph(codec), codes)):
        runs = (graph, Session(folder / f"{file}.onnx", threads))
        took: list[list[float]] = [[], []]
        for _ in range(repeats + 1):
            for run, times in zip(runs, took, strict=True):
                start = time.perf_counter()
                run(x)
                times.append(time.perf_counter() - start)
        ours, theirs = (median(times[1:]) for times in took)
        found.append(ours / theirs)
    return found


def _exported(codec: Codec, speech: Tensor) -> str:
    """Whether torch.export's programs give the codes and audio of the codec, at another length and batch."""
    made, wav = programs(codec), _whole(codec, speech).repeat(3, 1, 1)
    codes = EncoderGraph(codec)(wav)
    same = float((made.encoder.module()(wav) == codes).double().mean())
    audio = DecoderGraph(codec)(codes)
    error = float((made.decoder.module()(codes) - audio).abs().max() / audio.abs().max())
    return f"{100 * same:.2f} %, {error:.0e}"


def _whole(codec: Codec, speech: Tensor) -> Tensor:
    """As much of the speech (C, T) as makes whole units, as a batch of one."""
    unit = EncoderGraph(codec).samples
    return speech[None, :, : speech.shape[-1] // unit * unit]


def _codec(name: str) -> Codec:
    small = name.removesuffix("-small")
    return small_codec(small) if small != name and small in NAMES else load(name)


if __name__ == "__main__":
    app()
