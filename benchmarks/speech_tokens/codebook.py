"""One codebook's row."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vocable.benchmarks.speech_tokens.information import code_length, mutual_information, told
from vocable.benchmarks.speech_tokens.probe import fit_probe
from vocable.benchmarks.speech_tokens.rows import TokenRow
from vocable.benchmarks.speech_tokens.shifts import Same, repeats
from vocable.benchmarks.speech_tokens.speakers import Windows, told_apart
from vocable.benchmarks.speech_tokens.speech import Speech

AT_ONCE = 2**15  # frames whose latents are in memory when a probe is judged


@dataclass(frozen=True)
class Options:
    """units: how many. frames: at most so many to fit them and the probes on. window: seconds of tokens that
    a speaker is told by. seed: of all that is drawn."""

    units: int = 100
    frames: int = 60_000
    window: float = 2.0
    seed: int = 0


def measure(
    name: str,
    frame_rate: float,
    speech: Speech,
    windows: Windows | str,
    book: int,
    same: Same,
    options: Options,
) -> TokenRow:
    """All that is measured of one codebook, from 0, of the codec `name`.

    windows: of the utterances of `speech`, or why there are none. same: how stable its tokens were.
    """
    count, size = speech.books.counts[book], speech.books.sizes[book]
    fit, test = speech.tokens(book)
    units, units_test = _units(speech, count)
    labelled = (torch.cat(fit), units), (torch.cat(test), units_test)
    phonetic = mutual_information(*labelled, options.units)
    length = code_length(fit, test, size)
    seen = torch.cat([*fit, *test])
    used = len(seen.unique())
    frequent = units.bincount(minlength=options.units).argmax()
    known = None if isinstance(windows, str) else windows
    repeated = repeats(test)
    reasons = {
        "speaker found": windows if isinstance(windows, str) else "",
        "given the last": "no utterance has two tokens" if length.given_last is None else "",
        "repeats": "no utterance has two tokens" if repeated is None else "",
        "same": "no file is long enough to shift" if None in same.shares else "",
    }
    return TokenRow(
        codec=name,
        codebook=book + 1,
        size=size,
        token_rate=frame_rate * count,
        tokens=len(seen),
        phonetic_bits=phonetic.bits,
        phonetic=phonetic.share,
        told=told(*labelled, options.units),
        found=_found(speech, [book], options),
        found_upto=_found(speech, range(book + 1), options),
        found_chance=float((units_test == frequent).float().mean()),
        speaker=known and _speaker(speech, known, book),
        speaker_chance=known and 1 / len(known.names),
        speakers=len(known.names) if known else 0,
        speaker_split=known and known.split,
        bits=math.log2(size),
        entropy=length.alone,
        entropy_given_last=length.given_last,
        perplexity=2**length.alone,
        used=used / size,
        dead=size - used,
        repeats=repeated,
        same=same.shares,
        absent={name: reason for name, reason in reasons.items() if reason},
    )


def _units(speech: Speech, count: int) -> tuple[Tensor, Tensor]:
    """All units, of `count` for a frame: to fit on, to judge on."""
    units = speech.units[count]
    return torch.cat(units[: speech.fitted]), torch.cat(units[speech.fitted :])


def _found(speech: Speech, which: Sequence[int], options: Options) -> float:
    """The share of units to judge on that a linear probe finds in the latents of some codebooks."""
    books, count = speech.books, max(speech.books.counts[book] for book in which)
    units, units_test = _units(speech, count)
    picked = torch.randperm(len(units), generator=torch.Generator().manual_seed(options.seed))
    picked = picked[: options.frames]
    codes = torch.cat(speech.codes[: speech.fitted], 1)[:, picked // count]
    latents = books.latents(codes, which)  # of all tokens in the frames that those are in
    latents = latents[torch.arange(len(picked)) * count + picked % count]
    probe = fit_probe(latents, units[picked], options.units)
    parts = torch.cat(speech.codes[speech.fitted :], 1).split(AT_ONCE, 1)
    guesses = torch.cat([probe.guess(books.latents(part, which)) for part in parts])
    return float((guesses == units_test).float().mean())


def _speaker(speech: Speech, windows: Windows, book: int) -> float:
    def latents(index: int, start: int, end: int) -> Tensor:
        return speech.books.latents(speech.codes[index][:, start:end], [book])

    return told_apart(windows, latents)
