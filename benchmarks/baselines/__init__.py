"""Coders to compare with: Opus, MP3, AAC, Codec 2 and Lyra V2, by a specification such as "opus:6"."""

from vocable.benchmarks.baselines.base import Baseline
from vocable.benchmarks.baselines.codec2 import Codec2
from vocable.benchmarks.baselines.lossy import AAC, MP3
from vocable.benchmarks.baselines.lyra import Lyra
from vocable.benchmarks.baselines.opus import Opus

__all__ = ["AAC", "KINDS", "MP3", "Baseline", "Codec2", "Lyra", "Opus", "baseline"]

KINDS = {
    "opus": "opus:R, R of 0.5 to 512",
    "codec2": "codec2:R, R one of 3.2, 2.4, 1.6, 1.4, 1.3, 1.2, 0.7",
    "mp3": "mp3:R, R one of 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160",
    "aac": "aac:R, R of 8 to 96",
    "lyra": "lyra:R:FOLDER, R one of 3.2, 6, 9.2",
}


def baseline(spec: str) -> Baseline:
    """The coder that `spec` names: its kind and its rate in kbit/s, as in "opus:6" or "lyra:3.2:FOLDER".

    ValueError for what is not accepted; Unavailable where the coder's package is missing.
    """
    kind, _, rest = spec.partition(":")
    rate, _, folder = rest.partition(":")
    try:
        bit_rate = round(1000 * float(rate))
        if kind not in KINDS or bool(folder) != (kind == "lyra"):
            raise ValueError
    except (ValueError, OverflowError):
        known = "; ".join(KINDS.values())
        raise ValueError(f"the coder is {spec!r}; accepted, in kbit/s: {known}") from None
    if kind == "lyra":
        return Lyra(bit_rate, folder)
    return {"opus": Opus, "codec2": Codec2, "mp3": MP3, "aac": AAC}[kind](bit_rate)
