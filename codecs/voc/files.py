"""Whole batches of tokens to files and back."""

from pathlib import Path
from typing import Any

from vocable.codecs.files import replacing
from vocable.codecs.voc.assemble import assemble
from vocable.codecs.voc.chunks import Chunk
from vocable.codecs.voc.layout import Header, Packing
from vocable.codecs.voc.reader import TokenReader
from vocable.codecs.voc.writer import TokenWriter


def save(path: str | Path, fields: dict[str, Any], packing: Packing) -> None:
    """Write the fields of a `Tokens`, item after item, whole or not at all.

    ValueError for codes out of range.
    """
    names = ("sample_rate", "hop_length", "codebook_sizes", "codec", "weights", "source_rate")
    header = Header(**{name: fields[name] for name in names}, packing=packing)
    lengths = fields["lengths"].tolist()
    sources, scales = fields["source_lengths"], fields["scales"]
    counts = fields["frame_counts"]
    with replacing(path) as temporary, TokenWriter(temporary, header) as writer:
        for i, length in enumerate(lengths):
            frames = -(-length // header.hop_length) if counts is None else int(counts[i])
            writer.write(fields["codes"][i, :, :frames], i, None if scales is None else scales[i])
            writer.end(i, length, None if sources is None else int(sources[i]))


def load(path: str | Path) -> dict[str, Any]:
    """The fields of the `Tokens` in a file; ValueError where it is damaged or not one."""
    items: list[list[Chunk]] = []
    with TokenReader(path) as reader:
        for chunk in reader:
            if chunk.item == len(items):
                items.append([])
            items[chunk.item].append(chunk)
    try:
        return assemble(items, reader.header)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
