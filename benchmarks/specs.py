"""What the command line names, as subjects."""

from collections.abc import Sequence

from torch import Tensor

from vocable.benchmarks import neural
from vocable.benchmarks.baselines import KINDS, baseline
from vocable.benchmarks.subjects import Made, Subject
from vocable.codecs import hub

ORIGINAL = "original"
GRAMMAR = (
    "NAME, FOLDER or HUB/ID, and :K for its first K codebooks; random:NAME; package.module:object; "
    "opus:6, codec2:3.2, mp3:16, aac:16 (kbit/s), lyra:3.2:FOLDER"
)


class Original(Subject):
    """What the codecs get, unchanged, as 16-bit samples: the best that a judge can say."""

    name, identity, sample_rate = "Ground Truth", "original", 16_000

    def reconstruct(self, wav: Tensor, sample_rate: int) -> Made:
        return Made(wav, 16.0 * sample_rate)


def subject(spec: str) -> Subject:
    """The subject of one specification; ValueError or OSError where it can't be had."""
    if spec == ORIGINAL:
        return Original()
    if spec.split(":")[0] in KINDS:
        return baseline(spec)
    name, count = _codebooks(spec)
    if _is_object(name):
        return neural.from_path(name)
    codec, digest = neural.loaded(name)
    return neural.VocableCodec(codec, name, digest, count)


def expand(codecs: Sequence[str], codebooks: Sequence[int]) -> list[str]:
    """Each codec without a number of codebooks of its own, by each of `codebooks` that it has; none: all."""
    found = []
    for spec in codecs:
        name, count = _codebooks(spec)
        alone = not codebooks or count is not None or spec.split(":")[0] in KINDS or _is_object(name)
        if alone:
            found.append(spec)
            continue
        most = neural.loaded(name)[0].num_codebooks
        kept = [each for each in codebooks if each <= most]
        # a codec with fewer than were asked for is measured with what it has
        found += [f"{name}:{each}" for each in kept or [most]]
    return list(dict.fromkeys(found))


def _codebooks(spec: str) -> tuple[str, int | None]:
    name, colon, count = spec.rpartition(":")
    if not colon or not count.isdigit():
        return spec, None
    return name, int(count)


def _is_object(name: str) -> bool:
    """Whether it is a Python path, package.module:object, and not a name or a folder with a colon."""
    module, colon, attribute = name.partition(":")
    dotted = all(part.isidentifier() for part in (*module.split("."), attribute))
    return bool(colon) and dotted and module != "random" and name not in hub.available()
