"""Opus, the codec to beat, by libopus through PyAV."""

from torch import Tensor

from vocable.benchmarks.baselines import packets as ffmpeg
from vocable.benchmarks.baselines.base import Baseline, fit
from vocable.benchmarks.baselines.packets import Packets
from vocable.benchmarks.judges.common import need, versions
from vocable.benchmarks.subjects import Made
from vocable.codecs.audio import resample

RATES = (8_000, 12_000, 16_000, 24_000, 48_000)  # Hz, what libopus takes
BIT_RATES = range(500, 512_001)
DECODED = 48_000  # Hz, of what its decoder gives, whatever went in


class Opus(Baseline):
    """Mono signals at `sample_rate` to Opus of about `bit_rate` bits a second, and back.

    Variable bit rate, frames of 20 ms, application "voip", for speech, highest complexity. What comes back
    is in time: its decoder leaves out the delay that the header names.

    >>> opus = Opus(12_000)
    >>> wav_hat = opus.decode(opus.encode(wav))
    """

    options = {"frame_duration": "20", "application": "voip", "vbr": "on"}  # noqa: RUF012

    def __init__(self, bit_rate: int, sample_rate: int = 16_000) -> None:
        if sample_rate not in RATES:
            raise ValueError(f"sample_rate is {sample_rate}; accepted: {', '.join(map(str, RATES))} Hz")
        if bit_rate not in BIT_RATES:
            raise ValueError(f"bit_rate is {bit_rate}; accepted: {BIT_RATES[0]} to {BIT_RATES[-1]} bits/s")
        need(("av",), "av")
        super().__init__(f"Opus {bit_rate / 1000:g} kbit/s", sample_rate, str(self.options), versions("av"))
        self.bit_rate = bit_rate

    def encode(self, wav: Tensor) -> Packets:
        """Encode (T,) in [-1, 1]."""
        return ffmpeg.encode("libopus", "flt", wav, self.sample_rate, self.bit_rate, self.options)

    def decode(self, packets: Packets) -> Tensor:
        """Decode to (T,), as long as what was encoded and in time with it."""
        import av

        decoder = av.AudioCodecContext.create("libopus", "r")
        decoder.extradata = packets.header  # has the encoder's delay, which the decoder then leaves out
        wav = resample(ffmpeg.decode(decoder, packets), DECODED, self.sample_rate)
        return fit(wav, 0, packets.length)

    def code(self, wav: Tensor) -> Made:
        packets = self.encode(wav)
        return Made(self.decode(packets), packets.bit_rate)
