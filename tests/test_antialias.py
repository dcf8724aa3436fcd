"""The activation that does not alias, against BigCodec's own and against its purpose."""

import pytest
import torch
from torch import nn

from vocable.codecs.backbones.antialias import AntiAliasedSnake, low_pass
from vocable.codecs.backbones.snake import SnakeBeta


def make(channels: int) -> AntiAliasedSnake:
    layer = AntiAliasedSnake(channels)
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -1, 1)
    return layer


def test_filter_passes_half_of_the_band() -> None:
    taps = torch.tensor(low_pass(), dtype=torch.float64)
    torch.testing.assert_close(taps, taps.flip(0))
    response = torch.fft.rfft(taps, 512).abs()
    assert abs(response[0] - 1) < 1e-12
    assert response[:38].min() > 0.98
    assert response[219:].max() < 0.01


def test_snake_beta_is_its_formula() -> None:
    layer = SnakeBeta(3)
    nn.init.uniform_(layer.alpha, -1, 1)
    nn.init.uniform_(layer.beta, -1, 1)
    x = torch.randn(2, 3, 20)
    a, b = layer.alpha.exp()[:, None], layer.beta.exp()[:, None]
    torch.testing.assert_close(layer(x), x + (a * x).sin() ** 2 / b)


@torch.no_grad()
@pytest.mark.parametrize("shape", [(1, 3, 1), (2, 4, 2), (2, 5, 7), (3, 8, 400), (1, 2, 70_001)])
def test_both_ways_are_the_peers(shape: tuple[int, int, int]) -> None:
    peer = pytest.importorskip("bigcodec.modules")
    layer = make(shape[1])
    theirs = peer.Activation1d(peer.SnakeBeta(shape[1], alpha_logscale=True))
    theirs.act.load_state_dict(layer.act.state_dict())
    x = torch.randn(shape)
    kept, expected = x.clone(), theirs(x)
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=5e-6)
    assert torch.equal(x, kept)
    with torch.enable_grad():
        torch.testing.assert_close(layer(x), expected, rtol=0, atol=5e-6)


def test_blocks_of_rows_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = make(6).double(), torch.randn(3, 6, 50, dtype=torch.float64)
    with torch.no_grad():
        expected = layer(x)
        for block in (1, 200, 370):
            monkeypatch.setattr("vocable.codecs.backbones.antialias.BLOCK", block)
            torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-12)


def test_gradients_are_those_of_the_formula() -> None:
    layer = make(2).double()
    x = torch.randn(1, 2, 9, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (x,))


@torch.no_grad()
def test_overtones_are_filtered_not_folded_back() -> None:
    """Of a tone at 0.3 of the rate, the overtone at 1.2 would appear at 0.2."""
    tone = torch.sin(2 * torch.pi * 0.3 * torch.arange(1000, dtype=torch.float64))[None, None]
    folded, filtered = (
        torch.fft.rfft(layer.double()(tone)).abs()[0, 0, 200] for layer in (SnakeBeta(1), AntiAliasedSnake(1))
    )
    assert filtered < 0.2 * folded
