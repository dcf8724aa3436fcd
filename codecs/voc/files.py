"""Whole batches of tokens to files and back."""

from pathlib import Path

from vocable.codecs.files import replacing
from vocable.codecs.tokens import Tokens
from vocable.codecs.voc.assemble import assemble
from vocable.codecs.voc.chunks import Chunk
from vocable.codecs.voc.layout import Header, Packing
from vocable.codecs.voc.reader import TokenReader
from vocable.codecs.voc.writer import TokenWriter


def save(path: str | Path, tokens: Tokens, packing: Packing) -> None:
    """Write a batch, item after item, whole or not at all; ValueError for codes out of range."""
    header = Header(
        tokens.sample_rate,
        tokens.hop_length,
        tokens.codebook_sizes,
        tokens.codec,
        tokens.weights,
        tokens.source_rate,
        packing,
    )
    lengths, frames = tokens.lengths.tolist(), tokens.frames.tolist()
    sources = [None] * len(tokens) if tokens.source_lengths is None else tokens.source_lengths.tolist()
    with replacing(path) as temporary, TokenWriter(temporary, header) as writer:
        for i, (length, source) in enumerate(zip(lengths, sources, strict=True)):
            scales = None if tokens.scales is None else tokens.scales[i]
            writer.write(tokens.codes[i, :, : frames[i]], i, scales)
            writer.end(i, length, source)


def load(path: str | Path) -> Tokens:
    """Read all items of a file; ValueError where it is damaged or not one."""
    items: list[list[Chunk]] = []
    with TokenReader(path) as reader:
        for chunk in reader:
            items += [[]] * (chunk.item == len(items))
            items[chunk.item].append(chunk)
        try:
            return assemble(items, reader.header)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
