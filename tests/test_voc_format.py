"""docs/voc-format.md says what the files are: its examples, and a reader that was written from it alone."""

import re
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vocable.codecs import Tokens
from vocable.codecs.voc import Header, TokenReader, TokenWriter
from vocable.codecs.voc.entropy import RUN, TOTAL, Model, _times

pytest.importorskip("constriction")
HERE = Path(__file__).parent
SPEC = HERE.parent / "docs" / "voc-format.md"
read_voc = runpy.run_path(str(HERE / "assets" / "read_voc.py"))["read_voc"]

CODES = torch.tensor([[[3, 0, 15, 7, 1], [19, 2, 2, 0, 5]]])
EXAMPLES = {
    "packed": (Tokens(CODES, torch.tensor([48]), 16000, 10, (16, 20), "x"), "bits"),
    "coded": (Tokens((torch.arange(140) % 4)[None, None], torch.tensor([1400]), 16000, 10, (5,)), "entropy"),
}


@pytest.mark.skipif(not SPEC.exists(), reason="needs the checkout")
@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_of_the_specification(name: str, tmp_path: Path) -> None:
    dump = re.search(rf"<!-- {name} -->\n```\n(.*?)```", SPEC.read_text(), re.DOTALL)
    assert dump
    text = "".join(line.split("  ")[1] for line in dump[1].splitlines())
    tokens, packing = EXAMPLES[name]
    tokens.save(tmp_path / "a.voc", packing)  # type: ignore[arg-type]
    assert (tmp_path / "a.voc").read_bytes() == bytes.fromhex(text)
    (tmp_path / "b.voc").write_bytes(bytes.fromhex(text))
    assert torch.equal(Tokens.load(tmp_path / "b.voc").codes, tokens.codes)


@pytest.mark.parametrize(
    ("sizes", "frames"), [((7, 3), 300), ((5000, 5, 1), 132), ((1,), 9), ((729,), 260), ((4, 4, 4, 4), 200)]
)
@pytest.mark.parametrize("packing", ["bits", "entropy"])
def test_a_reader_written_from_the_specification(
    sizes: tuple[int, ...], frames: int, packing: Any, tmp_path: Path
) -> None:
    generator = torch.Generator().manual_seed(0)
    few = torch.randint(0, 3, (len(sizes), frames), generator=generator).cumprod(1) // 3
    few = torch.where(few > 0, few, torch.randint(0, 4, few.shape, generator=generator) ** 2)
    codes = few % torch.tensor(sizes)[:, None]
    header = Header(16000, 10, sizes, "né", "0a" * 32, 32000, packing, chunk_frames=150)
    with TokenWriter(tmp_path / "a.voc", header) as writer:
        for i in range(2):
            writer.write(codes, i, torch.tensor([1.5, 0.25]))
            writer.end(i, 10 * frames - 3, 20 * frames - 6)
    with TokenReader(tmp_path / "a.voc") as reader:
        coded = reader.chunks["flags"] & 1
    assert coded.any() == (packing == "entropy" and sizes != (1,))
    found = read_voc((tmp_path / "a.voc").read_bytes())
    assert (found["codec"], found["weights"].hex(), found["codebook_sizes"]) == ("né", "0a" * 32, sizes)
    assert (found["sample_rate"], found["hop_length"], found["source_rate"]) == (16000, 10, 32000)
    for item in found["items"]:
        assert item["codes"] == codes.T.tolist()
        assert (item["length"], item["source_length"]) == (10 * frames - 3, 20 * frames - 6)
        assert item["scales"] == [1.5, 0.25]


def test_weights_are_integers_that_sum_up_to_the_total_at_any_count() -> None:
    rng = np.random.default_rng(0)
    model = Model((1000, 4096, 3))
    model.single[:] = rng.integers(0, 64, model.single.shape) * (np.arange(4096) < model.symbols[:, None])
    model.frames = 2**18
    model.pairs[:, :2] = rng.integers(0, 2**18, model.pairs[:, :2].shape)
    model.totals[:] = model.pairs.sum(-1)
    classes, exponents = np.array([[0, 1, 0], [1, 0, 1]]), np.array([0, 9, 15])
    shares = model._shares()
    weights = model._weights(classes, _times(shares, exponents), exponents)
    assert (weights >= 0).all()
    assert (weights.sum(-1) == TOTAL - model.alphabet).all()
    for n, k, s in ((0, 0, 5), (1, 1, 4000), (0, 2, 2), (1, 2, 4095)):
        c, e = int(classes[n, k]), int(exponents[k])
        top = int(model.pairs[k, c, s]) * (TOTAL - 4096) + 2**e * int(shares[k, s])
        assert weights[n, k, s] == top // (int(model.totals[k, c]) + 2**e)  # Python's integers


def test_what_can_be_foretold_takes_few_bits() -> None:
    rng = np.random.default_rng(0)
    following = rng.permutation(1024)
    codes = np.zeros((20 * RUN, 1), np.int64)
    for i in range(1, len(codes)):
        codes[i] = following[codes[i - 1]] if rng.random() < 0.9 else rng.integers(1024)
    model = Model((1024,))
    words = model.encode(codes)
    bits = 32 * len(words) / len(codes)
    assert bits < 8.5  # of 10
    model.restart()
    assert (model.decode(words, len(codes)) == codes).all()
