"""Chunk-wise encode and decode of a codec that looks ahead."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from vocable.codecs.ends import End, GoingOn, Window, going_on
from vocable.codecs.stream import Stream, check_chunk

if TYPE_CHECKING:
    from vocable.codecs.codec import Codec


class SlidingStream:
    """One signal, or a batch of signals in step, in chunks; any chunks give the same.

    It comes from `Codec.stream(context=...)`, see there. An end made of convolutions, and of what else goes
    on, keeps its state: it gives what the whole signal gives, up to the rounding of sums, as soon as it is
    known, and `context` plays no part. Any other end, or both where `lookahead` is told, sees a window;
    `vocable.benchmarks.sliding` measures how far that is from the whole signal's result.

    >>> stream = codec.stream(context=1.0)
    >>> codes = [stream.encode(chunk) for chunk in chunks] + [stream.flush()]
    >>> wav = [stream.decode(part) for part in codes[:-1]] + [stream.decode(codes[-1], final=True)]
    """

    def __init__(
        self, codec: "Codec", num_codebooks: int, context: float, lookahead: float | None = None
    ) -> None:
        if not context >= 0 or not (lookahead is None or lookahead >= 0):
            raise ValueError(f"context is {context} s, lookahead {lookahead}; accepted: 0 or more")
        self.codec, self.num_codebooks = codec, num_codebooks
        before, ahead = (
            -int(-seconds * codec.frame_rate // 1)
            for seconds in (context, context if lookahead is None else lookahead)
        )
        hop = codec.hop_length

        def end(part: nn.Module, channels: int, samples: int, out: int) -> End:
            layers = going_on(part) if lookahead is None else None
            if layers is None:
                return Window(part, before, ahead, samples, out)
            return GoingOn(layers, channels, samples, out)

        one = torch.zeros(1, num_codebooks, 1, dtype=torch.int64, device=codec._device)
        self.latents = codec.quantizer.decode(one).shape[-1]  # of a frame; SNAC has several
        self.encoder = end(codec.encoder, codec.channels, hop, self.latents)
        self.decoder = end(codec.decoder, codec.quantizer.dim, self.latents, hop)
        self.rest: Tensor | None = None
        self.begun = False
        self.short: Tensor | None = None  # latents that are short of a frame

    @property
    def exact(self) -> bool:
        """Whether codes and audio are those of the whole signal; False: near them, or equal, not known."""
        return self.encoder.exact and self.decoder.exact

    @property
    def lookahead(self) -> tuple[float, float]:
        """Milliseconds after a frame that the encoder waits for, and the decoder."""
        return self._ms(self.encoder.ahead), self._ms(self.decoder.ahead)

    @property
    def latency(self) -> float:
        """Milliseconds from a sample to its reconstruction at the most, computing time aside.

        A frame, or as many as one window gives, and what both ends wait for.
        """
        step = max(getattr(end, "step", 1) for end in (self.encoder, self.decoder))
        return self._ms(step + self.encoder.ahead + self.decoder.ahead)

    def encode(self, chunk: Tensor) -> Tensor:
        """The next samples (B, C, T), float, any T, to the codes (B, K, n) that they make known.

        ValueError for another shape or batch than before, integers and NaN.
        """
        chunk = check_chunk(chunk, self.rest, self.codec.channels)
        wav = chunk if self.rest is None else torch.cat([self.rest, chunk], -1)
        whole = wav.shape[-1] - wav.shape[-1] % self.codec.hop_length
        self.rest, self.begun = wav[..., whole:].clone(), self.begun or wav.shape[-1] > 0
        return self._codes(wav[..., :whole], final=False)

    def flush(self) -> Tensor:
        """The codes (B, K, n) of the samples still held, padded as a signal's end. Ends the signal."""
        if self.rest is None:
            raise ValueError("flush before any chunk; accepted: flush after encode")
        empty = self.rest[..., :0]
        # also where nothing is left: BigCodec ends every signal with some padding
        codes = self._codes(self.codec.pad(self.rest), final=True) if self.begun else self._no_codes(empty)
        self.rest, self.begun = None, False
        return codes

    def decode(self, codes: Tensor, final: bool = False) -> Tensor:
        """The next codes (B, K, n), any n, to the samples (B, C, T) that they make known.

        final: these codes are the last, which gives the samples still waited for.
        ValueError for codes of another shape or dtype, or out of range.
        """
        self.codec.quantizer.check_codes(codes)
        with self.codec._exactly():
            z = self.codec.quantizer.decode(codes) if codes.shape[-1] else self._no_latents(codes)
            wav = self.decoder.push(z, final).float()
        return wav if wav.shape[-1] else wav.new_zeros(len(codes), self.codec.channels, 0)

    def _codes(self, wav: Tensor, final: bool) -> Tensor:
        with self.codec._exactly():
            z = self.encoder.push(wav, final)
            z = z if self.short is None else torch.cat([self.short, z], -1)
            whole = z.shape[-1] - z.shape[-1] % self.latents
            self.short = z[..., whole:].clone() if whole < z.shape[-1] else None
            if not whole:
                return self._no_codes(wav)
            return self.codec.quantizer.encode(z[..., :whole], self.num_codebooks)

    def _no_codes(self, like: Tensor) -> Tensor:
        return torch.zeros(len(like), self.num_codebooks, 0, dtype=torch.int64, device=like.device)

    def _no_latents(self, codes: Tensor) -> Tensor:
        return torch.zeros(len(codes), self.codec.quantizer.dim, 0, device=codes.device)

    def _ms(self, frames: int) -> float:
        return 1000 * frames * self.codec.hop_length / self.codec.sample_rate


def open_stream(
    codec: "Codec", num_codebooks: int | None, context: float | None, lookahead: float | None
) -> Stream | SlidingStream:
    """See `Codec.stream`."""
    books = codec.quantizer.check_num_codebooks(num_codebooks)
    looking = [end for end in ("encoder", "decoder") if not getattr(getattr(codec, end), "causal", False)]
    if not looking:
        return Stream(codec, books)
    if context is None:
        found = f"this codec has no stream: its {looking[0]} is not causal, it looks ahead"
        raise AttributeError(f"{found}; accepted: stream(context=seconds), which waits for what comes")
    if codec.needs_whole:
        found = f"a {type(codec).__name__} takes the whole signal, or segments of one length, at once"
        raise ValueError(f"{found}; accepted: encode and decode")
    return SlidingStream(codec, books, context, lookahead)
