"""Neural audio codecs: audio to tokens and back.

Shapes, here and in every docstring: B batch, C channels, T samples, D latent width, N frames, K codebooks,
V entries of a codebook. Waveforms (B, C, T) are float in [-1, 1], latents (B, D, N), codes (B, K, N) int64.
Input that can't be right raises ValueError, with the value found and the values accepted.

>>> from vocable import codecs
>>> codec = codecs.load("vocable-16khz")
>>> tokens = codec.encode("speech.wav")
>>> wav = codec.decode(tokens, sample_rate=tokens.source_rate)  # exactly as many samples as in the file
"""

from vocable.codecs.codec import Codec
from vocable.codecs.hub import available, load, save
from vocable.codecs.tokens import Tokens

__all__ = ["Codec", "Tokens", "available", "load", "save"]
