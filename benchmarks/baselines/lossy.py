"""MP3 and AAC, the coders of music, at 16 kHz by PyAV."""

from abc import abstractmethod
from typing import Any, ClassVar

from torch import Tensor

from vocable.benchmarks.baselines import packets as ffmpeg
from vocable.benchmarks.baselines.base import Baseline, fit
from vocable.benchmarks.judges.common import need, versions
from vocable.benchmarks.subjects import Made

RATE = 16_000  # Hz


class Lossy(Baseline):
    """A coder of FFmpeg's whose first packet's time tells the delay, which is left out as players do."""

    title: ClassVar[str]
    encoder: ClassVar[str]

    def __init__(self, bit_rate: int) -> None:
        need(("av",), "av")
        super().__init__(f"{self.title} {bit_rate / 1000:g} kbit/s", RATE, self.encoder, versions("av"))
        self.bit_rate = bit_rate

    @abstractmethod
    def decoder(self, header: bytes) -> Any:
        """A new `av.AudioCodecContext` that decodes what `encoder` made."""

    def code(self, wav: Tensor) -> Made:
        packets = ffmpeg.encode(self.encoder, "fltp", wav, RATE, self.bit_rate, {})
        decoded = ffmpeg.decode(self.decoder(packets.header), packets)
        return Made(fit(decoded, packets.delay, len(wav)), packets.bit_rate)


class MP3(Lossy):
    """MPEG-2 Layer III at a constant bit rate by LAME, with the low-pass that it picks for the rate."""

    title, encoder = "MP3", "libmp3lame"
    bit_rates = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)  # kbit/s, of MPEG-2 Layer III

    def __init__(self, bit_rate: int) -> None:
        if bit_rate not in [1000 * rate for rate in self.bit_rates]:
            known = ", ".join(f"{rate}000" for rate in self.bit_rates)
            raise ValueError(f"bit_rate is {bit_rate}; accepted: {known} bits/s")
        super().__init__(bit_rate)

    def decoder(self, header: bytes) -> Any:
        import av

        return av.AudioCodecContext.create("mp3float", "r")


class AAC(Lossy):
    """AAC-LC of about `bit_rate` bits a second by FFmpeg's own encoder."""

    title, encoder = "AAC", "aac"
    bit_rates = range(8_000, 96_001)  # bits/s; a frame of 1024 samples has 6144 bits at most

    def __init__(self, bit_rate: int) -> None:
        if bit_rate not in self.bit_rates:
            raise ValueError(f"bit_rate is {bit_rate}; accepted: 8000 to 96000 bits/s")
        super().__init__(bit_rate)

    def decoder(self, header: bytes) -> Any:
        import av

        decoder = av.AudioCodecContext.create("aac", "r")
        decoder.extradata, decoder.sample_rate, decoder.layout = header, RATE, "mono"
        return decoder
