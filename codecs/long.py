"""Recordings of any length, from file to file: read, encoded, decoded and written piece by piece."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vocable.codecs import audio, blocks
from vocable.codecs.backbones.pieces import Pieces, Tiles, regroup
from vocable.codecs.coded import Coded, joined
from vocable.codecs.files import replacing
from vocable.codecs.signal import check_rate, to_channels
from vocable.codecs.tokens import Tokens
from vocable.codecs.voc.chunks import End
from vocable.codecs.voc.layout import Header, Packing
from vocable.codecs.voc.reader import TokenReader
from vocable.codecs.voc.writer import TokenWriter

if TYPE_CHECKING:
    from vocable.codecs.codec import Codec

Told = Callable[[float, float], None]  # seconds of audio done, and seconds in all, 0 where it isn't known


class Recording:
    """An audio file as a codec takes it, padded, in the pieces that it takes a signal in memory in.

    It can be gone through again. length, source_length: its samples at the codec's rate and at its own, once
    it was gone through.
    """

    def __init__(self, codec: "Codec", path: str | Path, told: Told | None = None) -> None:
        self.codec, self.path, self.told = codec, path, told
        self.info = audio.info(path)
        self.sample_rate = check_rate(self.info.sample_rate, f"{path}: sample_rate")
        self.length = self.source_length = 0

    def __iter__(self) -> Pieces:
        codec, self.length, self.source_length = self.codec, 0, 0
        size = codec._frames_at_once * codec.hop_length
        for wav, final in regroup(blocks.resampled(self._read(), self.sample_rate, codec.sample_rate), size):
            self.length += wav.shape[-1]
            wav = wav[None].to(codec._device)
            yield from Tiles(codec.pad(wav), size) if final else [(wav, False)]
            if self.told is not None:
                self.told(self.length / codec.sample_rate, self.info.frames / self.sample_rate)

    def _read(self) -> blocks.Blocks:
        for wav, final in blocks.read(self.path):
            self.source_length += wav.shape[-1]
            yield to_channels(wav, self.codec.channels), final


def encode(codec: "Codec", path: str | Path, sample_rate: int | None, num_codebooks: int) -> Tokens:
    """`Codec.encode` of a file."""
    recording = Recording(codec, path)
    if sample_rate not in (None, recording.sample_rate):
        known = f"None, {recording.sample_rate}"
        raise ValueError(
            f"sample_rate is {sample_rate!r} for a file of {recording.sample_rate} Hz; accepted: {known}"
        )
    with codec._exactly():
        codes, scales = joined(codec._analyse(recording, num_codebooks))
    lengths = [recording.length], [recording.source_length]
    return codec._tokens([codes[0]], [] if scales is None else [scales[0]], *lengths, recording.sample_rate)


def encode_file(
    codec: "Codec",
    path: str | Path,
    out: str | Path,
    num_codebooks: int | None,
    packing: Packing,
    told: Told | None,
) -> None:
    """`Codec.encode_file`."""
    books = codec.quantizer.check_num_codebooks(num_codebooks)
    recording = Recording(codec, path, told)
    resampled = recording.sample_rate != codec.sample_rate
    header = replace(
        Header.of(codec, books, packing), source_rate=recording.sample_rate if resampled else None
    )
    with replacing(out) as temporary, TokenWriter(temporary, header) as writer, codec._exactly():
        for part in codec._analyse(recording, books):
            writer.write(part.codes[0], scales=None if part.scales is None else part.scales[0])
        writer.end(0, recording.length, recording.source_length if resampled else None)


def decode_file(
    codec: "Codec",
    tokens: Tokens | str | Path,
    out: str | Path,
    sample_rate: int | None,
    any_weights: bool,
    told: Told | None,
) -> None:
    """`Codec.decode_file`."""
    rate = codec.sample_rate if sample_rate is None else check_rate(sample_rate)
    if isinstance(tokens, Tokens):
        if len(tokens) != 1:
            raise ValueError(f"tokens hold {len(tokens)} signals; accepted: 1")
        own, sources = codec._own(tokens, any_weights).to(codec._device), tokens.source_lengths
        end = End(int(own.lengths), None if sources is None else int(sources))
        parts = codec._parts(own.codes, own.scales)
        _decode(codec, parts, end, tokens.source_rate, out, rate, told)
        return
    with TokenReader(tokens) as reader:
        codec._own(_like(reader.header), any_weights)
        _decode(codec, _parts(codec, reader), reader.end(), reader.header.source_rate, out, rate, told)


def _decode(
    codec: "Codec",
    parts: Iterator[Coded],
    end: End,
    source_rate: int | None,
    out: str | Path,
    rate: int,
    told: Told | None,
) -> None:
    """Parts to the file `out` at `rate`; end: the samples at the codec's rate and at the source's."""
    length = end.source_length if rate == source_rate else None

    def decoded() -> blocks.Blocks:
        given = 0
        for wav in codec._synthesise(parts):
            wav = wav[0, :, : end.length - given].cpu()
            given += wav.shape[-1]
            if wav.shape[-1]:
                yield wav, given == end.length
            if told is not None:
                told(given / codec.sample_rate, end.length / codec.sample_rate)
        for _ in parts:  # what a file holds after the last codes: errors, if anything
            pass

    with codec._exactly(), audio.writing(out, codec.channels, rate) as write:
        for wav, _ in blocks.resampled(decoded(), codec.sample_rate, rate, length):
            if wav.shape[-1]:
                write(wav)


def _parts(codec: "Codec", reader: TokenReader) -> Iterator[Coded]:
    """The one signal of a file in the pieces in which a codec decodes codes that are in memory."""
    scales: list[Tensor] = []

    def codes() -> Pieces:
        for chunk in reader:
            if chunk.item:
                raise ValueError(f"it holds {chunk.item + 1} signals or more; accepted: 1")
            if len(chunk.scales):
                scales.append(chunk.scales[None].to(codec._device))
            yield chunk.codes[None].to(codec._device), chunk.length is not None

    for part, final in regroup(codes(), codec._frames_at_once):
        arrived = torch.cat(scales, -1) if scales else None
        scales.clear()
        yield Coded(part, arrived, final)


def _like(header: Header) -> Tokens:
    """A frame of what the file with this header holds, to see whether a codec takes it."""
    names = ("sample_rate", "hop_length", "codebook_sizes", "codec", "weights")
    codes = torch.zeros(1, len(header.codebook_sizes), 1, dtype=torch.int64)
    return Tokens(codes, torch.ones(1, dtype=torch.int64), **{name: getattr(header, name) for name in names})
