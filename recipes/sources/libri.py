"""LibriSpeech (https://www.openslr.org/12) and LibriTTS (https://www.openslr.org/60), found by torchaudio."""

from collections.abc import Sequence
from pathlib import Path

SUBSETS = ("dev-clean", "dev-other", "test-clean", "test-other")
SUBSETS += ("train-clean-100", "train-clean-360", "train-other-500")


class LibriSpeech:
    """Subsets of LibriSpeech, which lie in root/LibriSpeech.

    download: fetch those that don't; each is 0.3 to 60 GB.
    """

    folder, separator, suffix = "LibriSpeech", "-", ".flac"

    def __init__(
        self, root: str | Path, subsets: Sequence[str] = ("train-clean-100",), download: bool = False
    ) -> None:
        if not subsets or set(subsets) - set(SUBSETS):
            raise ValueError(f"subsets are {list(subsets)}; accepted: {', '.join(SUBSETS)}")
        self.root, self.subsets, self.download = Path(root), tuple(subsets), download

    def prepare(self) -> None:
        """Download what is missing, where that is wanted."""
        if self.download:
            self.root.mkdir(parents=True, exist_ok=True)
            for subset in self.subsets:
                self._names(subset, download=True)

    def files(self) -> list[Path]:
        """The utterances, by subset, speaker and chapter."""
        found = []
        for subset in self.subsets:
            for name in self._names(subset):
                speaker, chapter, *_ = name.split(self.separator)
                found.append(self.root / self.folder / subset / speaker / chapter / f"{name}{self.suffix}")
        return found

    def _names(self, subset: str, download: bool = False) -> list[str]:
        from torchaudio import datasets

        kind = getattr(datasets, self.folder.upper())
        try:
            # its items are not asked for: torchaudio's own reading needs TorchCodec
            return kind(self.root, subset, download=download)._walker
        except RuntimeError as error:
            folder = self.root / self.folder / subset
            raise ValueError(f"{folder}: no such folder; accepted: one there is, download=true") from error


class LibriTTS(LibriSpeech):
    """Subsets of LibriTTS, which lie in root/LibriTTS."""

    folder, separator, suffix = "LibriTTS", "_", ".wav"
