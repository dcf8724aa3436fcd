"""Any length, any batch: what holds of each codec, tried out.

    python -m vocable.benchmarks.lengths
    python -m vocable.benchmarks.lengths --full --codecs vocable-16khz,encodec-24khz,my/folder

By itself every architecture of the zoo at reduced size, with random weights; with --full the named codecs as
published, with random weights, and folders and the built-in with their own.
"""

from collections.abc import Iterator
from typing import Annotated, NamedTuple

import torch
import typer
from torch import Tensor

from vocable.benchmarks.small import BUILT_IN, NAMES, probe, small_codec
from vocable.codecs.codec import Codec
from vocable.codecs.delay import codec_delay
from vocable.codecs.hub import load
from vocable.codecs.reach import lookahead
from vocable.codecs.segmented import SegmentedCodec
from vocable.codecs.zoo import table
from vocable.codecs.zoo.semanticodec import SemantiCodec

RATES = (8000, 11_025, 22_050, 44_100, 48_000)
COLUMNS = "codec | frames/s | lengths tried | exact | batch = alone | delay | look-ahead"
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Batches(NamedTuple):
    """Items whose codes, and audio, are to the bit what they are alone, of so many."""

    codes: int
    audio: int
    items: int

    def __str__(self) -> str:
        if self.codes == self.audio == self.items:
            return f"{self.items} of {self.items}"
        return f"{self.items} items: {self.codes} codes, {self.audio} audio"


@app.command(help=__doc__)
def main(
    codecs: Annotated[str, typer.Option(help="Names or folders, with commas between.")] = ",".join(NAMES),
    full: Annotated[bool, typer.Option("--full", help="Not at reduced size.")] = False,
    reach: Annotated[
        bool, typer.Option(help="Find out the look-ahead, which takes most of the time.")
    ] = True,
) -> None:
    """Print a row a codec."""
    print(f"| {COLUMNS} |\n|{'---|' * 7}")
    for name in codecs.split(","):
        print(f"| {' | '.join(_row(name, full, reach))} |", flush=True)


def _row(name: str, full: bool, reach: bool) -> Iterator[str]:
    published = name in table.published()
    own = not published and (full or name != BUILT_IN)  # weights of its own
    codec = load(name) if own else table.codec(name).eval() if full else small_codec(name)
    # the published frames, and how far it looks, don't depend on the width
    shape = small_codec(name, narrow=True) if published or name == BUILT_IN else codec
    tried = list(_lengths(codec))
    yield name
    yield f"{shape.frame_rate:g}"
    yield str(len(tried))
    yield str(sum(exact(codec, samples, rate) for samples, rate in tried))
    yield str(batches(codec))
    yield (
        f"{codec_delay(codec).ms:z.2f} ms" if own else "2 ms / 9.6 s" if name.startswith("semantic") else "-"
    )
    yield _ahead(shape) if reach else "-"


def exact(codec: Codec, samples: int, rate: int | None) -> bool:
    """Whether so many samples at `rate` (None: the codec's) come back as many, and finite."""
    wav = _noise(codec, 1, samples)
    back = codec.decode(codec.encode(wav, rate), rate)
    return back.shape == (1, codec.channels, samples) and bool(back.isfinite().all())


def batches(codec: Codec) -> Batches:
    """Padded batches of items of mixed lengths, against each item alone."""
    hop, codes, same, items = codec.hop_length, 0, 0, 0
    mixed = [[1, hop], [2 * hop + 1, 5 * hop, 2 * hop + 1, 3 * hop - 1], [7 * hop, 1, 4 * hop]]
    for lengths in mixed[: 1 if isinstance(codec, SemantiCodec) else None]:
        wav = _noise(codec, len(lengths), max(lengths) + 3)
        tokens = codec.encode(wav, lengths=lengths)
        back = codec.decode(tokens)
        for i, length in enumerate(lengths):
            alone = codec.encode(wav[i, :, :length])
            codes += torch.equal(tokens[i].codes, alone.codes)
            same += torch.equal(back[i, :, :length], codec.decode(alone)[0])
            items += 1
    return Batches(codes, same, items)


def _lengths(codec: Codec) -> Iterator[tuple[int, int | None]]:
    """One sample and a few, the neighbours of whole frames and segments, and those at other rates."""
    hop = codec.hop_length
    if isinstance(codec, SemantiCodec):  # whose decoder takes as long for any
        yield from ((samples, None) for samples in (1, 2560, 163_840))
        return
    edges = [n * hop for n in (1, 2, 3, 4, 8)]
    if isinstance(codec, SegmentedCodec):
        edges += [codec.stride, codec.segment, 2 * codec.stride, codec.stride + codec.segment]
    yield from ((samples, None) for samples in (1, 2, 3))
    yield from ((edge + d, None) for edge in edges for d in (-1, 0, 1))
    for rate in RATES:
        frame = hop * rate // codec.sample_rate
        yield from ((samples, rate) for samples in (1, 2, frame, frame + 1, 3 * frame + 7))


def _noise(codec: Codec, batch: int, samples: int) -> Tensor:
    return torch.cat([probe(codec, samples / codec.sample_rate) for _ in range(batch)]).to(codec._device)


def _ahead(codec: Codec) -> str:
    found = lookahead(codec)
    if found is None:
        return "the whole signal"
    ms = f"{1000 * (found + 1) / codec.sample_rate:.1f} ms"
    if found + 1 == codec.hop_length:
        return f"{ms}, its frame"
    whole = isinstance(codec, SegmentedCodec | SemantiCodec)
    return f"{ms}, its segment" if whole else ms


if __name__ == "__main__":
    app()
