"""What tokens tell of units, and what they cost: estimates that a small sample can't flatter.

Frequencies are of training data and judged on test data. Those of the test data itself would tell of any
codebook with as many entries as there are tokens that it knows everything.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

Labelled = tuple[Tensor, Tensor]  # codes and the units that are said, (M,) each


class Information(NamedTuple):
    """Mutual information of codes and units in bits, and as a share of the units' entropy."""

    bits: float
    share: float


class Length(NamedTuple):
    """Bits a token: knowing how frequent each is, and knowing the one before it, too; None without pairs."""

    alone: float
    given_last: float | None


def occurrences(keys: Tensor, wanted: Tensor) -> Tensor:
    """How often each of `wanted` (M,) is among keys (L,), float64. Memory doesn't grow with their values."""
    ranked = keys.sort().values
    found = torch.searchsorted(ranked, wanted, right=True) - torch.searchsorted(ranked, wanted)
    return found.double()


def mutual_information(train: Labelled, test: Labelled, classes: int) -> Information:
    """What `test`'s codes tell of its units: the bits of a unit less those left when its code is known.

    Both by frequencies in `train`, a code's smoothed towards those of all, as strongly as predicts each unit
    of `train` best from the others. At most the true information, and it comes up to it as data grows.
    """
    codes, units = train
    prior = _prior(units, classes)[units]
    joint = _joint(train, classes)
    strength = _strength(occurrences(joint, joint), occurrences(codes, codes), prior)
    entropy, left = _bits(train, test, classes, strength)
    return Information(entropy - left, 1 - left / entropy)


def told(train: Labelled, test: Labelled, classes: int) -> float:
    """The share of the units' entropy that codes tell a simpler listener, below 0 where they mislead it.

    To it, a code seen m times means what those m times and one draw from the units' own frequencies say. It
    trusts rare codes: with few frames for an entry, it hears less than `mutual_information`.
    """
    entropy, left = _bits(train, test, classes, 1.0)
    return 1 - left / entropy


def _bits(train: Labelled, test: Labelled, classes: int, strength: float) -> tuple[float, float]:
    """Bits of a unit of `test`: by the units' frequencies, and by its code's, `strength` draws added."""
    (codes, units), (codes_test, units_test) = train, test
    prior = _prior(units, classes)[units_test]
    joint = occurrences(_joint(train, classes), _joint(test, classes))
    posterior = (joint + strength * prior) / (occurrences(codes, codes_test) + strength)
    return float(-prior.log2().mean()), float(-posterior.log2().mean())


def _prior(units: Tensor, classes: int) -> Tensor:
    return (units.bincount(minlength=classes).double() + 1) / (len(units) + classes)


def _joint(labelled: Labelled, classes: int) -> Tensor:
    codes, units = labelled
    return codes * classes + units


def code_length(train: Sequence[Tensor], test: Sequence[Tensor], size: int) -> Length:
    """Bits a token of the sequences (N,) in `test`, coded by frequencies in `train`; codebook of `size`.

    Frequencies are smoothed by a hierarchy of Dirichlet priors (MacKay and Peto 1995, "A hierarchical
    Dirichlet language model"): of pairs towards those of tokens, and these towards 1 / size, each as
    strongly as predicts every token of `train` best from all the others. What is found is at least the true
    entropy, and comes down to it as data grows.
    """
    _, ids = torch.cat([*train, *test]).unique(return_inverse=True)  # small, so that pairs fit an integer
    parts = ids.split([len(sequence) for sequence in (*train, *test)])
    fitted, tested = parts[: len(train)], parts[len(train) :]
    tokens, floor, total = torch.cat(fitted), 1 / size, sum(map(len, fitted))
    strength = _strength(occurrences(tokens, tokens), total, floor)

    def share(wanted: Tensor, without: int) -> Tensor:
        """Of tokens in all of `train`, or in all of it but the one that is asked for."""
        return (occurrences(tokens, wanted) - without + strength * floor) / (total - without + strength)

    alone = float(-share(torch.cat(tested), 0).log2().mean())
    (last, pairs, follows), (last_test, pairs_test, follows_test) = _pairs(fitted), _pairs(tested)
    if not len(pairs) or not len(pairs_test):
        return Length(alone, None)
    pull = _strength(occurrences(pairs, pairs), occurrences(last, last), share(follows, 1))
    found = occurrences(pairs, pairs_test) + pull * share(follows_test, 0)
    given = found / (occurrences(last, last_test) + pull)
    return Length(alone, float(-given.log2().mean()))


def _pairs(sequences: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Of each two neighbours (M,): the first, both as one number, the second."""
    first = torch.cat([sequence[:-1] for sequence in sequences])
    second = torch.cat([sequence[1:] for sequence in sequences])
    return first, first * 2**32 + second, second


def _strength(seen: Tensor, total: Tensor | int, base: Tensor | float) -> float:
    """How many draws from `base` to add to what was seen, for the best guess of each token by the others.

    seen (M,): how often each of M tokens occurs, itself included, among `total`. base: its smooth frequency.
    """

    def fit(strength: float) -> float:
        return float(((seen - 1 + strength * base) / (total - 1 + strength)).log().mean())

    return max((2.0**power for power in range(-4, 41)), key=fit)
