"""All judges, in the order of their columns."""

from vocable.benchmarks.judges.base import Judge
from vocable.benchmarks.judges.distill_mos import DistillMOS
from vocable.benchmarks.judges.hubert_ctc import HubertCTC
from vocable.benchmarks.judges.intrusive import (
    SISDR,
    STOI,
    Delay,
    MelDistance,
    PESQNarrowBand,
    PESQWideBand,
    STFTDistance,
)
from vocable.benchmarks.judges.offline_wer import OfflineWER
from vocable.benchmarks.judges.pitch import Pitch
from vocable.benchmarks.judges.speaker import Resemblyzer
from vocable.benchmarks.judges.speech_mos import DNSMOS, PLCMOS
from vocable.benchmarks.judges.utmos import UTMOS
from vocable.benchmarks.judges.visqol import ViSQOL
from vocable.benchmarks.judges.wavlm_sv import WavLMSpeaker

JUDGES: tuple[type[Judge], ...] = (
    HubertCTC,
    STOI,
    PESQWideBand,
    PESQNarrowBand,
    WavLMSpeaker,
    UTMOS,
    OfflineWER,
    Resemblyzer,
    DistillMOS,
    DNSMOS,
    PLCMOS,
    ViSQOL,
    SISDR,
    MelDistance,
    STFTDistance,
    Pitch,
    Delay,
)
SETS = {
    "all": ("published", "offline", "signal"),
    "published": ("published", "signal"),
    "offline": ("offline", "signal"),
}


def choose(asked: str) -> set[str]:
    """The names of the judges that `asked` names: a set, or names with commas; ValueError for others."""
    names = {kind.name for kind in JUDGES}
    if asked in SETS:
        return {kind.name for kind in JUDGES if kind.kind in SETS[asked]}
    wanted = {name.strip() for name in asked.split(",") if name.strip()}
    if not wanted or wanted - names:
        raise ValueError(f"judges are {asked!r}; accepted: {', '.join((*SETS, *sorted(names)))}, with commas")
    return wanted


def make(name: str) -> Judge:
    """A new judge by its name."""
    return next(kind for kind in JUDGES if kind.name == name)()
