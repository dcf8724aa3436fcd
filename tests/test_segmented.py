"""A codec of segments: which frames are whose, and what holds for any length."""

import pytest
import torch

from vocable.codecs.segmented import SegmentedCodec, triangle
from vocable.codecs.zoo.encodec import encodec_48khz

HOP, SEGMENT = 40, 400


def made(stride: int = 370) -> SegmentedCodec:
    """Segments of 10 frames; a stride of 9.25 of them leaves segments that outlast the one after them."""
    torch.manual_seed(0)
    codec = encodec_48khz(4, (5, 4, 2), 6, 2, 16, SEGMENT, stride).eval()
    z = codec.encoder(torch.randn(1, 2, 4000))[0][0].detach()
    for name, book in codec.quantizer.named_buffers():
        if name.endswith(".embed"):
            book.copy_(z.T[torch.randperm(z.shape[1])[:16]])
    return codec


@pytest.mark.parametrize("stride", [37, 200, 370, 399])
def test_the_sum_of_the_frames_tells_each_segments(stride: int) -> None:
    codec = made(stride)
    for length in range(1, 900, 7):
        starts = range(0, length, stride)
        counts = [-(-min(SEGMENT, length - start) // HOP) for start in starts]
        assert codec.segments(sum(counts)) == counts


def test_frames_that_no_signal_has_are_refused() -> None:
    codec = made(SEGMENT - HOP)  # one more sample may begin a frame in two segments
    with pytest.raises(ValueError, match=r"codes have 10 frames.*\(9, 11\)"):
        codec.segments(10)


@torch.no_grad()
@pytest.mark.parametrize("length", [1, 39, 370, 371, 385, 400, 401, 740, 1111])
def test_as_many_samples_come_back(length: int) -> None:
    codec = made()
    wav = torch.randn(1, 2, length)
    tokens = codec.encode(wav)
    assert tokens.scales is not None
    assert tokens.scales.shape == (1, -(-length // 370))
    out = codec.decode(tokens)
    assert out.shape == wav.shape
    assert out.isfinite().all()


@torch.no_grad()
def test_a_batch_is_as_its_items_alone() -> None:
    codec = made()
    wav, lengths = torch.randn(3, 2, 1000), [1000, 371, 20]
    tokens = codec.encode(wav, lengths=lengths)
    out = codec.decode(tokens)
    for i, length in enumerate(lengths):
        alone = codec.encode(wav[i : i + 1, :, :length])
        assert torch.equal(tokens[i].codes, alone.codes)
        torch.testing.assert_close(out[i : i + 1, :, :length], codec.decode(alone), rtol=0, atol=1e-6)
        assert not out[i, :, length:].any()


@torch.no_grad()
def test_loudness_is_taken_out_and_given_back() -> None:
    codec = made()
    wav = torch.randn(1, 2, 1000)
    loud, soft = codec.encode(wav), codec.encode(wav / 1024)
    assert torch.equal(loud.codes, soft.codes)
    torch.testing.assert_close(1024 * codec.decode(soft), codec.decode(loud), rtol=1e-4, atol=1e-5)
    silence = codec.encode(torch.zeros(1, 2, 1000))
    assert codec.decode(silence).abs().max() < 1e-6


def test_a_training_pass_is_one_segment() -> None:
    codec = made()
    wav = torch.randn(2, 2, SEGMENT - 30)
    out = codec(wav)
    with torch.no_grad():
        torch.testing.assert_close(out.wav, codec.decode(codec.encode(wav)), rtol=0, atol=1e-5)
    out.wav.square().mean().backward()
    assert all(parameter.grad is not None for parameter in codec.encoder.parameters())
    with pytest.raises(ValueError, match=r"wav is .*\(2, 1, 50\); accepted: float \(B, 2, T\)"):
        codec(torch.randn(2, 1, 50))


def test_segments_fade_linearly_into_each_other() -> None:
    fade = triangle(8)
    torch.testing.assert_close(fade, torch.tensor([1.0, 2, 3, 4, 4, 3, 2, 1]) / 9)


def test_refusals() -> None:
    codec = made()
    with pytest.raises(ValueError, match=r"scales are None; accepted: \(1, 2\)"):
        codec.decode(torch.zeros(1, 2, 12, dtype=torch.int64))
    for stride in (0, SEGMENT + 1):
        with pytest.raises(ValueError, match=f"stride is {stride}.*accepted: 1 to {SEGMENT}"):
            made(stride)
    with pytest.raises(AttributeError, match="no stream"):
        codec.stream()
