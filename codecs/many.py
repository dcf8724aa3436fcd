"""Many recordings to tokens, the next ones being read while one is encoded."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vocable.codecs import audio
from vocable.codecs.coded import joined
from vocable.codecs.long import Recording
from vocable.codecs.tokens import Tokens

if TYPE_CHECKING:
    from vocable.codecs.codec import Codec

READERS = 2  # threads: decoding and resampling are many times faster than encoding
AHEAD = 4  # batches that are read ahead of the one in work
WINDOW = 2048  # files among which those of one length are sought

OnError = Callable[[Path, Exception], None]
Wav = list[tuple[Tensor, bool]]  # a recording's pieces, padded


class Source:
    """The `index`th file, and what its header says: its samples when padded, and its seconds."""

    def __init__(self, codec: "Codec", index: int, path: Path) -> None:
        self.index, self.path = index, path
        self.recording: Recording | None = None
        self.error: Exception | None = None
        self.padded, self.seconds = 0, 0.0
        try:
            self.recording = Recording(codec, path)
        except (ValueError, OSError) as error:
            self.error = error
            return
        header = self.recording.info
        length = audio.resampled_length(max(1, header.frames), header.sample_rate, codec.sample_rate)
        self.padded = codec.pad(torch.empty(codec.channels, length, device="meta")).shape[-1]
        self.seconds = header.frames / header.sample_rate

    def read(self) -> Wav:
        """All of it; nothing where it can't be read, and then `error` says why."""
        try:
            return [] if self.recording is None else list(self.recording)
        except (ValueError, OSError) as error:
            self.error = error
            return []


def encode_files(
    codec: "Codec",
    paths: Iterable[str | Path],
    num_codebooks: int | None,
    batch_seconds: float,
    on_error: OnError | None,
) -> Iterator[tuple[Path, Tokens]]:
    """`Codec.encode_files`."""
    books = codec.quantizer.check_num_codebooks(num_codebooks)
    if not batch_seconds > 0:
        raise ValueError(f"batch_seconds is {batch_seconds}; accepted: more than 0")
    return _in_order(_encoded(codec, paths, books, batch_seconds), on_error)


def batches(sources: list[Source], together: bool, seconds: float) -> list[list[Source]]:
    """The sources one by one, or `together`: those of one padded length, up to `seconds` at once."""
    if not together:
        return [[source] for source in sources]
    found: dict[int, list[list[Source]]] = {}
    for source in sources:
        alike = found.setdefault(source.padded, [[]])
        if alike[-1] and (len(alike[-1]) + 1) * source.seconds > seconds:
            alike.append([])
        alike[-1].append(source)
    return [batch for _, alike in sorted(found.items(), reverse=True) for batch in alike]


def _encoded(
    codec: "Codec", paths: Iterable[str | Path], books: int, seconds: float
) -> Iterator[tuple[Source, Tokens | None]]:
    """Every source with its tokens, in the order of the work."""
    pool = ThreadPoolExecutor(READERS, thread_name_prefix="read")
    plan = _plan(codec, paths, seconds, pool)
    waiting: deque[tuple[list[Source], Future[list[Wav]]]] = deque()
    try:
        while True:
            for batch in islice(plan, AHEAD - len(waiting)):
                waiting.append((batch, pool.submit(_read, batch, seconds)))
            if not waiting:
                return
            batch, future = waiting.popleft()
            yield from _encode(codec, batch, future.result(), books)
    finally:
        pool.shutdown(cancel_futures=True)


def _plan(
    codec: "Codec", paths: Iterable[str | Path], seconds: float, pool: ThreadPoolExecutor
) -> Iterator[list[Source]]:
    """What is encoded at once, window by window; the headers of each are read first."""
    together = codec._device.type != "cpu"
    numbered = enumerate(map(Path, paths))
    while window := list(islice(numbered, WINDOW if together else READERS)):
        yield from batches(list(pool.map(lambda each: Source(codec, *each), window)), together, seconds)


def _read(batch: list[Source], seconds: float) -> list[Wav]:
    """The audio of each; none of what is longer than `seconds`, which is read while it is encoded."""
    return [[] if source.seconds > seconds else source.read() for source in batch]


def _encode(
    codec: "Codec", batch: list[Source], wavs: list[Wav], books: int
) -> Iterator[tuple[Source, Tokens | None]]:
    found: dict[int, list[tuple[Source, Wav]]] = {}
    for source, wav in zip(batch, wavs, strict=True):
        if source.recording is None or source.error is not None:
            yield source, None
        elif not wav:
            yield source, _alone(codec, source, books)
        else:  # a header may be wrong about the length
            found.setdefault(sum(piece.shape[-1] for piece, _ in wav), []).append((source, wav))
    for group in found.values():
        pieces = [
            (torch.cat([piece for piece, _ in column]), column[0][1])
            for column in zip(*(wav for _, wav in group), strict=True)
        ]
        with codec._exactly():
            codes, scales = joined(codec._analyse(pieces, books))
        for i, (source, _) in enumerate(group):
            yield source, _tokens(codec, source, codes[i], None if scales is None else scales[i])


def _alone(codec: "Codec", source: Source, books: int) -> Tokens | None:
    assert source.recording is not None
    try:
        with codec._exactly():
            codes, scales = joined(codec._analyse(source.recording, books))
    except (ValueError, OSError) as error:
        source.error = error
        return None
    return _tokens(codec, source, codes[0], None if scales is None else scales[0])


def _tokens(codec: "Codec", source: Source, codes: Tensor, scales: Tensor | None) -> Tokens:
    recording = source.recording
    assert recording is not None
    lengths = [recording.length], [recording.source_length]
    return codec._tokens([codes], [] if scales is None else [scales], *lengths, recording.sample_rate)


def _in_order(
    encoded: Iterator[tuple[Source, Tokens | None]], on_error: OnError | None
) -> Iterator[tuple[Path, Tokens]]:
    """Each path with its tokens as they were given; what failed raises when its turn comes, or is told."""
    ready: dict[int, tuple[Source, Tokens | None]] = {}
    due = 0
    for source, tokens in encoded:
        ready[source.index] = source, tokens
        while due in ready:
            source, tokens = ready.pop(due)
            due += 1
            if tokens is not None:
                yield source.path, tokens
                continue
            assert source.error is not None
            if on_error is None:
                raise source.error
            on_error(source.path, source.error)
