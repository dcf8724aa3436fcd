"""The codec: encoder, quantizer, decoder."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, cast, overload

import numpy as np
import torch
from torch import Tensor

from vocable.codecs import audio, long, many, signal
from vocable.codecs.coded import joined
from vocable.codecs.coder import Coder
from vocable.codecs.long import Told
from vocable.codecs.sliding import SlidingStream, open_stream
from vocable.codecs.stream import Stream
from vocable.codecs.tokens import Tokens, as_tokens
from vocable.codecs.voc.layout import Packing


class Codec(Coder):
    """Audio (B, C, T) to codes (B, K, N) and back, from parts that `Coder` has.

    >>> tokens = codec.encode("speech.wav")
    >>> wav = codec.decode(tokens)
    """

    def encode(
        self,
        wav: Tensor | np.ndarray | str | Path,
        sample_rate: int | None = None,
        lengths: Tensor | list[int] | None = None,
        num_codebooks: int | None = None,
    ) -> Tokens:
        """Audio (T,), (C, T) or (B, C, T), T of 1 or more, or the path of an audio file, to tokens.

        wav: float in [-1, 1], or int16, int32 or uint8 by their full scale; a file is read as it is encoded.
        sample_rate: of `wav`, Hz: it is resampled, its channels mixed. None: the codec's, or the file's.
        lengths: (B,) samples of each item as given, 1 to T; its codes don't depend on the rest of the batch.
        num_codebooks: how many to use, from the first, 1 to K. None: all.
        ValueError, with the value found and those accepted, for all else; FileNotFoundError for no file.
        """
        num_codebooks = self.quantizer.check_num_codebooks(num_codebooks)
        if isinstance(wav, str | Path) and lengths is None:
            return long.encode(cast(Any, self), wav, sample_rate, num_codebooks)
        wav, rate = self._signal(wav, sample_rate)
        given = signal.check_lengths(lengths, len(wav), wav.shape[-1])
        items = [item[:, :length] for item, length in zip(wav, given, strict=True)]
        if rate != self.sample_rate:
            items = [audio.resample(item, rate, self.sample_rate) for item in items]
        codes, scales = self._encode(items, num_codebooks)
        own = [item.shape[-1] for item in items]
        return self._tokens(codes, scales, own, given, rate)

    def _tokens(
        self, codes: list[Tensor], scales: list[Tensor], own: list[int], given: list[int], rate: int
    ) -> Tokens:
        """Of each item its codes (K, n), its scales (s,) if there are any, its samples here and at `rate`."""
        lengths = torch.tensor(own, device=self._device)
        counts = torch.tensor([item.shape[-1] for item in codes], device=self._device)
        least = (lengths + self.hop_length - 1) // self.hop_length
        resampled = rate != self.sample_rate
        return Tokens(
            signal.stack(codes),
            lengths,
            sample_rate=self.sample_rate,
            hop_length=self.hop_length,
            codebook_sizes=self.codebook_sizes[: len(codes[0])],
            codec=self.name,
            source_rate=rate if resampled else None,
            source_lengths=torch.tensor(given, device=self._device) if resampled else None,
            frame_counts=None if bool((counts == least).all()) else counts,
            scales=signal.stack(scales) if scales else None,
            weights=self.weights,
        )

    def _encode(self, items: list[Tensor], num_codebooks: int) -> tuple[list[Tensor], list[Tensor]]:
        """Codes (K, n) of each item (C, t), and scales (S,) of each from a codec that has them."""
        padded = [self.pad(item) for item in items]
        codes, scales = dict[int, Tensor](), dict[int, Tensor]()
        with self._exactly():
            for group in self._groups([item.shape[-1] for item in padded]):
                batch = torch.stack([padded[i] for i in group]).to(self._device)
                found, scale = joined(self._analyse(self._tiles(batch), num_codebooks))
                codes.update(zip(group, found, strict=True))
                scales.update({} if scale is None else zip(group, scale, strict=True))
        return [codes[i] for i in range(len(items))], [scales[i] for i in sorted(scales)]

    def encode_file(
        self,
        path: str | Path,
        out: str | Path,
        num_codebooks: int | None = None,
        packing: Packing = "bits",
        told: Told | None = None,
    ) -> None:
        """The audio file `path`, of any length, to the token file `out` (.voc): the tokens of `encode(path)`.

        Read, encoded and written piece by piece: memory doesn't grow with the recording, but where the codec
        is one that needs the whole signal. `out` is there when it is complete, or not at all.
        num_codebooks, packing: as for `encode` and `Tokens.save`. told: called with the seconds done and
        those of the file, 0 where it doesn't say. ValueError as of `encode`.
        """
        long.encode_file(cast(Any, self), path, out, num_codebooks, packing, told)

    def encode_files(
        self,
        paths: Iterable[str | Path],
        num_codebooks: int | None = None,
        batch_seconds: float = 120.0,
        on_error: Callable[[Path, Exception], None] | None = None,
    ) -> Iterator[tuple[Path, Tokens]]:
        """Each of the audio files with its tokens, those of `encode(path)`, in the order of `paths`.

        The next files are read and resampled, in threads, while one is encoded. On a GPU those of one length
        are encoded together, `batch_seconds` of audio at once; a longer file goes piece by piece. Memory
        does not grow with the number of files.
        on_error: called with a path that can't be read and the ValueError or OSError, and the rest goes on;
        None: it is raised when the file's turn comes. ValueError for other arguments than accepted.

        >>> for path, tokens in codec.encode_files(Path("speech").glob("*.flac")):
        ...     tokens.save(path.with_suffix(".voc"))
        """
        return many.encode_files(cast(Any, self), paths, num_codebooks, batch_seconds, on_error)

    def decode_file(
        self,
        tokens: Tokens | str | Path,
        out: str | Path,
        sample_rate: int | None = None,
        any_weights: bool = False,
        told: Told | None = None,
    ) -> None:
        """The tokens of one signal, or a token file (.voc), to the audio file `out`, as `decode` gives it.

        Read, decoded and written piece by piece, see `encode_file`. sample_rate, any_weights: as for
        `decode`; out: as for `audio.write`. ValueError as of both, and for a file of several signals.
        """
        long.decode_file(cast(Any, self), tokens, out, sample_rate, any_weights, told)

    def decode(
        self,
        tokens: Tokens | Tensor,
        sample_rate: int | None = None,
        any_weights: bool = False,
        untrimmed: bool = False,
    ) -> Tensor:
        """Tokens, or bare codes (B, K, N) int64, to wav (B, C, T) float32, around [-1, 1] and not clipped.

        sample_rate: of the result, Hz. None: the codec's; `tokens.source_rate`: exactly the samples that
        went in. T is the longest item's, shorter ones end in zeros; bare codes are whole frames.
        any_weights: also decode tokens that were made with other weights than this codec's.
        untrimmed: all that the decoder makes of an item's frames, whatever its length: the published codes'
        own lengths, but for DAC's at 16 and 24 kHz, which are 8 less (see `zoo.dac.dac`).
        ValueError for those otherwise, for codes out of range, and tokens of another rate, hop or codebooks.
        """
        if not isinstance(tokens, Tokens | Tensor):
            raise ValueError(f"tokens are a {type(tokens).__name__}; accepted: Tokens, codes (B, K, N)")
        tokens = self._own(tokens, any_weights)
        rate = self.sample_rate if sample_rate is None else signal.check_rate(sample_rate)
        tokens, frames = tokens.to(self._device), tokens.frames.tolist()
        items: list[Tensor] = [tokens.codes] * len(tokens)
        with self._exactly():
            for group in self._groups(frames):
                codes = tokens.codes[group, :, : frames[group[0]]]
                scales = None if tokens.scales is None else tokens.scales[group]
                wav = torch.cat(list(self._synthesise(self._parts(codes, scales))), -1)
                for i, item in zip(group, wav, strict=True):
                    items[i] = item if untrimmed else item[:, : int(tokens.lengths[i])]
        if rate != self.sample_rate:
            known = tokens.source_lengths if rate == tokens.source_rate and not untrimmed else None
            ends = [None] * len(items) if known is None else known.tolist()
            pairs = zip(items, ends, strict=True)
            items = [audio.resample(item, self.sample_rate, rate, end) for item, end in pairs]
        return signal.stack(items)

    def _own(self, tokens: Tokens | Tensor, any_weights: bool) -> Tokens:
        """The tokens, or codes as tokens; ValueError unless they are this codec's."""
        self.quantizer.check_codes(tokens if isinstance(tokens, Tensor) else tokens.codes)
        tokens = as_tokens(tokens, self.sample_rate, self.hop_length, self.codebook_sizes)
        if tokens.weights and not any_weights and tokens.weights != self.weights:
            known = f"this codec's, {self.weights}, or any with any_weights=True"
            raise ValueError(f"tokens were made with the weights {tokens.weights}; accepted: {known}")
        return tokens

    @overload
    def stream(self, num_codebooks: int | None = None) -> Stream: ...

    @overload
    def stream(
        self, num_codebooks: int | None = None, *, context: float, lookahead: float | None = None
    ) -> Stream | SlidingStream: ...

    def stream(
        self,
        num_codebooks: int | None = None,
        *,
        context: float | None = None,
        lookahead: float | None = None,
    ) -> Stream | SlidingStream:
        """Chunk-wise encode and decode; many signals at once are `vocable.codecs.streams.Streams`.

        context: seconds that a codec which looks ahead may see before a frame, and after it; its stream says
        how late it is and whether it is exact, see `SlidingStream`. A causal codec's is exact without.
        lookahead: seconds that it may see after a frame, in a window whatever its architecture: for less
        latency, or less memory. None: as `context`, or what exact results take.
        AttributeError, without `context`, unless encoder and decoder are both causal; ValueError for a codec
        that needs the whole signal or segments of it at once (EnCodec at 48 kHz, StableCodec, SemantiCodec).
        """
        return open_stream(cast(Any, self), num_codebooks, context, lookahead)

    def _signal(self, wav: Tensor | np.ndarray | str | Path, sample_rate: int | None) -> tuple[Tensor, int]:
        """Any input as (B, C, T) float32 with this codec's channels, and its rate."""
        if isinstance(wav, str | Path):
            wav, sample_rate = audio.read_at(wav, sample_rate)
        rate = None if sample_rate is None else signal.check_rate(sample_rate)
        return signal.to_batch(wav, self.channels, mix=rate is not None), rate or self.sample_rate

    def _groups(self, counts: list[int]) -> Iterator[list[int]]:
        """Batches of items of one count; on a CPU of one item each.

        Rounding follows a batch's size, and may tip a code; on a CPU one by one is also the faster way for
        all but short items, which fit its cache.
        """
        return signal.groups(counts, together=self._device.type != "cpu")
