"""SemantiCodec's encoder (https://arxiv.org/abs/2405.00233): AudioMAE over segments of 10.24 s."""

import math
from collections.abc import Iterable, Iterator

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from vocable.codecs.backbones.conv import State, refuse_state
from vocable.codecs.backbones.semanticodec.audiomae import PATCH, AudioMAE
from vocable.codecs.backbones.semanticodec.fbank import RATE, SHIFT, WINDOW, Fbank

FRAMES, BANDS = 1024, 128  # of a segment's spectrogram
SEGMENT = FRAMES * SHIFT  # samples
MEAN, SPREAD = -4.2677393, 2 * 4.5689974  # of AudioSet's log energies
AT_ONCE = 8  # segments, on a device that gains by it


class SemantiCodecEncoder(nn.Module):
    """wav (B, 1, T) at 16 kHz, any T, to z (B, D + 1, N).

    The first D rows describe a block of AudioMAE's patches, `stack` of them in time and over the bands, so
    D = dim * stack[0] * stack[1]; blocks go from low bands to high, then on in time. The last row is 1
    where the segment still sounds, and 0 in the silence that ends it.
    """

    causal = False

    def __init__(self, dim: int = 768, heads: int = 12, stack: tuple[int, int] = (1, 1)) -> None:
        super().__init__()
        self.stack = stack
        self.patches = FRAMES // PATCH, BANDS // PATCH
        self.per_segment = math.prod(self.patches) // math.prod(stack)
        self.hop_length = SEGMENT // self.per_segment
        self.fbank = Fbank(BANDS)
        self.audiomae = AudioMAE(dim, heads, patches=math.prod(self.patches))

    def pad(self, wav: Tensor) -> Tensor:
        """wav itself: the encoder takes any length."""
        return wav

    def frames(self, samples: int) -> int:
        """N: the whole patches of 0.16 s that `samples` touch, and one more where they end with a patch.

        Where that is a matter of rounding, it is the official code's, whose unit is the second.
        """
        patch = PATCH * SHIFT / RATE
        seconds = samples / RATE
        seconds += patch - seconds % patch
        blocks = math.ceil(self.patches[1] * seconds / patch / math.prod(self.stack))
        return min(blocks, (samples // SEGMENT + 1) * self.per_segment)

    def forward(self, wav: Tensor, state: State = None) -> tuple[Tensor, State]:
        refuse_state(state)
        return torch.cat(list(self.segments([(wav, True)])), dim=-1), None

    def segments(self, wav: Iterable[tuple[Tensor, bool]]) -> Iterator[Tensor]:
        """The same z of wav in pieces (B, 1, T), segment by segment: a few at once where that is faster."""
        total = given = 0
        held: Tensor | None = None
        for piece, final in wav:
            total += piece.shape[-1]
            held = piece[:, 0] if held is None else torch.cat([held, piece[:, 0]], -1)
            # whole segments are followed by one of silence; others need a little of the next
            whole = held.shape[-1] + SEGMENT if final else held.shape[-1] - WINDOW + SHIFT
            starts = range(0, whole // SEGMENT * SEGMENT, SEGMENT)
            step = 1 if held.device.type == "cpu" else AT_ONCE
            for i in range(0, len(starts), step):
                spectrograms = torch.stack([self.spectrogram(held, j) for j in starts[i : i + step]], dim=1)
                z = self.describe(spectrograms.flatten(0, 1)).unflatten(0, spectrograms.shape[:2])
                z = rearrange(z, "b s d n -> b d (s n)")
                z = z[..., : self.frames(total) - given] if final else z
                given += z.shape[-1]
                yield z
            held = held[:, len(starts) * SEGMENT :]

    def spectrogram(self, wav: Tensor, start: int) -> Tensor:
        """The segment of wav (B, T) that begins at `start`: (B, FRAMES, BANDS), normalised."""
        last = start + SEGMENT > wav.shape[-1]
        span = SEGMENT if last else SEGMENT + WINDOW - SHIFT  # into the next one, to fill its last frames
        part = wav[:, start : start + span]
        energies = self.fbank(F.pad(part, (0, span - part.shape[-1])))
        # the frames that the signal's end leaves no room for are 0 as they are, not the log of silence
        return (F.pad(energies, (0, 0, 0, FRAMES - energies.shape[1])) - MEAN) / SPREAD

    def describe(self, spectrogram: Tensor) -> Tensor:
        """Spectrograms (B, FRAMES, BANDS) to z (B, D + 1, N of a segment)."""
        rows, columns = self.patches
        blocks = rearrange(
            self.audiomae(spectrogram),
            "b (t i f j) d -> b (i j d) (t f)",
            t=rows // self.stack[0],
            i=self.stack[0],
            f=columns // self.stack[1],
            j=self.stack[1],
        )
        return torch.cat([blocks, sounding(spectrogram, self.per_segment)], dim=1)


def sounding(spectrogram: Tensor, blocks: int) -> Tensor:
    """Of spectrograms (B, M, bands), (B, 1, blocks): 1 up to the last frame that is not flat, 0 after it.

    A spectrogram with one frame alone that is not flat counts as all flat, as in the official code.
    """
    flat = spectrogram.std(-1) <= 1e-7
    count = flat.shape[1]
    ends = torch.arange(1, count + 1, device=flat.device).masked_fill(flat, 0).amax(1)
    ends = ends.masked_fill((~flat).sum(1) == 1, 0)
    index = torch.arange(blocks, device=flat.device)
    return (index * count < (ends * blocks)[:, None])[:, None].to(spectrogram.dtype)
