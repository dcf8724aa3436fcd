"""Pieces of a signal: together they give what the whole gives, whatever their size."""

import math
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from vocable.codecs.backbones.conv import Conv1d, Sequential, Stateful
from vocable.codecs.backbones.dac import DACEncoder
from vocable.codecs.backbones.lstm import LSTM
from vocable.codecs.backbones.pieces import Tiles, frames_at_once, regroup, through
from vocable.codecs.backbones.seanet import Layers, SEANetEncoder
from vocable.codecs.backbones.spool import Spool
from vocable.codecs.backbones.wavtokenizer import WavTokenizerDecoder
from vocable.codecs.backbones.windows import in_windows, overlapping


@torch.no_grad()
def in_pieces(layer: nn.Module, x: Tensor, size: int) -> tuple[Tensor, int]:
    """What the layer gives, and the longest piece of it."""
    found = list(through(layer, iter(Tiles(x, size))))
    assert [final for _, final in found] == [*[False] * (len(found) - 1), True]
    return torch.cat([y for y, _ in found], -1), max(y.shape[-1] for y, _ in found)


class Doubled(Stateful):
    """Each step is the sum of both its neighbours, and of all that it has: nothing that `advance` knows."""

    causal = False

    def forward(self, x: Tensor, state: None = None) -> tuple[Tensor, None]:
        return x + x.mean(-1, keepdim=True), None


class Louder(DACEncoder):
    """A class derived from one that is known, with a forward of its own."""

    def forward(self, wav: Tensor, state: None = None) -> tuple[Tensor, None]:
        return super().forward(2 * wav + wav.mean())[0], None


@pytest.mark.parametrize(
    "layer",
    [
        Doubled(),
        Louder(4, (2, 2), 3),
        Sequential(Conv1d(1, 4, 3), nn.GroupNorm(2, 4), nn.ELU(), LSTM(4, 2, bidirectional=True)),
        SEANetEncoder(4, (2, 2), 3, layers=Layers(norm="group"), lstm=0),
        WavTokenizerDecoder(1, 32, 1, 4),
    ],
)
def test_layers_that_are_not_known_have_the_whole(layer: Stateful) -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 1, 60)
    with torch.no_grad():
        torch.testing.assert_close(in_pieces(layer.eval(), x, 8)[0], layer(x)[0], rtol=0, atol=1e-5)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=9), st.integers(1, 7))
def test_regrouped_pieces_are_of_one_size(lengths: list[int], size: int) -> None:
    x = torch.arange(float(sum(lengths) + 1))
    parts = x.split([*lengths, 1])
    found = list(regroup(((part, i == len(lengths)) for i, part in enumerate(parts)), size))
    assert torch.equal(torch.cat([part for part, _ in found]), x)
    assert [len(part) for part, _ in found] == [len(part) for part in x.split(size)]
    assert [final for _, final in found] == [*[False] * (len(found) - 1), True]


def test_a_piece_holds_whole_windows_and_suits_the_device() -> None:
    cpu = torch.device("cpu")
    assert frames_at_once(320, cpu) == 192
    assert frames_at_once(2**20, cpu) == 32
    assert frames_at_once(320, torch.device("meta")) == 3264


def test_a_spool_gives_back_what_came_in_either_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vocable.codecs.backbones.spool.IN_MEMORY", 100)  # most of it lies on disk
    given = [torch.randn(3, 7), torch.randn(1, 5, 2).double(), torch.arange(9).t()]
    spool = Spool()
    for x in given:
        spool.append(x)
    assert len(spool) == 3
    for found, wanted in ((list(spool), given), (list(reversed(spool)), given[::-1])):
        for x, y in zip(found, wanted, strict=True):
            assert torch.equal(x, y)
            assert x.dtype == y.dtype


class Mean(nn.Module):
    """Of the window, at each of its steps."""

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (x.mean(-1, keepdim=True).expand_as(x),)


def tiles(x: Tensor, size: int) -> Iterator[tuple[Tensor, bool]]:
    return iter(Tiles(x, size))


@given(st.integers(1, 300), st.integers(1, 40), st.integers(2, 60), st.integers(1, 30))
def test_windows_overlap_and_fade(length: int, piece: int, size: int, shared: int) -> None:
    shared = min(shared, size - 1)
    x = torch.arange(1, 1.0 + length)[None, None]
    windows = [window for window, _ in overlapping(tiles(x, piece), size, shared)]
    starts = [int(window[0, 0, 0]) - 1 for window in windows]
    assert starts == list(range(0, max(1, length - shared), size - shared))
    same = torch.cat([y for y, _ in in_windows(Sequential(nn.Identity()), tiles(x, piece), size, shared)], -1)
    torch.testing.assert_close(same, x)


def test_where_windows_overlap_one_fades_into_the_next() -> None:
    x = torch.cat([torch.zeros(6), torch.ones(6)])[None, None]
    y = torch.cat([y for y, _ in in_windows(Mean(), tiles(x, 5), 7, 2)], -1)[0, 0]
    first, second = 1 / 7, 6 / 7
    faded = [first + (second - first) * weight for weight in (1 / 3, 2 / 3)]
    torch.testing.assert_close(y, torch.tensor([first] * 5 + faded + [second] * 5))


def test_a_window_is_more_than_its_overlap() -> None:
    decoder, z = WavTokenizerDecoder(1, 32, 1, 4).eval(), torch.randn(1, 1, 1500)
    decoder.window = 512
    with pytest.raises(ValueError, match="window is 512; accepted: more than 512 frames"):
        in_pieces(decoder, z, 32)
    decoder.window = 600
    with torch.no_grad():
        found, whole = in_pieces(decoder, z, 32)[0], decoder(z)[0]
    assert found.shape == whole.shape
    assert not torch.allclose(found, whole, atol=1e-3)
    assert math.isfinite(float(found.abs().max()))
