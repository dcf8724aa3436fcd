"""Many streams on one codec, in one batch: they join, pause and leave on their own."""

from collections.abc import Collection, Iterable, Mapping
from itertools import count
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vocable.codecs.backbones.conv import State
from vocable.codecs.pool import Pool
from vocable.codecs.stream import Stream, check_chunk, first_frames

if TYPE_CHECKING:
    from vocable.codecs.codec import Codec


class Streams:
    """Signals that begin and end at any time; whichever have a frame ready are worked on in one batch.

    Each gets the codes and the audio that it gets alone, up to the rounding of sums. Chunks are at the
    codec's rate and channels, on its device.

    >>> streams = Streams(codec)
    >>> ann, bob = streams.join(), streams.join()
    >>> codes = streams.encode({ann: wav_of_ann, bob: wav_of_bob})  # codes[ann] is (K, n)
    >>> wavs = streams.decode({ann: codes[ann]})
    >>> rest = streams.flush([ann])
    >>> streams.leave(ann)
    """

    def __init__(self, codec: "Codec", num_codebooks: int | None = None) -> None:
        """num_codebooks: 1 to K, None for all. AttributeError unless the codec's both ends are causal."""
        codec.stream(num_codebooks)
        self.codec, self.num_codebooks = codec, codec.quantizer.check_num_codebooks(num_codebooks)
        self._numbers = count()
        self._members = dict[int, Stream]()
        self._encoders = Pool(self._encode, first_frames(codec.encoder) * codec.hop_length)
        self._decoders = Pool(self._decode, first_frames(codec.decoder))

    def __len__(self) -> int:
        """How many have joined and not left."""
        return len(self._members)

    def join(self, stream: Stream | None = None) -> int:
        """A number for a new signal, or for one that goes on from `stream`, which is used up.

        ValueError for a stream of another codec or other codebooks, or of more than one signal.
        """
        new = Stream(self.codec, self.num_codebooks)
        number, stream = next(self._numbers), new if stream is None else stream
        if stream.codec is not self.codec or stream.num_codebooks != self.num_codebooks:
            found = f"{type(stream.codec).__name__} with {stream.num_codebooks} codebooks"
            raise ValueError(
                f"the stream is of a {found}; accepted: this codec, {self.num_codebooks} of them"
            )
        if (size := stream.size) not in (None, 1):
            raise ValueError(f"the stream has {size} signals; accepted: one")
        self._encoders.put(number, stream.encoder_state)
        self._decoders.put(number, stream.decoder_state)
        new.rest, new.held = stream.rest, stream.held
        self._members[number] = new
        return number

    def leave(self, number: int) -> Stream:
        """The signal as a stream of its own, to go on with, save or forget. ValueError for no member."""
        [stream] = self._of([number])
        stream.encoder_state, stream.decoder_state = self._encoders.take(number), self._decoders.take(number)
        del self._members[number]
        return stream

    def encode(self, chunks: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """The next samples (C, T), any T, of some members, to each one's codes (K, n), n of 0 or more.

        ValueError for a number that is no member's, another shape, integers and NaN; then nothing is done.
        """
        given = {
            number: (member, check_chunk(chunk[None], member.rest, self.codec.channels))
            for (number, chunk), member in zip(chunks.items(), self._of(chunks), strict=True)
        }
        ready = {
            number: member.whole_frames(chunk, self._encoders.has(number))
            for number, (member, chunk) in given.items()
        }
        nothing = torch.zeros(self.num_codebooks, 0, dtype=torch.int64, device=self.codec._device)
        return self._run(self._encoders, ready, nothing)

    def flush(self, numbers: Iterable[int]) -> dict[int, Tensor]:
        """The codes (K, n) of the samples that these members still hold, padded as a signal's end.

        Ends the signals; the members may begin others. ValueError for one without a chunk before.
        """
        members = self._of(numbers := list(numbers))
        if none := [n for n, member in zip(numbers, members, strict=True) if member.rest is None]:
            raise ValueError(f"flush of {none} before any chunk; accepted: flush after encode")
        found = {}
        for number, member in zip(numbers, members, strict=True):
            member.encoder_state = self._encoders.take(number)
            found[number] = member.flush()[0]
        return found

    def decode(self, codes: Mapping[int, Tensor], final: Collection[int] = ()) -> dict[int, Tensor]:
        """The next codes (K, n), any n, of some members, to the samples (C, T) that they make known.

        final: the members whose last codes these are. See `Stream.decode`.
        ValueError for a number that is no member's, codes of another shape or out of range.
        """
        members = self._of(codes)
        self._of(final)
        for part in codes.values():
            if part.ndim != 2 or len(part) != self.num_codebooks:
                raise ValueError(f"codes are {tuple(part.shape)}; accepted: ({self.num_codebooks}, n)")
            self.codec.quantizer.check_codes(part[None])
        ready = {
            number: member.known_codes(part[None], number in final, self._decoders.has(number))
            for (number, part), member in zip(codes.items(), members, strict=True)
        }
        nothing = torch.zeros(self.codec.channels, 0, device=self.codec._device)
        found = self._run(self._decoders, ready, nothing)
        for number in final:
            self._decoders.take(number)
        return found

    def _run(self, pool: Pool, ready: dict[int, Tensor], nothing: Tensor) -> dict[int, Tensor]:
        """What the pool makes of each (1, ..., T), without its batch; `nothing` of none."""
        with self.codec._exactly():
            found = pool.run({number: x for number, x in ready.items() if x.shape[-1]})
        return {number: found[number][0] if number in found else nothing for number in ready}

    def _encode(self, wav: Tensor, state: State) -> tuple[Tensor, State]:
        z, state = self.codec.encoder(wav, state)
        return self.codec.quantizer.encode(z, self.num_codebooks), state

    def _decode(self, codes: Tensor, state: State) -> tuple[Tensor, State]:
        wav, state = self.codec.decoder(self.codec.quantizer.decode(codes), state)
        return wav.float(), state

    def _of(self, numbers: Iterable[int]) -> list[Stream]:
        if unknown := [number for number in numbers if number not in self._members]:
            raise ValueError(f"members {unknown}; accepted: {sorted(self._members)}, by join()")
        return [self._members[number] for number in numbers]
