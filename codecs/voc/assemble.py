"""The chunks of a token file put together to a batch of tokens."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from vocable.codecs.voc.chunks import Chunk
from vocable.codecs.voc.layout import Header

_PADDED = 2**24  # codes of an uneven batch with its padding that any file may ask for


def assemble(items: list[list[Chunk]], header: Header) -> dict[str, Any]:
    """The fields of the `Tokens` of these items, each its chunks, the last of which has a length.

    ValueError for no items, and a batch so uneven that its padding would take all memory.
    """
    if not items:
        raise ValueError("it holds 0 items; accepted: 1 or more")
    counts = [sum(chunk.codes.shape[1] for chunk in item) for item in items]
    lengths = [item[-1].length or 0 for item in items]
    least = [-(-length // header.hop_length) for length in lengths]
    scales = [torch.cat([chunk.scales for chunk in item]) for item in items]
    sources = [item[-1].source_length or 0 for item in items]
    return {
        "codes": _stack([torch.cat([chunk.codes for chunk in item], 1) for item in items]),
        "lengths": torch.tensor(lengths),
        "sample_rate": header.sample_rate,
        "hop_length": header.hop_length,
        "codebook_sizes": header.codebook_sizes,
        "codec": header.codec,
        "weights": header.weights,
        "source_rate": header.source_rate,
        "source_lengths": torch.tensor(sources) if header.source_rate else None,
        "frame_counts": None if counts == least else torch.tensor(counts),
        "scales": _stack(scales) if any(len(row) for row in scales) else None,
    }


def _stack(items: list[Tensor]) -> Tensor:
    """Items (..., n) to (B, ..., N), zeros after the shorter ones."""
    longest = max(item.shape[-1] for item in items)
    padded = len(items) * longest * items[0].shape[:-1].numel()
    most = max(_PADDED, 64 * sum(item.numel() for item in items))
    if padded > most:
        raise ValueError(f"padded to its longest item the batch is {padded} values; accepted: {most}")
    return torch.stack([F.pad(item, (0, longest - item.shape[-1])) for item in items])
