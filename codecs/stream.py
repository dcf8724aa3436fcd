"""Chunk-wise encode and decode of a causal codec."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from vocable.codecs.backbones.conv import State
from vocable.codecs.signal import check_samples
from vocable.codecs.state import owned, tensors

if TYPE_CHECKING:
    from vocable.codecs.codec import Codec


class Stream:
    """One signal in chunks: the state of both ends, and the samples that are short of a frame.

    It comes from `Codec.stream`; chunks are at the codec's rate and channels, on its device.

    >>> stream = codec.stream()
    >>> codes = [stream.encode(chunk) for chunk in chunks] + [stream.flush()]

    are together the codes of the whole signal. A stream is one signal, or a batch of signals in step; those
    that begin, pause and end on their own are `Streams`.
    encoder_state, decoder_state: None before their first frame, and then the stream's alone: layers write
    to them as they go on.
    """

    def __init__(self, codec: "Codec", num_codebooks: int) -> None:
        self.codec, self.num_codebooks = codec, num_codebooks
        self.encoder_state: State = None
        self.decoder_state: State = None
        self.rest: Tensor | None = None
        self.held: Tensor | None = None

    @property
    def size(self) -> int | None:
        """B, or None as long as nothing tells."""
        known = (self.rest, self.held, *tensors([self.encoder_state, self.decoder_state]))
        return next((len(tensor) for tensor in known if tensor is not None), None)

    exact = True  # the codes and the audio of the whole signal
    lookahead = 0.0, 0.0  # milliseconds that encoder and decoder wait for

    @property
    def latency(self) -> float:
        """Milliseconds from a sample to its reconstruction, computing time aside: one frame."""
        return 1000 * self.codec.hop_length / self.codec.sample_rate

    @property
    def first_latency(self) -> float:
        """The same at the start, where a codec that mirrors it (EnCodec) waits for some frames."""
        return self.latency * max(first_frames(self.codec.encoder), first_frames(self.codec.decoder))

    @property
    def mirrors(self) -> bool:
        """Whether the codec mirrors the start of the signal."""
        return self.first_latency > self.latency

    def encode(self, chunk: Tensor) -> Tensor:
        """The next samples (B, C, T), float, any T, to the codes (B, K, n) of the frames that they fill.

        ValueError for another shape or batch than before, integers and NaN.
        """
        return self._codes(self.whole_frames(check_chunk(chunk, self.rest, self.codec.channels)))

    def decode(self, codes: Tensor, final: bool = False) -> Tensor:
        """The next codes (B, K, n), any n, to the samples (B, C, T) that they make known.

        T is n * hop_length, but where a codec mirrors the start of the signal (EnCodec), which takes some
        frames: there the first ones come together. final: these codes are the last, hold nothing back.
        ValueError for codes of another shape or dtype, or out of range.
        """
        codes = self.known_codes(codes, final)
        wav = codes.new_zeros(len(codes), self.codec.channels, 0, dtype=torch.float32)
        if codes.shape[-1]:
            with self.codec._exactly():
                z = self.codec.quantizer.decode(codes)
                wav, state = self.codec.decoder(z, self.decoder_state)
                wav, self.decoder_state = wav.float(), owned(state)
        if final:
            self.decoder_state = None
        return wav

    def flush(self) -> Tensor:
        """The codes (B, K, n) of the samples still held, padded as a signal's end. Ends the signal."""
        if self.rest is None:
            raise ValueError("flush before any chunk; accepted: flush after encode")
        codes = self._codes(self.codec.pad(self.rest) if self.rest.shape[-1] else self.rest)
        self.rest = self.encoder_state = None
        return codes

    def whole_frames(self, chunk: Tensor, begun: bool | None = None) -> Tensor:
        """The samples (B, C, T) that can be encoded, with this chunk; the others wait.

        begun: whether any were encoded before; None: as `encoder_state` tells.
        """
        wav = chunk if self.rest is None else torch.cat([self.rest, chunk], -1)
        hop = self.codec.hop_length
        whole = wav.shape[-1] - wav.shape[-1] % hop
        begun = self.encoder_state is not None if begun is None else begun
        if not begun and whole < first_frames(self.codec.encoder) * hop:
            whole = 0
        self.rest = wav[..., whole:].clone()
        return wav[..., :whole]

    def known_codes(self, codes: Tensor, final: bool = False, begun: bool | None = None) -> Tensor:
        """The codes (B, K, n) that can be decoded, with these; the others wait.

        begun: whether any were decoded before; None: as `decoder_state` tells.
        """
        self.codec.quantizer.check_codes(codes)
        if self.held is not None:
            if codes.shape[:2] != self.held.shape[:2]:
                known = f"{(*self.held.shape[:2], 'n')}, as those before"
                raise ValueError(f"codes are {tuple(codes.shape)}; accepted: {known}")
            codes = torch.cat([self.held, codes], -1)
        begun = self.decoder_state is not None if begun is None else begun
        few = not begun and codes.shape[-1] < first_frames(self.codec.decoder) and not final
        self.held = codes if few else None
        return codes[..., :0] if few else codes

    def save(self, path: str | Path) -> None:
        """Write where the stream stands to `path` (safetensors), whole or not at all; `restore` goes on."""
        from vocable.codecs.saved import save

        save(cast(Any, self), path)

    def restore(self, path: str | Path) -> None:
        """Stand where the stream that was saved to `path` stood.

        ValueError where it was another codec's, by its weights, or had other codebooks, or is damaged.
        """
        from vocable.codecs.saved import restore

        restore(cast(Any, self), path)

    def _codes(self, wav: Tensor) -> Tensor:
        if not wav.shape[-1]:
            return torch.zeros(len(wav), self.num_codebooks, 0, dtype=torch.int64, device=wav.device)
        with self.codec._exactly():  # as in Codec.encode: the same codes
            z, state = self.codec.encoder(wav, self.encoder_state)
            self.encoder_state = owned(state)
            return self.codec.quantizer.encode(z, self.num_codebooks)


def first_frames(part: nn.Module) -> int:
    """The frames that the first chunk must have, for layers that mirror the start of the signal."""
    return getattr(part, "first_frames", 1)


def check_chunk(chunk: Tensor, before: Tensor | None, channels: int) -> Tensor:
    """The chunk (B, C, T) as float32; ValueError unless it is audio of these channels, and B as `before`."""
    batch = chunk.shape[:1] if before is None else before.shape[:1]
    if not chunk.is_floating_point() or chunk.ndim != 3 or chunk.shape[:2] != (*batch, channels):
        like = f"({'B' if before is None else batch[0]}, {channels}, T)"
        raise ValueError(f"chunk is {chunk.dtype} {tuple(chunk.shape)}; accepted: float {like}")
    return check_samples(chunk.float(), "chunk")
