"""`python -m vocable.benchmarks.speech_tokens`."""

from vocable.benchmarks.speech_tokens.command import app

app()
