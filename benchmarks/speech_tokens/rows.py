"""What was found of each codebook: as a table, and as JSON."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path

from vocable.codecs.files import replacing


@dataclass(frozen=True)
class TokenRow:
    """One codebook of one codec; None is what could not be measured, `absent` says why by the column's name.

    codebook: from 1. size: V. token_rate: its own tokens a second. tokens: how many were seen.
    phonetic_bits, phonetic: mutual information with the phonetic units in bits, and as a share of the
        units' entropy. told: this share to the listener of `information.told`, who needs more data.
    found, found_upto: the share of frames whose unit a linear probe finds in its latents, and in those of
        all codebooks up to it. found_chance: by always guessing the most frequent unit.
    speaker: the share of windows whose speaker a linear probe finds, mean over `speakers` speakers.
    speaker_chance: 1 / speakers. speaker_split: "halves" of each utterance, or different "utterances".
    bits: log2 V. entropy, entropy_given_last: bits a token, coded by the training data's frequencies.
    perplexity: 2 ** entropy. used, dead: the share of entries that occur, how many don't.
    repeats: the share of tokens equal to their predecessor.
    same: the share of tokens that stay when the signal is shifted by 1/4, 1/2 and 3/4 of a token, and by
        a whole frame.
    """

    codec: str
    codebook: int
    size: int
    token_rate: float
    tokens: int
    phonetic_bits: float
    phonetic: float
    told: float
    found: float
    found_upto: float
    found_chance: float
    speaker: float | None
    speaker_chance: float | None
    speakers: int
    speaker_split: str | None
    bits: float
    entropy: float
    entropy_given_last: float | None
    perplexity: float
    used: float
    dead: int
    repeats: float | None
    same: tuple[float | None, ...]
    absent: dict[str, str] = field(default_factory=dict)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


COLUMNS: dict[str, Callable[[TokenRow], str]] = {
    "codebook": lambda row: str(row.codebook),
    "V": lambda row: str(row.size),
    "tokens/s": lambda row: f"{row.token_rate:g}",
    "units, bits": lambda row: f"{row.phonetic_bits:.2f}",
    "units, share": lambda row: _share(row.phonetic),
    "told": lambda row: _share(row.told),
    "unit found": lambda row: _share(row.found),
    "found in 1 to k": lambda row: _share(row.found_upto),
    "speaker found": lambda row: _share(row.speaker),
    "log2 V": lambda row: f"{row.bits:.2f}",
    "entropy, bits": lambda row: f"{row.entropy:.2f}",
    "given the last": lambda row: "-" if row.entropy_given_last is None else f"{row.entropy_given_last:.2f}",
    "perplexity": lambda row: f"{row.perplexity:.0f}",
    "used": lambda row: f"{100 * row.used:.3g} %",
    "dead": lambda row: str(row.dead),
    "repeats": lambda row: _share(row.repeats),
    "same after 1/4": lambda row: _share(row.same[0]),
    "1/2": lambda row: _share(row.same[1]),
    "3/4": lambda row: _share(row.same[2]),
    "1 frame": lambda row: _share(row.same[3]),
}


def markdown(rows: Sequence[TokenRow]) -> str:
    """A Markdown table for each codec, a row a codebook, with chance levels and reasons of what is absent."""
    parts = []
    for codec, group in groupby(rows, lambda row: row.codec):
        books = list(group)
        lines = [f"### {codec}", "", f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
        lines += [f"| {' | '.join(cell(row) for cell in COLUMNS.values())} |" for row in books]
        lines += ["", " ".join(_notes(books))]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _notes(rows: Sequence[TokenRow]) -> list[str]:
    first = rows[0]
    notes = [f"Units by chance: {first.found_chance:.3f}."]
    if first.speaker_chance is not None:
        sides = {"halves": "two halves of each utterance", "utterances": "different utterances"}
        split = sides[str(first.speaker_split)]
        notes.append(
            f"{first.speakers} speakers by chance: {first.speaker_chance:.3f}; fit and test: {split}."
        )
    reasons = {f"{name}: {reason}" for row in rows for name, reason in row.absent.items()}
    return notes + [f"- is {reason}." for reason in sorted(reasons)]


def save(path: Path, rows: Sequence[TokenRow], about: dict[str, object]) -> None:
    """Write JSON, {"about": ..., "rows": [...]}, whole or not at all."""
    with replacing(path) as temporary:
        found = {"about": about, "rows": [asdict(row) for row in rows]}
        temporary.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
