"""Opus, the codec to beat, by libopus through PyAV."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vocable.codecs.audio import resample

RATES = (8_000, 12_000, 16_000, 24_000, 48_000)  # Hz, what libopus takes
BIT_RATES = range(500, 512_001)
DECODED = 48_000  # Hz, of what its decoder gives, whatever went in
FRAME = 0.02  # seconds a packet


class Packets(NamedTuple):
    """A signal of `length` samples as Opus: its packets, and the header that a decoder needs."""

    packets: list[bytes]
    header: bytes
    length: int

    @property
    def bit_rate(self) -> float:
        """Bits a second that the packets take: what was asked of the encoder is only its target."""
        return 8 * sum(len(packet) for packet in self.packets) / (FRAME * len(self.packets))


class Opus:
    """Mono signals at `sample_rate` to Opus of about `bit_rate` bits a second, and back.

    Variable bit rate, frames of 20 ms, application "voip", for speech, highest complexity.

    >>> opus = Opus(12_000)
    >>> wav_hat = opus.decode(opus.encode(wav))
    """

    def __init__(self, bit_rate: int, sample_rate: int = 16_000) -> None:
        if sample_rate not in RATES:
            raise ValueError(f"sample_rate is {sample_rate}; accepted: {', '.join(map(str, RATES))} Hz")
        if bit_rate not in BIT_RATES:
            raise ValueError(f"bit_rate is {bit_rate}; accepted: {BIT_RATES[0]} to {BIT_RATES[-1]} bits/s")
        self.bit_rate, self.sample_rate = bit_rate, sample_rate

    def encode(self, wav: Tensor) -> Packets:
        """Encode (T,) in [-1, 1]."""
        import av

        if wav.ndim != 1 or not wav.numel() or not wav.is_floating_point():
            raise ValueError(f"wav is {wav.dtype} {tuple(wav.shape)}; accepted: float (T,), T of 1 or more")
        encoder = av.AudioCodecContext.create("libopus", "w")
        encoder.sample_rate, encoder.layout, encoder.format = self.sample_rate, "mono", "flt"
        encoder.bit_rate = self.bit_rate
        encoder.options = {"frame_duration": "20", "application": "voip", "vbr": "on"}
        encoder.open()
        samples, packets = wav.cpu().float().numpy(), []
        for start in range(0, len(samples), encoder.frame_size):
            chunk = np.ascontiguousarray(samples[None, start : start + encoder.frame_size])
            frame = av.AudioFrame.from_ndarray(chunk, format="flt", layout="mono")
            frame.sample_rate, frame.pts = self.sample_rate, start
            packets += encoder.encode(frame)
        packets += encoder.encode(None)
        return Packets([bytes(packet) for packet in packets], bytes(encoder.extradata or b""), len(samples))

    def decode(self, packets: Packets) -> Tensor:
        """Decode to (T,), as long as what was encoded and in time with it."""
        import av

        decoder = av.AudioCodecContext.create("libopus", "r")
        decoder.extradata = packets.header  # has the encoder's delay, which the decoder then leaves out
        frames = [frame for packet in packets.packets for frame in decoder.decode(av.Packet(packet))]
        frames += decoder.decode(None)
        decoded = np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames])
        wav = resample(torch.from_numpy(decoded).float() / 2**15, DECODED, self.sample_rate)
        return wav[: packets.length]


def align(reference: Tensor, estimate: Tensor, reach: float = 1.5, steps: int = 16) -> Tensor:
    """`estimate` (T,) moved by parts of a sample, `reach` samples at most, to fit `reference` (T,) best.

    libopus's delay differs by up to a sample with the mode that it chooses. Neither the ear nor STOI or PESQ
    notice; a waveform measure does, and would blame the coder for it.
    """
    size = 2 * reference.shape[-1]  # room for what moves past an end
    ours, theirs = torch.fft.rfft(reference.double(), size), torch.fft.rfft(estimate.double(), size)
    angle = torch.linspace(0, torch.pi, size // 2 + 1, dtype=torch.float64)
    count = round(reach * steps)
    moves = [torch.exp(1j * angle * (step / steps)) for step in range(-count, count + 1)]
    best = max(moves, key=lambda move: float((ours.conj() * theirs * move).real.sum()))
    return torch.fft.irfft(theirs * best, size)[: estimate.shape[-1]].to(estimate.dtype)
