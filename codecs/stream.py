"""Chunk-wise encode and decode of a causal codec."""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from vocable.codecs.signal import check_samples
from vocable.quantizers.base import Quantizer


class Stream:
    """One signal in chunks: the state of both ends, and the samples that are short of a frame.

    It comes from `Codec.stream`; chunks are at the codec's rate and channels, on its device.

    >>> stream = codec.stream()
    >>> codes = [stream.encode(chunk) for chunk in chunks] + [stream.flush()]

    are together the codes of the whole signal. A stream is one signal, or a batch of signals in step; for
    two at once take two streams.
    """

    def __init__(
        self,
        encoder: nn.Module,
        quantizer: Quantizer,
        decoder: nn.Module,
        pad: Callable[[Tensor], Tensor],
        channels: int,
        num_codebooks: int,
    ) -> None:
        self.encoder, self.quantizer, self.decoder = encoder, quantizer, decoder
        self.pad, self.channels, self.num_codebooks = pad, channels, num_codebooks
        self.hop_length = cast(int, encoder.hop_length)
        self.encoder_state: Any = None
        self.decoder_state: Any = None
        self.rest: Tensor | None = None
        self.held: Tensor | None = None

    @torch.no_grad()
    def encode(self, chunk: Tensor) -> Tensor:
        """The next samples (B, C, T), float, any T, to the codes (B, K, n) of the frames that they fill.

        ValueError for another shape or batch than before, integers and NaN.
        """
        batch = chunk.shape[:1] if self.rest is None else self.rest.shape[:1]
        if not chunk.is_floating_point() or chunk.ndim != 3 or chunk.shape[:2] != (*batch, self.channels):
            like = f"({'B' if self.rest is None else batch[0]}, {self.channels}, T)"
            raise ValueError(f"chunk is {chunk.dtype} {tuple(chunk.shape)}; accepted: float {like}")
        chunk = check_samples(chunk.float(), "chunk")
        wav = chunk if self.rest is None else torch.cat([self.rest, chunk], -1)
        whole = wav.shape[-1] - wav.shape[-1] % self.hop_length
        if self.encoder_state is None and whole < _first(self.encoder) * self.hop_length:
            whole = 0
        self.rest = wav[..., whole:]
        return self._codes(wav[..., :whole])

    @torch.no_grad()
    def decode(self, codes: Tensor, final: bool = False) -> Tensor:
        """The next codes (B, K, n), any n, to the samples (B, C, T) that they make known.

        T is n * hop_length, but where a codec mirrors the start of the signal (EnCodec), which takes some
        frames: there the first ones come together. final: these codes are the last, hold nothing back.
        ValueError for codes of another shape or dtype, or out of range.
        """
        self.quantizer.check_codes(codes)
        codes = codes if self.held is None else torch.cat([self.held, codes], -1)
        few = self.decoder_state is None and codes.shape[-1] < _first(self.decoder) and not final
        self.held = codes if few else None
        if few or not codes.shape[-1]:  # `encode` gives no frame for a chunk short of one
            return torch.zeros(len(codes), self.channels, 0, device=codes.device)
        with torch.autocast(codes.device.type, enabled=False):
            wav, self.decoder_state = self.decoder(self.quantizer.decode(codes), self.decoder_state)
        return wav

    @torch.no_grad()
    def flush(self) -> Tensor:
        """The codes (B, K, n) of the samples still held, padded as a signal's end. Ends the signal."""
        if self.rest is None:
            raise ValueError("flush before any chunk; accepted: flush after encode")
        codes = self._codes(self.pad(self.rest) if self.rest.shape[-1] else self.rest)
        self.rest = self.encoder_state = None
        return codes

    def _codes(self, wav: Tensor) -> Tensor:
        if not wav.shape[-1]:
            return torch.zeros(len(wav), self.num_codebooks, 0, dtype=torch.int64, device=wav.device)
        with torch.autocast(wav.device.type, enabled=False):  # as in Codec.encode: the same codes
            z, self.encoder_state = self.encoder(wav, self.encoder_state)
            return self.quantizer.encode(z, self.num_codebooks)


def _first(part: nn.Module) -> int:
    """The frames that the first chunk must have, for layers that mirror the start of the signal."""
    return getattr(part, "first_frames", 1)
