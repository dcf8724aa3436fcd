"""DAC's encoder and decoder against the package that they were published with."""

import re

import pytest
import torch

from vocable.codecs.backbones.conv import fold_weight_norm
from vocable.codecs.backbones.dac import DACDecoder, DACEncoder
from vocable.codecs.backbones.depthwise import DepthwiseConv1d
from vocable.codecs.backbones.snake import Snake

SMALL = {"strides": (2, 5), "latent_dim": 6}


def ours(state: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    """Parameters in the order in which they are applied: both packages define them in that order."""
    names = {"weight_g": 0, "original0": 0, "weight_v": 1, "original1": 1, "bias": 2, "alpha": 3}
    keys: dict[str, list[str]] = {}
    for key in state:
        keys.setdefault(
            re.sub(r"\.(parametrizations\.weight\.original\d|weight_[gv]|bias|alpha)$", "", key), []
        ).append(key)
    return [
        state[key] for group in keys.values() for key in sorted(group, key=lambda k: names[k.split(".")[-1]])
    ]


def copy(source: torch.nn.Module, target: torch.nn.Module) -> None:
    values, slots = ours(source.state_dict()), ours(target.state_dict())
    assert [value.shape for value in values] == [slot.shape for slot in slots]
    for value, slot in zip(values, slots, strict=True):
        slot.copy_(value)


def randomize(module: torch.nn.Module) -> None:
    """Alphas and biases that differ, so that a swap of two would show."""
    for name, parameter in module.named_parameters():
        if name.endswith("alpha"):
            torch.nn.init.uniform_(parameter, 0.5, 2.0)
        elif name.endswith("bias"):
            torch.nn.init.uniform_(parameter, -0.3, 0.3)


@torch.no_grad()
def test_encoder_and_decoder_are_dac() -> None:
    dac = pytest.importorskip("dac.model.dac")
    torch.manual_seed(0)
    peer_encoder = dac.Encoder(4, [2, 5], 6)
    peer_decoder = dac.Decoder(6, 16, [5, 2])
    encoder, decoder = DACEncoder(4, (2, 5), 6), DACDecoder(16, (5, 2), 6)
    for peer, mine in ((peer_encoder, encoder), (peer_decoder, decoder)):
        randomize(peer)
        copy(peer, mine)
    wav = torch.randn(2, 1, 400)
    z = encoder(wav)[0]
    torch.testing.assert_close(z, peer_encoder(wav), rtol=0, atol=1e-5)
    mine, reference = decoder(z)[0], peer_decoder(z)
    # the peer's decoder falls short at odd strides; away from its cut end the samples are the same
    assert mine.shape[-1] == 400
    assert reference.shape[-1] == 398
    torch.testing.assert_close(mine[..., :250], reference[..., :250], rtol=0, atol=1e-5)
    fold_weight_norm(decoder)
    torch.testing.assert_close(decoder(z)[0], mine, rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("chunk", [1, 3, 4])
def test_causal_dac_streams_exactly(chunk: int) -> None:
    torch.manual_seed(0)
    encoder = DACEncoder(4, **SMALL, causal=True).double()
    decoder = DACDecoder(16, (5, 2), 6, causal=True).double()
    wav = torch.randn(1, 1, 120, dtype=torch.float64)
    z, wav_hat = encoder(wav)[0], None
    wav_hat = decoder(z)[0]
    states, parts = [None, None], []
    for piece in wav.split(10 * chunk, dim=-1):
        latent, states[0] = encoder(piece, states[0])
        out, states[1] = decoder(latent, states[1])
        parts.append(out)
    torch.testing.assert_close(torch.cat(parts, -1), wav_hat, rtol=0, atol=1e-12)


def test_snake_is_its_formula_with_and_without_gradient() -> None:
    layer = Snake(3)
    torch.nn.init.uniform_(layer.alpha, 0.5, 2.0)
    x = torch.randn(2, 3, 50)
    expected = x + (layer.alpha * x).sin() ** 2 / layer.alpha
    torch.testing.assert_close(layer(x), expected)
    kept = x.clone()
    with torch.no_grad():
        torch.testing.assert_close(layer(x), expected)
    assert torch.equal(x, kept)


def test_gradients_of_snake_are_those_of_its_formula() -> None:
    layer = Snake(3).double()
    torch.nn.init.uniform_(layer.alpha, -1.0, 2.0)
    x = torch.randn(2, 3, 50, dtype=torch.float64, requires_grad=True)
    inputs, cotangent = [x, layer.alpha], torch.randn(2, 3, 50, dtype=torch.float64)
    formula = x + (layer.alpha * x).sin() ** 2 / (layer.alpha + 1e-9)
    expected = torch.autograd.grad(formula, inputs, cotangent)
    torch.testing.assert_close(torch.autograd.grad(layer(x), inputs, cotangent), expected)


@pytest.mark.parametrize("dilation", [1, 3, 9])
def test_depthwise_convolution_is_torchs_with_and_without_gradient(dilation: int) -> None:
    torch.manual_seed(0)
    layer = DepthwiseConv1d(6, 7, dilation)
    for length in (1, 5, 100):
        x = torch.randn(2, 6, length)
        weight, bias = layer.conv.weight, layer.conv.bias
        expected = torch.conv1d(x, weight, bias, padding=3 * dilation, dilation=dilation, groups=6)
        torch.testing.assert_close(layer(x)[0], expected)
        with torch.no_grad():
            torch.testing.assert_close(layer(x)[0], expected)
