"""All published codecs by name."""

from functools import cache
from importlib import import_module
from typing import Any

from vocable.codecs.codec import Codec
from vocable.codecs.zoo.published import Published

FAMILIES = (
    "soundstream",
    "encodec",
    "dac",
    "snac",
    "speechtokenizer",
    "mimi",
    "xcodec",
    "xcodec2",
    "bigcodec",
    "wavtokenizer",
    "stablecodec",
    "semanticodec",
)


@cache
def published() -> dict[str, Published]:
    """Every entry of the zoo, family after family."""
    modules = (import_module(f"vocable.codecs.zoo.{family}") for family in FAMILIES)
    return {entry.name: entry for module in modules for entry in module.PUBLISHED}


def codec(name: str, **options: Any) -> Codec:
    """The published codec `name` with random weights; options: of the function that builds it, over its own.

    >>> codec("dac-16khz", num_codebooks=4, dropout=0.0)
    """
    if name not in published():
        raise ValueError(f"no published codec {name!r}; accepted: {', '.join(published())}")
    entry = published()[name]
    return entry.build(**{**entry.options, **options})
