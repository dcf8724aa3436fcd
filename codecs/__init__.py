"""Neural audio codecs: audio to tokens and back.

>>> from vocable import codecs
>>> codec = codecs.load("vocable-16khz")
>>> tokens = codec.encode("speech.wav")
>>> wav = codec.decode(tokens)
"""

from vocable.codecs.codec import Codec
from vocable.codecs.hub import available, load, save
from vocable.codecs.tokens import Tokens

__all__ = ["Codec", "Tokens", "available", "load", "save"]
