"""How far ahead a codec looks."""

import torch
from torch import Tensor, nn

from vocable.codecs.backbones.semantic import SemanticEncoder
from vocable.codecs.codec import Codec
from vocable.codecs.graphs.modules import frame_multiple
from vocable.codecs.normalizing import NormalizingCodec
from vocable.codecs.segmented import SegmentedCodec
from vocable.codecs.zoo.semanticodec import SemantiCodec

LIMIT = 2048  # frames; what reaches further counts as the whole signal


def lookahead(codec: Codec) -> int | None:
    """Samples past a decoded one that it may depend on, at most; None: all, the whole signal.

    With encoder and decoder as they are, whatever the weights are worth: it is where gradients end, which
    are exactly 0 beyond. A causal codec looks ahead to its frame's end, hop_length - 1 samples.
    Takes a few seconds, and minutes for a large codec that needs the whole signal.
    """
    if isinstance(codec, SegmentedCodec):
        return codec.segment - 1  # each at its own loudness
    if isinstance(codec, SemantiCodec):
        return codec.encoder.per_segment * codec.hop_length - 1
    both_ways = any(isinstance(part, nn.RNNBase) and part.bidirectional for part in codec.modules())
    teacher = any(isinstance(part, SemanticEncoder) for part in codec.modules())
    if both_ways or teacher or isinstance(codec, NormalizingCodec):  # a signal's loudness is that of all
        return None
    frames = 16
    while frames <= LIMIT:
        if (found := _measured(codec, frames)) is not None:
            return found
        frames *= 4
    return None


def _measured(codec: Codec, frames: int) -> int | None:
    """From a signal of so many frames; None where it is too short to tell."""
    generator = torch.Generator().manual_seed(0)
    wav = 0.3 * torch.randn(1, codec.channels, frames * codec.hop_length, generator=generator)
    wav = wav.to(codec._device)
    with torch.enable_grad():
        wav.requires_grad_()
        z, _ = codec.encoder(codec.pad(wav))
        latents = z.detach().requires_grad_()
        out, _ = codec.decoder(latents)
        ahead = []
        # a frame's place among those that attend to each other tells how far it sees
        for frame in range(frames // 2, frames // 2 + frame_multiple(codec)):
            last = _last_sample(wav, z, frame, codec.hop_length)
            first = _first_sample(latents, out, frame, codec.hop_length)
            if last is None or first is None:
                return None
            ahead.append(last - first)
    return max(ahead)


def _last_sample(wav: Tensor, z: Tensor, frame: int, hop: int) -> int | None:
    """Of those that a frame depends on; None where that is the signal's end."""
    per = _latents(z, wav, hop)
    found = _span(z[..., frame * per : (frame + 1) * per], wav)[1]
    return None if found >= wav.shape[-1] - hop else found


def _first_sample(latents: Tensor, out: Tensor, frame: int, hop: int) -> int | None:
    """Of those that depend on a frame or on later ones; None where that is the signal's beginning."""
    per = _latents(latents, out, hop)
    low, high = -1, frame * hop + hop // 2  # the middle of a frame depends on it
    while high - low > 1:
        middle = (low + high) // 2
        if _span(out[..., middle], latents)[1] >= frame * per:
            high = middle
        else:
            low = middle
    return None if high < hop else high


def _latents(z: Tensor, wav: Tensor, hop: int) -> int:
    """Latents of a frame."""
    return max(1, z.shape[-1] * hop // wav.shape[-1])


def _span(of: Tensor, to: Tensor) -> tuple[int, int]:
    """The first and last place (..., T) of `to` that `of` depends on."""
    weights = torch.linspace(1.0, 2.0, of.numel(), device=of.device).view_as(of)  # so that nothing cancels
    (gradient,) = torch.autograd.grad((of * weights).sum(), to, retain_graph=True)
    places = gradient.abs().amax((0, 1)).nonzero()[:, 0]
    return int(places[0]), int(places[-1])
