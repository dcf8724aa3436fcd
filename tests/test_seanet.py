"""SEANet against the packages that have it, and what holds for each of its kinds."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vocable.codecs.backbones.lstm import LSTM
from vocable.codecs.backbones.seanet import Layers, SEANetDecoder, SEANetEncoder
from vocable.codecs.backbones.snake import Snake

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")  # the peers' own
RATIOS = (5, 4, 2)
HOP = 40
SIZES: dict[str, Any] = {"dimension": 6, "n_filters": 4, "ratios": list(RATIOS)}  # as the peers call them


def pair(layers: Layers, bidirectional: bool = False, **options: Any) -> tuple[SEANetEncoder, SEANetDecoder]:
    encoder = SEANetEncoder(4, RATIOS[::-1], 6, bidirectional=bidirectional, layers=layers, **options)
    return encoder, SEANetDecoder(4, RATIOS, 6, layers=layers, **options)


def renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The peers' names as ours: they nest a convolution in as many as three modules."""
    names = {}
    for key, value in state.items():
        name = re.sub(r"(\.conv)+\.norm\.|\.convtr\.norm\.", ".norm.", key)
        name = re.sub(r"(\.conv)+\.|(\.convtr)+\.", ".conv.", name)
        name = name.replace("weight_g", "parametrizations.weight.original0")
        name = name.replace("weight_v", "parametrizations.weight.original1")
        names[name.replace("model.", "layers.layers.").replace(".block.", ".block.layers.")] = value
    return names


@torch.no_grad()
def compare(
    peers: tuple[nn.Module, nn.Module],
    ours: tuple[nn.Module, nn.Module],
    channels: int = 1,
    lengths: tuple[int, ...] = (1, 3, 39, 40, 41, 813),
) -> None:
    """The same weights give the same latents and the same signal."""
    for peer, mine in zip(peers, ours, strict=True):
        for name, parameter in peer.named_parameters():
            if re.search(r"alpha|norm|weight_g", name):
                parameter.mul_(torch.empty_like(parameter).uniform_(0.7, 1.5))
        mine.load_state_dict(renamed(peer.state_dict()), strict=True)
    for length in lengths:
        wav = torch.randn(2, channels, length)
        z = peers[0](wav)
        assert z.shape == (2, 6, -(-length // HOP))
        torch.testing.assert_close(ours[0](wav)[0], z, rtol=0, atol=1e-6)
        z = torch.randn_like(z)
        torch.testing.assert_close(ours[1](z)[0], peers[1](z), rtol=0, atol=1e-6)


@pytest.mark.parametrize("true_skip", [False, True])
@pytest.mark.parametrize(
    ("norm", "causal", "pad_mode"),
    [("weight", True, "reflect"), ("group", False, "reflect"), ("none", False, "constant")],
)
def test_it_is_encodecs(norm: str, causal: bool, pad_mode: str, true_skip: bool) -> None:
    peer = pytest.importorskip("encodec.modules")
    torch.manual_seed(0)
    names = {"weight": "weight_norm", "group": "time_group_norm", "none": "none"}
    options = {"norm": names[norm], "causal": causal, "pad_mode": pad_mode, "true_skip": true_skip}
    options |= {"channels": 2, "n_residual_layers": 2, "lstm": 1, "last_kernel_size": 5}
    peers = peer.SEANetEncoder(**SIZES, **options), peer.SEANetDecoder(**SIZES, **options)
    layers = Layers(causal, norm, pad_mode, residual=2, true_skip=true_skip)
    compare(peers, pair(layers, channels=2, lstm=1, last_kernel=5), channels=2)


@pytest.mark.parametrize("snake", [False, True])
def test_it_is_speechtokenizers(snake: bool) -> None:
    peer = pytest.importorskip("speechtokenizer.modules")
    torch.manual_seed(0)
    options: dict[str, Any] = {"activation": "Snake", "activation_params": {}} if snake else {}
    encoder = peer.SEANetEncoder(**SIZES, **options, bidirectional=True)
    layers = Layers(activation=Snake) if snake else Layers()
    compare((encoder, peer.SEANetDecoder(**SIZES, **options)), pair(layers, bidirectional=True))


def test_it_is_mimis() -> None:
    peer = pytest.importorskip("moshi.modules")
    torch.manual_seed(0)
    options = {"causal": True, "pad_mode": "constant", "last_kernel_size": 3, "n_residual_layers": 1}
    peers = peer.SEANetEncoder(**SIZES, **options), peer.SEANetDecoder(**SIZES, **options)
    layers = Layers(causal=True, norm="none", pad_mode="constant", true_skip=True)
    compare(peers, pair(layers, lstm=0, last_kernel=3), lengths=(40, 120, 800))  # it takes no other


@torch.no_grad()
@pytest.mark.parametrize("first", [280, 400])
@pytest.mark.parametrize("pad_mode", ["constant", "reflect", "replicate"])
def test_chunks_are_as_the_whole(pad_mode: str, first: int) -> None:
    torch.manual_seed(0)
    encoder, decoder = pair(Layers(causal=True, pad_mode=pad_mode))
    encoder, decoder = encoder.double(), decoder.double()
    wav = torch.randn(2, 1, 1213, dtype=torch.float64)
    z, _ = encoder(wav)
    out, _ = decoder(z)
    states, latents, parts = [None, None], [], []
    # seven frames reflect in the deepest layer, a convolution of 7; the last chunk is not whole
    for chunk in wav.split([first, 40, 120, 1040 - first, 13], -1):
        latent, states[0] = encoder(chunk, states[0])
        part, states[1] = decoder(latent, states[1])
        latents.append(latent)
        parts.append(part)
    torch.testing.assert_close(torch.cat(latents, -1), z, rtol=0, atol=1e-12)
    torch.testing.assert_close(torch.cat(parts, -1), out, rtol=0, atol=1e-12)


@torch.no_grad()
def test_a_first_chunk_too_short_to_reflect_is_the_last() -> None:
    encoder, decoder = pair(Layers(causal=True))
    wav = torch.randn(1, 1, 240)
    z, state = encoder(wav)
    with pytest.raises(ValueError, match="the signal ended"):
        encoder(wav, state)
    _, state = decoder(z)
    with pytest.raises(ValueError, match="the signal ended"):
        decoder(z, state)


@torch.no_grad()
@pytest.mark.parametrize("pad_mode", ["constant", "reflect"])
def test_causal_is_deaf_to_the_future(pad_mode: str) -> None:
    torch.manual_seed(0)
    encoder, decoder = pair(Layers(causal=True, pad_mode=pad_mode))
    wav = torch.randn(1, 1, 800)
    z, _ = encoder(wav)
    torch.testing.assert_close(encoder(wav[..., :400])[0], z[..., :10], rtol=0, atol=1e-6)
    torch.testing.assert_close(decoder(z[..., :10])[0], decoder(z)[0][..., :400], rtol=0, atol=1e-6)


def test_what_is_not_causal_says_so() -> None:
    for layers, bidirectional in ((Layers(norm="group"), False), (Layers(causal=True), True)):
        encoder, _ = pair(layers, bidirectional)
        assert not encoder.causal
        z, state = encoder(torch.randn(1, 1, 400))
        assert z.shape == (1, 6, 10)
        assert state is None


def test_options_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"norm is 'batch'; accepted: \('weight', 'group', 'none'\)"):
        Layers(norm="batch")
    with pytest.raises(ValueError, match="norm is 'group'"):
        Layers(causal=True, norm="group")


@torch.no_grad()
def test_lstm_adds_its_input_and_carries_its_state() -> None:
    torch.manual_seed(0)
    lstm = LSTM(4).double()
    x = torch.randn(2, 4, 9, dtype=torch.float64)
    whole, _ = lstm(x)
    torch.testing.assert_close(whole - x, lstm.lstm(x.permute(2, 0, 1))[0].permute(1, 2, 0))
    first, state = lstm(x[..., :4])
    rest, _ = lstm(x[..., 4:], state)
    torch.testing.assert_close(torch.cat([first, rest], -1), whole, rtol=0, atol=1e-14)


@torch.no_grad()
def test_lstm_of_two_directions_adds_its_input_to_both() -> None:
    lstm = LSTM(4, 1, bidirectional=True)
    x = torch.randn(2, 4, 9)
    y, state = lstm(x)
    assert state is None
    expected = lstm.lstm(x.permute(2, 0, 1))[0].permute(1, 2, 0) + torch.cat([x, x], 1)
    torch.testing.assert_close(y, expected)
    with pytest.raises(ValueError, match="accepted: state=None"):
        lstm(x, (x, x))


@pytest.mark.parametrize("true_skip", [False, True])
def test_gradients_are_right_where_memory_is_taken_over(true_skip: bool) -> None:
    torch.manual_seed(0)
    encoder, decoder = pair(Layers(causal=True, true_skip=true_skip))
    wav = torch.randn(1, 1, 41, dtype=torch.float64, requires_grad=True)
    kept = wav.detach().clone()

    def whole(x: Tensor) -> Tensor:
        return decoder.double()(encoder.double()(x)[0])[0][..., ::9]

    assert torch.autograd.gradcheck(whole, (wav,))
    assert torch.equal(wav, kept)
