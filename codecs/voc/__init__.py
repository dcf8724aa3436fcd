"""Token files, .voc: the format of docs/voc-format.md, written and read as a stream or by seeking.

>>> with TokenWriter("live.voc", Header.of(codec)) as writer:
...     for chunk in chunks:
...         writer.write(stream.encode(chunk)[0])
"""

from vocable.codecs.voc.layout import Header
from vocable.codecs.voc.reader import TokenReader
from vocable.codecs.voc.writer import TokenWriter

__all__ = ["Header", "TokenReader", "TokenWriter"]
