"""Chunk-wise encode and decode of a causal codec."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from vocable.codecs.codec import Codec


class Stream:
    """One signal in chunks: holds the state of both ends, and the samples short of a frame.

    >>> stream = codec.stream()
    >>> codes = [stream.encode(chunk) for chunk in chunks] + [stream.flush()]

    are together the codes of the whole signal. A stream is one signal (or a batch of signals in step); for two
    at once take two streams.
    """

    def __init__(self, codec: "Codec", num_codebooks: int) -> None:
        self.codec, self.num_codebooks = codec, num_codebooks
        self.encoder_state: Any = None
        self.decoder_state: Any = None
        self.rest: Tensor | None = None

    @torch.no_grad()
    def encode(self, chunk: Tensor) -> Tensor:
        """The next samples (B, C, T) at the codec's rate, any T, to the codes (B, K, n) of the frames they fill."""
        codec = self.codec
        known = chunk.shape[:1] if self.rest is None else self.rest.shape[:1]
        if not chunk.is_floating_point() or chunk.ndim != 3 or chunk.shape[:2] != (*known, codec.channels):
            like = f"({'B' if self.rest is None else known[0]}, {codec.channels}, T)"
            raise ValueError(f"chunk is {chunk.dtype} {tuple(chunk.shape)}; accepted: float {like}")
        if not bool(chunk.isfinite().all()):
            raise ValueError("chunk holds NaN or infinite samples; accepted: finite ones")
        chunk = chunk.float() if self.rest is None else torch.cat([self.rest, chunk.float()], -1)
        whole = chunk.shape[-1] - chunk.shape[-1] % codec.hop_length
        self.rest = chunk[..., whole:]
        if not whole:
            return chunk.new_zeros(len(chunk), self.num_codebooks, 0, dtype=torch.int64)
        z, self.encoder_state = codec.encoder(chunk[..., :whole], self.encoder_state)
        return codec.quantizer.encode(z, self.num_codebooks)

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """The next codes (B, K, n) to their samples (B, C, n * hop_length)."""
        codec = self.codec
        codec.quantizer.check_codes(codes)
        if not codes.shape[2]:
            return torch.zeros(len(codes), codec.channels, 0, device=codes.device)
        wav, self.decoder_state = codec.decoder(codec.quantizer.decode(codes), self.decoder_state)
        return wav

    def flush(self) -> Tensor:
        """The codes of the samples still held, zeros after them (n is 0 or 1); then a new signal may begin."""
        if self.rest is None:
            raise ValueError("nothing was encoded; accepted: flush after encode")
        missing = -self.rest.shape[-1] % self.codec.hop_length
        codes = self.encode(F.pad(self.rest[..., :0], (0, missing)))
        self.rest = self.encoder_state = None
        return codes
