"""All published codecs by name."""

from functools import cache
from importlib import import_module

from vocable.codecs.zoo.published import Published

FAMILIES = (
    "soundstream",
    "encodec",
    "dac",
    "snac",
    "speechtokenizer",
    "mimi",
    "bigcodec",
    "wavtokenizer",
    "semanticodec",
)


@cache
def published() -> dict[str, Published]:
    """Every entry of the zoo, family after family."""
    modules = (import_module(f"vocable.codecs.zoo.{family}") for family in FAMILIES)
    return {entry.name: entry for module in modules for entry in module.PUBLISHED}
