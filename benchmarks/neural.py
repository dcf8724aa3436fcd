"""Codecs as subjects: vocable's own by name or folder, and any object with `encode` and `decode`."""

import functools
import hashlib
import importlib
from importlib.metadata import version
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional as F

from vocable.benchmarks.subjects import Made, Subject
from vocable.codecs import Codec, hub, load
from vocable.codecs.audio import resample
from vocable.codecs.tokens import Tokens
from vocable.codecs.zoo import table

RANDOM_SEED = 0
COULD_NOT = "its tokens are {found}; accepted: Tokens, codes (1, K, N), or an object with bit_rate"


@runtime_checkable
class AnyCodec(Protocol):
    """What a class of yours needs to be measured.

    encode takes (1, 1, T) float32 at `sample_rate` and gives what decode takes, which gives (1, 1, T') or
    (T',). What encode gives tells its rate: `Tokens`, integer codes (1, K, N), or any object with `bit_rate`.
    `codebook_sizes`, a tuple, tells V of each codebook for bare codes; `identity`, text that changes when the
    weights do, allows results to be kept.
    """

    sample_rate: int

    def encode(self, wav: Tensor, /) -> Any: ...

    def decode(self, tokens: Any, /) -> Tensor: ...


class VocableCodec(Subject):
    """The first `count` codebooks of a codec, None for all; `digest` is a hash of its weights and config."""

    def __init__(self, codec: Codec, name: str, digest: str, count: int | None = None) -> None:
        count = codec.quantizer.check_num_codebooks(count)
        self.codec, self.count, self.sample_rate = codec, count, codec.sample_rate
        self.frame_rate, self.codebook_sizes = codec.frame_rate, codec.codebook_sizes[:count]
        self.name = name if count == codec.num_codebooks == 1 else f"{name}, {count}/{codec.num_codebooks}"
        parts = (digest, str(count), version("vocable"), torch.__version__)
        self.identity = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]

    def reconstruct(self, wav: Tensor, sample_rate: int) -> Made:
        tokens = self.codec.encode(wav, sample_rate, num_codebooks=self.count)
        made = self.codec.decode(tokens, sample_rate)[0].mean(0)
        return Made(made, tokens.bit_rate, tokens.codes[0])


class ForeignCodec(Subject):
    """Somebody's codec, with vocable's cut and resampling around it."""

    def __init__(self, codec: AnyCodec, name: str) -> None:
        self.codec, self.name, self.sample_rate = codec, name, codec.sample_rate
        self.identity = str(getattr(codec, "identity", ""))
        sizes = getattr(codec, "codebook_sizes", None)
        self.codebook_sizes = None if sizes is None else tuple(sizes)
        self.frame_rate = getattr(codec, "frame_rate", None)

    def reconstruct(self, wav: Tensor, sample_rate: int) -> Made:
        own = resample(wav, sample_rate, self.sample_rate)
        with torch.no_grad():
            tokens = self.codec.encode(own[None, None])
            made = self.codec.decode(tokens)
        made = made.detach().float().cpu().reshape(-1)[: own.shape[-1]]
        made = F.pad(made, (0, own.shape[-1] - made.shape[-1]))
        rate, codes = self._rates(tokens, own.shape[-1] / self.sample_rate)
        return Made(resample(made, self.sample_rate, sample_rate, wav.shape[-1]), rate, codes)

    def _rates(self, tokens: Any, seconds: float) -> tuple[float, Tensor | None]:
        if isinstance(tokens, Tokens):
            self.frame_rate, self.codebook_sizes = tokens.frame_rate, tokens.codebook_sizes
            return tokens.bit_rate, tokens.codes[0]
        if isinstance(tokens, Tensor) and tokens.ndim == 3 and not tokens.is_floating_point():
            self.frame_rate = self.frame_rate or tokens.shape[2] / seconds
            sizes = self.codebook_sizes
            if sizes is None or len(sizes) < tokens.shape[1]:
                known = f"{tokens.shape[1]} or more, for codes {tuple(tokens.shape)}"
                raise ValueError(f"{self.name}.codebook_sizes is {sizes}; accepted: {known}")
            self.codebook_sizes = sizes[: tokens.shape[1]]
            bits = sum(float(torch.tensor(size).log2()) for size in self.codebook_sizes)
            return self.frame_rate * bits, tokens[0].long().cpu()
        rate = getattr(tokens, "bit_rate", None)
        if not isinstance(rate, int | float):
            raise ValueError(COULD_NOT.format(found=f"a {type(tokens).__name__}"))
        return float(rate), None


@functools.lru_cache(maxsize=1)  # one at a time: some are gigabytes
def loaded(name: str) -> tuple[Codec, str]:
    """A codec by any name that `load` knows, or random:NAME, and the hash of its weights and config."""
    if name.startswith("random:"):
        return _random(name.removeprefix("random:"))
    folder, _ = hub.find(name, None)
    digest = hashlib.sha256()
    for file in (hub.CONFIG, hub.WEIGHTS):
        with (folder / file).open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return load(name), digest.hexdigest()


def _random(name: str) -> tuple[Codec, str]:
    """A published codec with the weights that it would begin training with: a lower bound."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        codec = table.codec(name)
    return codec.float().eval(), f"random {RANDOM_SEED} {table.published()[name].config}"


def from_path(path: str) -> ForeignCodec:
    """`package.module:name`, an object or a class that is called without arguments, as a subject."""
    module, _, name = path.partition(":")
    found = getattr(importlib.import_module(module), name, None)
    codec = found() if isinstance(found, type) else found
    if not isinstance(codec, AnyCodec):
        missing = [part for part in ("sample_rate", "encode", "decode") if not hasattr(codec, part)]
        raise ValueError(f"{path} lacks {', '.join(missing)}; accepted: an object with all three")
    if isinstance(codec, torch.nn.Module):
        codec.eval()
    return ForeignCodec(codec, path)
