"""The recordings that a benchmark is over, with their texts."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vocable.benchmarks.judges.base import Utterance
from vocable.codecs import audio
from vocable.codecs.manifest import Entry, find_entries


@dataclass(frozen=True)
class Recording:
    """A file still to be read; the fields are an `Utterance`'s."""

    path: Path
    transcript: str | None = None
    consensus: str | None = None
    speaker: str | None = None

    def key(self) -> str:
        """A hash of the file and its texts; OSError where it can't be read."""
        with self.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
        for text in (self.transcript, self.consensus):
            digest.update(b"\0" if text is None else b"\1" + text.encode() + b"\0")
        return digest.hexdigest()[:32]

    def read(self) -> Utterance:
        """Its audio, mixed to one channel; ValueError or OSError for a damaged or a missing file."""
        wav, rate = audio.read(self.path)
        mono = audio.to_channels(wav, 1)[0]
        return Utterance(self.path, self.key(), mono, rate, self.transcript, self.consensus, self.speaker)


def find_recordings(data: Path, where: Mapping[str, str | None]) -> list[Recording]:
    """The recordings of a folder or a manifest, of which `where` keeps rows by column -> value.

    Texts come from the manifest's columns transcript (or text) and consensus, or from the *.trans.txt files
    beside LibriSpeech's audio. ValueError where there is no recording.
    """
    entries = find_entries(data, where)
    texts: dict[str, str] = {}
    for folder in sorted({entry.path.parent for entry in entries if not entry.fields}):
        for file in sorted(folder.glob("*.trans.txt")):
            lines = (line.split(maxsplit=1) for line in file.read_text(encoding="utf-8").splitlines())
            texts |= {name: text for name, text in (line for line in lines if len(line) == 2)}
    return [_recording(entry, texts) for entry in entries]


def _recording(entry: Entry, texts: Mapping[str, str]) -> Recording:
    fields = entry.fields
    transcript = fields.get("transcript") or fields.get("text") or texts.get(entry.path.stem)
    # LibriSpeech names its files speaker-chapter-number
    speaker = fields.get("speaker") or (entry.path.stem.split("-")[0] if entry.path.stem in texts else None)
    return Recording(entry.path, transcript, fields.get("consensus"), speaker)
