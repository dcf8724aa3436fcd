"""Official files, and the codecs made of them, kept on this machine."""

import hashlib
import os
from importlib.metadata import version
from pathlib import Path

from vocable.codecs.zoo.published import Source


def root() -> Path:
    """The cache folder: `vocable` in XDG_CACHE_HOME, or in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vocable"


def codec_folder(name: str) -> Path:
    """Where the converted codec `name` is kept: by this package's version, whose layout it has."""
    return root() / version("vocable") / name


def fetch(source: Source, name: str) -> Path:
    """The official file of the codec `name`, from the cache or the network, its digest checked.

    FileNotFoundError where it is in no cache and can't be reached; ValueError where its digest is not the
    published one.
    """
    try:
        path = _from_hub(source) if source.repo else _from_web(source)
    except Exception as error:  # the hub's, the HTTP library's and the system's, which vary by version
        raise FileNotFoundError(
            f"{name!r} needs {source.address}, which is not in the cache {_place(source)} and could not be "
            f"downloaded ({type(error).__name__}: {error}). With the file at hand: "
            f"vocable convert FILE --as {name} -o FOLDER"
        ) from error
    if not source.sha256:  # some files are gigabytes
        return path
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(source.sha256):
        raise ValueError(f"{path}: SHA-256 is {digest}; accepted: {source.sha256}..., of {source.address}")
    return path


def _from_hub(source: Source) -> Path:
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(source.repo, source.file, revision=source.revision or None))


def _from_web(source: Source) -> Path:
    from torch.hub import download_url_to_file

    path = _place(source)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        # it takes the name only when it is whole, and of this digest
        download_url_to_file(source.file, str(path), source.sha256 or None)
    return path


def _place(source: Source) -> Path:
    if source.repo:
        from huggingface_hub import constants

        return Path(constants.HF_HUB_CACHE)
    # releases of one project reuse file names
    return root() / "files" / hashlib.sha256(source.file.encode()).hexdigest()[:8] / Path(source.file).name
