"""What language models care about in a codec's tokens: `python -m vocable.benchmarks.speech_tokens --help`.

After SLMTokBench (https://arxiv.org/abs/2308.16692), which asks how much speech tokens tell of what is said
and how much else they keep; its estimate takes transcripts and trained models, this one units and linear
probes. Each codebook is a row: what it tells of phonetic units and of speakers, the bits of its tokens, and
whether they stay the same when the signal is shifted.

Speakers are told apart within these recordings: where each has one, or all of one session, the microphone,
the room and the loudness count as the speaker's.
"""

from vocable.benchmarks.speech_tokens.codebook import Options
from vocable.benchmarks.speech_tokens.figure import draw
from vocable.benchmarks.speech_tokens.rows import TokenRow, markdown, save
from vocable.benchmarks.speech_tokens.run import run

__all__ = ["Options", "TokenRow", "draw", "markdown", "run", "save"]
