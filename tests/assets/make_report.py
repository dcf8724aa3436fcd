"""Results of a run that never was, for the tests of the report: `python make_report.py` writes report.json.

Every number is made up, by a formula of the rate and a little chance; only their order is plausible.
"""

import json
import math
import random
from pathlib import Path

from vocable.benchmarks.judges.base import Column
from vocable.benchmarks.results import Estimate, Failure, FileScore, JudgeNote, Results, Row

MODELS = {  # sizes of the codebooks and frame rate, or kbit/s
    "vocable-16khz, 12/12": ((1024,) * 12, 50.0),
    "vocable-16khz, 2/12": ((1024,) * 2, 50.0),
    "dac-16khz, 12/12": ((1024,) * 12, 50.0),
    "dac-16khz, 2/12": ((1024,) * 2, 50.0),
    "encodec-24khz, 8/32": ((1024,) * 8, 75.0),
    "mimi, 8/8": ((2048,) * 8, 12.5),
    "bigcodec": ((8192,), 80.0),
    "xcodec2": ((65536,), 50.0),
    "semanticodec-50-32768, 2/2": ((32768, 8192), 25.0),
    "random:dac-16khz, 12/12": ((1024,) * 12, 50.0),
    "opus, 6 kbit/s": 6.2,
    "codec2, 3.2 kbit/s": 3.2,
}
COLUMNS = (
    Column("WER", "Word error rate of HuBERT-large CTC.", "lower", 2, "%"),
    Column("STOI", "Short-time objective intelligibility.", "higher", 3),
    Column("PESQ-WB", "Wide-band PESQ, 1.0 to 4.64.", "higher"),
    Column("PESQ-NB", "Narrow-band PESQ.", "higher"),
    Column("SPK-SIM", "Cosine of speaker embeddings, by WavLM-large.", "higher"),
    Column("UTMOS", "Predicted opinion, 1 to 5, by UTMOS22 strong.", "higher"),
    Column("WER moonshine", "Of 100 words truly said, how many moonshine gets wrong.", "lower", 2, "%"),
    Column("SI-SDR", "Scale-invariant signal-to-distortion ratio.", "higher", 1, "dB"),
    Column("kbit/s", "Bits a second that the tokens or packets take.", "lower", 2, "kbit/s"),
    Column("codebook use", "Share of the codebooks' entries that these files use.", None, 0, "%"),
    Column("RTF", "Seconds of work for a second of audio.", "lower", 4),
)
JUDGES = (
    JudgeNote("hubert-wer", "published", ("WER",), "", "no weights: facebook/hubert-large-ls960-ft"),
    JudgeNote("wavlm-sv", "published", ("SPK-SIM",), "transformers 5.0, wavlm_large_finetune.pth 0a1b2c3d"),
    JudgeNote("utmos22", "published", ("UTMOS",), "", "no weights: utmos22_strong"),
    JudgeNote("offline-wer", "offline", ("WER moonshine",), "moonshine-voice 0.0.4, jiwer 4.0"),
    JudgeNote("intrusive", "signal", ("STOI", "PESQ-WB", "PESQ-NB", "SI-SDR"), "pesq 0.0.4, pystoi 0.4.1"),
)
# of a perfect copy, and how far a codec at 0 kbit/s is from it
SCALES = {
    "STOI": (1.0, -0.35),
    "PESQ-WB": (4.64, -3.5),
    "PESQ-NB": (4.55, -3.0),
    "SPK-SIM": (1.0, -0.7),
    "WER moonshine": (3.1, 30.0),
    "SI-SDR": (math.inf, 0.0),
}
FILES = [
    f"speech/{speaker}-{chapter}-0000.flac"
    for speaker, chapter in zip(range(61, 69), range(7, 15), strict=True)
]


def main() -> None:
    chance = random.Random(0)
    rows = [_row("Ground Truth", None, 256.0, 0.0, chance)]
    scores = [FileScore("Ground Truth", path, "PESQ-WB", 4.64, 1.0) for path in FILES]
    for name, kind in MODELS.items():
        rate = kind if isinstance(kind, float) else kind[1] * sum(math.log2(size) for size in kind[0]) / 1000
        bad = 1.0 if name.startswith("random") else math.exp(-rate / 2.5) * chance.uniform(0.6, 1.1) + 0.05
        rows.append(_row(name, None if isinstance(kind, float) else kind, rate, bad, chance))
        for column in ("STOI", "PESQ-WB", "WER moonshine"):
            mean = rows[-1].cells[column].value
            spread = 0.04 * abs(SCALES[column][1])
            scores += [FileScore(name, path, column, mean + chance.gauss(0, spread), 1.0) for path in FILES]
    header = {
        "data": "speech/manifest.csv (split eval): 8 recordings",
        "date": "2030-01-02",
        "command": "vocable bench --data speech/manifest.csv --split eval --codecs dac-16khz,mimi -o report",
        "machine": "a machine that never was, 2 of 2 cores",
        "versions": "vocable 0.1.0, Python 3.11; every number made up",
    }
    failed = (Failure("mimi, 8/8", FILES[3], "offline-wer", "no words in the original"),)
    results = Results(header, COLUMNS, JUDGES, tuple(rows), tuple(scores), failed)
    target = Path(__file__).with_name("report.json")
    target.write_text(json.dumps(results.to_dict(), separators=(",", ":")) + "\n", encoding="utf-8")


def _row(
    name: str, tokens: tuple[tuple[int, ...], float] | None, rate: float, bad: float, chance: random.Random
) -> Row:
    cells = {"kbit/s": Estimate(round(rate, 3), files=8)}
    for column, (perfect, span) in SCALES.items():
        value = perfect + span * bad * chance.uniform(0.9, 1.0)
        if math.isinf(value) and bad:
            value = 18.0 - 30.0 * bad
        half = 0.05 * abs(span) + (1.0 if column == "SI-SDR" else 0.0) if bad else 0.0
        low, high = (None, None) if math.isinf(value) else (round(value - half, 4), round(value + half, 4))
        cells[column] = Estimate(round(value, 4), low, high, 8)
    if tokens:
        cells["codebook use"] = Estimate(round(chance.uniform(30, 95), 1), files=8)
    if bad:
        cells["RTF"] = Estimate(round(chance.uniform(0.002, 0.4), 4))
    sizes, frames = tokens or (None, None)
    return Row(name, None if frames is None or sizes is None else frames * len(sizes), sizes, frames, cells)


if __name__ == "__main__":
    main()
