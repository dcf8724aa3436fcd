"""What is known of a published codec: where its official weights are, whose they are, and its numbers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from vocable.codecs.codec import Codec


@dataclass(frozen=True)
class Source:
    """One official file.

    file: a web address, or the path inside the hub repository `repo`.
    revision: branch, tag or commit of the repository, "" for its default branch.
    sha256: the published digest, or the beginning of it that is published; "" where none is.
    """

    file: str
    repo: str = ""
    revision: str = ""
    sha256: str = ""

    @property
    def address(self) -> str:
        """Where a browser finds the file."""
        if not self.repo:
            return self.file
        return f"https://huggingface.co/{self.repo}/resolve/{self.revision or 'main'}/{self.file}"


@dataclass(frozen=True)
class Published:
    """A codec with official weights, or (no sources) one whose sizes alone were published.

    build, options: the function of the zoo that builds it, and its arguments, plain enough for JSON.
    state: the content of each source, in their order, to the tensors of the codec that `build` gives.
    licence: of the weights, "unknown" where none was found; licence_source: where it stands.
    sample_rate (Hz), hop_length (samples), codebook_sizes, parameters: so that listing builds nothing.
    """

    name: str
    build: Callable[..., Codec]
    options: dict[str, Any]
    sources: tuple[Source, ...]
    state: Callable[..., dict[str, Tensor]]
    licence: str
    licence_source: str
    paper: str
    sample_rate: int
    hop_length: int
    codebook_sizes: tuple[int, ...]
    parameters: int

    @property
    def config(self) -> dict[str, Any]:
        """The node that builds it, for `build` and for a saved folder."""
        return {"_target_": f"{self.build.__module__}.{self.build.__qualname__}", **self.options}
