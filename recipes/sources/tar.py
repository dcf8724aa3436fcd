"""WebDataset's shards: tar files of audio, local or remote (https://github.com/webdataset/webdataset)."""

import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from vocable.codecs.manifest import SUFFIXES
from vocable.recipes.sources.shards import Recording, Shards


class TarShards(Shards):
    """The audio files in tar files; what lies beside them there (texts, JSON) is passed over.

    urls: a folder, a pattern such as "speech/{000..099}.tar", or a list of these; what WebDataset opens, such
        as https:, hf: and pipe: (a command that is run), as well as paths. Of local files, and only of these,
        what isn't needed isn't read.
    shuffle, lanes, index: as of `Shards`.
    """

    def __init__(
        self,
        urls: str | Path | Sequence[str | Path],
        shuffle: int = 256,
        lanes: int | None = None,
        index: str | Path | None = None,
    ) -> None:
        super().__init__(shuffle, lanes, index)
        parts = [urls] if isinstance(urls, str | Path) else urls
        self.urls = [url for part in parts for url in _expand(part)]
        if not self.urls:
            raise ValueError(f"{urls}: 0 tar files; accepted: 1 or more")
        if missing := [url for url in self.urls if _is_local(url) and not Path(url).is_file()]:
            raise ValueError(f"{missing[0]}: no such file; accepted: tar files that exist, or their folder")

    @property
    def names(self) -> Sequence[str]:
        return self.urls

    def count(self, shard: int) -> int:
        with _open(self.urls[shard]) as tar:
            return sum(1 for _ in _audio(tar))

    def read(self, shard: int, start: int = 0) -> Iterator[Recording]:
        url = self.urls[shard]
        with _open(url) as tar:
            for number, member in enumerate(_audio(tar)):
                if number >= start:
                    file = tar.extractfile(member)
                    assert file is not None  # it is a regular file
                    yield Recording(file.read(), f"{url}/{member.name}")


def _expand(url: str | Path) -> list[str]:
    if Path(url).is_dir():
        return [str(path) for path in sorted(Path(url).rglob("*.tar"))]
    from webdataset.shardlists import expand_urls

    return expand_urls(str(url))


def _is_local(url: str) -> bool:
    return ":" not in url


@contextmanager
def _open(url: str) -> Iterator[tarfile.TarFile]:
    """A tar file to go through once."""
    try:
        if _is_local(url):
            with tarfile.open(url) as tar:
                yield tar
        else:
            from webdataset.gopen import gopen

            stream: Any = gopen(url)
            with stream, tarfile.open(fileobj=stream, mode="r|*") as tar:
                yield tar
    except (tarfile.TarError, EOFError) as error:
        raise ValueError(f"{url}: not a whole tar file: {error}; accepted: tar, also compressed") from error


def _audio(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for member in tar:
        if member.isfile() and PurePosixPath(member.name).suffix.lower() in SUFFIXES:
            yield member
