"""Signals to packets and back, by FFmpeg's coders in PyAV."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vocable.benchmarks.baselines.base import check


class Packets(NamedTuple):
    """A signal of `length` samples as packets of `frame` samples each, and the header that a decoder needs.

    delay: samples that the encoder says it puts before the signal, its own and the decoder's.
    """

    packets: list[bytes]
    header: bytes
    frame: int
    sample_rate: int
    length: int
    delay: int

    @property
    def bit_rate(self) -> float:
        """Bits a second that the packets take: what was asked of the encoder is only its target."""
        seconds = self.frame / self.sample_rate * len(self.packets)
        return 8 * sum(len(packet) for packet in self.packets) / seconds


def encode(
    name: str, sample_format: str, wav: Tensor, sample_rate: int, bit_rate: int, options: dict[str, str]
) -> Packets:
    """(T,) in [-1, 1] by FFmpeg's encoder `name`, which takes samples as `sample_format`."""
    import av

    check(wav)
    encoder: Any = av.AudioCodecContext.create(name, "w")
    encoder.sample_rate, encoder.layout, encoder.format = sample_rate, "mono", sample_format
    encoder.bit_rate, encoder.options = bit_rate, options
    encoder.open()
    samples, found = wav.detach().cpu().float().numpy(), []
    for start in range(0, len(samples), encoder.frame_size):
        chunk = np.ascontiguousarray(samples[None, start : start + encoder.frame_size])
        frame = av.AudioFrame.from_ndarray(chunk, format=sample_format, layout="mono")
        frame.sample_rate, frame.pts = sample_rate, start
        found += encoder.encode(frame)
    found += encoder.encode(None)
    packets, header = [bytes(packet) for packet in found], bytes(encoder.extradata or b"")
    return Packets(packets, header, encoder.frame_size, sample_rate, len(samples), -found[0].pts)


def decode(decoder: Any, packets: Packets) -> Tensor:
    """All samples (T,) that an `av.AudioCodecContext` gives for packets, none left out but by itself."""
    import av

    frames = [frame for packet in packets.packets for frame in decoder.decode(av.Packet(packet))]
    frames += decoder.decode(None)
    decoded = np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames])
    wav = torch.from_numpy(decoded).float()
    return wav / 2**15 if decoded.dtype == np.int16 else wav
