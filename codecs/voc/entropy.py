"""Codes by range coding: an adaptive model in integers, with the frame before as context.

Katz-like backing off with one pseudo-count 2^e for all contexts: a symbol's weight in a context is its count
there, and 2^e times its share over all contexts. constriction's range coder
(https://bamler-lab.github.io/constriction) codes by it; docs/voc-format.md defines both exactly.
"""

from functools import cache
from typing import Any

import numpy as np

TOTAL = 2**24  # what the weights of all symbols sum up to
RUN = 128  # frames that are coded before the counts are brought up to date
RESTART = 2**16  # frames after which a writer restarts the model, so that a reader may begin there
MAX_FRAMES = 2**18  # between restarts: up to here all numbers stay below 2^53
_CELLS, _TABLE = 2**24, 2**20
_ROWS = 2**17  # weights at a time: they stay in the cache
_SYMBOL_BITS = 12


class Model:
    """The counts of K codebooks so far, of the high 12 bits of their codes; `low_bits` are the others.

    ValueError for more entries than it takes, and without the extra `pack`.
    """

    def __init__(self, sizes: tuple[int, ...]) -> None:
        self.coder = _constriction()
        books = len(sizes)
        self.low_bits = [max(0, (size - 1).bit_length() - _SYMBOL_BITS) for size in sizes]
        self.symbols = np.array([((v - 1) >> n) + 1 for v, n in zip(sizes, self.low_bits, strict=True)])
        self.alphabet = max(2, int(self.symbols.max()))
        if books * self.alphabet > _TABLE:
            found = f"{books} codebooks of {self.alphabet} symbols"
            raise ValueError(f'packing is "entropy" for {found}; accepted: {_TABLE} in all, or "bits"')
        self.classes = min(self.alphabet, _CELLS // (books * self.alphabet))
        self._books = np.arange(books)
        self.restart()

    def restart(self) -> None:
        """Forget all counts."""
        books = len(self.symbols)
        self.single = np.zeros((books, self.alphabet), np.int64)
        self.pairs = np.zeros((books, self.classes, self.alphabet), np.int32)
        self.totals = np.zeros((books, self.classes), np.int64)
        self.frames = 0

    def update(self, symbols: np.ndarray) -> None:
        """Count a chunk's symbols (N, K), which are not coded by this model."""
        self._count(symbols, self._contexts(symbols))

    def encode(self, symbols: np.ndarray) -> np.ndarray:
        """A chunk's symbols (N, K) to words, uint32; the counts are then those after it."""
        coder = self.coder.stream.queue.RangeEncoder()
        contexts = self._contexts(symbols)
        for run in _runs(len(symbols)):
            part, classes = symbols[run], contexts[run]
            shares = self._shares()
            exponents = self._best(part, classes, shares)
            prior = _times(shares, exponents)
            coder.encode(exponents.astype(np.int32), self._uniform())
            step = max(1, _ROWS // shares.size)
            for i in range(0, len(part), step):
                rows = self._weights(classes[i : i + step], prior, exponents)
                flat = part[i : i + step].reshape(-1).astype(np.int32)
                coder.encode(flat, self._family(), rows.reshape(len(flat), -1))
            self._count(part, classes)
        return coder.get_compressed()

    def decode(self, words: np.ndarray, frames: int) -> np.ndarray:
        """Words, uint32, to symbols (N, K) int64; ValueError for words that no encoder gives."""
        coder = self.coder.stream.queue.RangeDecoder(words)
        symbols = np.zeros((frames, len(self.symbols)), np.int64)
        before = np.zeros(len(self.symbols), np.int64)
        try:
            for run in _runs(frames):
                shares = self._shares()
                exponents = coder.decode(self._uniform(), len(self.symbols))
                prior = _times(shares, exponents)
                classes = np.empty_like(symbols[run])
                for i, frame in enumerate(symbols[run]):
                    classes[i] = before * self.classes // self.alphabet
                    frame[:] = coder.decode(self._family(), self._weights(classes[i], prior, exponents))
                    before = frame
                self._count(symbols[run], classes)
        except AssertionError as error:  # constriction's, of a state that no encoder reaches
            raise ValueError(f"no encoder gives these codes: {error}; accepted: those of one") from error
        return symbols

    def _contexts(self, symbols: np.ndarray) -> np.ndarray:
        """The class (N, K) that each symbol is coded in: of the one before, 0 at a chunk's start."""
        before = np.concatenate([np.zeros_like(symbols[:1]), symbols[:-1]])
        return before * self.classes // self.alphabet

    def _shares(self) -> np.ndarray:
        """(K, A): each symbol's share of TOTAL - A over all contexts, rounded down."""
        counts = self.single + (np.arange(self.alphabet) < self.symbols[:, None])
        return counts * (TOTAL - self.alphabet) // (self.frames + self.symbols[:, None])

    def _weights(self, classes: np.ndarray, prior: np.ndarray, exponents: np.ndarray) -> np.ndarray:
        """Weights (..., K, A) in contexts (..., K), integers as float64, whose sum is TOTAL - A.

        prior: the shares times 2^exponents.
        constriction adds 1 to each. Sums and products are below 2^53 and quotients 29 bits short of it, so
        that this division, rounded down, is the integer one on any machine, and faster.
        """
        counts = self.pairs[self._books, classes] * float(TOTAL - self.alphabet) + prior
        totals = self.totals[self._books, classes] + 2.0**exponents
        weights = np.floor(counts / totals[..., None])
        weights[..., 0] += TOTAL - self.alphabet - weights.sum(-1)
        return weights

    def _best(self, symbols: np.ndarray, classes: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """(K,) exponents 0 to 15 that take the fewest bits for symbols (N, K); any would be decoded."""
        prior = np.exp2(np.arange(16.0))[:, None, None]
        share = shares[self._books, symbols] / TOTAL
        seen, total = self.pairs[self._books, classes, symbols], self.totals[self._books, classes]
        found = (seen + prior * share + 1 / TOTAL) / (total + prior)
        return np.log2(found).sum(1).argmax(0)

    def _count(self, symbols: np.ndarray, classes: np.ndarray) -> None:
        books = np.broadcast_to(self._books, symbols.shape)
        np.add.at(self.single, (books, symbols), 1)
        np.add.at(self.pairs, (books, classes, symbols), 1)
        np.add.at(self.totals, (books, classes), 1)
        self.frames += len(symbols)

    def _uniform(self) -> Any:
        return self.coder.stream.model.Uniform(16)

    def _family(self) -> Any:
        return self.coder.stream.model.Categorical(perfect=False)


def _times(shares: np.ndarray, exponents: np.ndarray) -> np.ndarray:
    """Shares (K, A) times 2^exponents (K,), exactly, in float64."""
    return np.ldexp(shares.astype(np.float64), exponents[:, None])


def _runs(frames: int) -> list[slice]:
    return [slice(start, min(start + RUN, frames)) for start in range(0, frames, RUN)]


@cache
def _constriction() -> Any:
    try:
        import constriction
    except ImportError as error:
        need = "constriction; accepted: pip install 'vocable[pack]', or packing=\"bits\" to write"
        raise ValueError(f'packing is "entropy", which needs {need}') from error
    return constriction
