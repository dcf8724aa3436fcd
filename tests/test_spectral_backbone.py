"""STFT, inverse STFT and the heads: exact inversion, vocos's own numbers, lengths."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vocable.codecs.backbones.convnext import ConvNeXtBlock, ISTFTDecoder, STFTEncoder
from vocable.codecs.backbones.istft import ISTFT, STFT, DirectionISTFTHead, ISTFTHead


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 20), st.integers(0, 20), st.integers(1, 30))
def test_same_padding_inverts_exactly(half_hop: int, more: int, frames: int) -> None:
    hop = 2 * half_hop
    n_fft = 2 * hop + 2 * more
    wav = torch.randn(2, frames * hop)
    spec = STFT(n_fft, hop)(wav)
    assert spec.shape == (2, n_fft // 2 + 1, frames)
    back = ISTFT(n_fft, hop)(spec)
    assert back.shape == wav.shape
    # at the outer edges of the signal a window of two hops has almost no weight
    inner = slice(hop // 2, -(hop // 2) or None)
    torch.testing.assert_close(back[:, inner], wav[:, inner], rtol=0, atol=1e-4)


def test_center_padding_inverts_torch_stft() -> None:
    wav = torch.randn(2, 1600)
    spec = torch.stft(wav, 320, 80, window=torch.hann_window(320), return_complex=True)
    torch.testing.assert_close(ISTFT(320, 80, "center")(spec), wav, rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("padding", ["same", "center"])
def test_head_is_vocos(padding: str) -> None:
    heads = pytest.importorskip("vocos.heads")
    torch.manual_seed(0)
    mine, peer = ISTFTHead(16, 64, 16, padding), heads.ISTFTHead(16, 64, 16, padding)
    mine.out.load_state_dict(peer.out.state_dict())
    x = torch.randn(2, 12, 16)
    wav = mine(x)
    assert wav.shape == (2, 1, 12 * 16 if padding == "same" else 11 * 16)
    torch.testing.assert_close(wav.squeeze(1), peer(x), rtol=0, atol=1e-5)


@torch.no_grad()
def test_block_is_vocos() -> None:
    modules = pytest.importorskip("vocos.modules")
    torch.manual_seed(0)
    mine, peer = ConvNeXtBlock(8), modules.ConvNeXtBlock(8, 24, 0.1)
    names = {"dwconv": "depthwise", "pwconv1": "widen", "pwconv2": "narrow", "gamma": "scale", "norm": "norm"}
    state = {".".join([names[k.split(".")[0]], *k.split(".")[1:]]): v for k, v in peer.state_dict().items()}
    mine.load_state_dict(state)
    x = torch.randn(2, 20, 8)
    torch.testing.assert_close(mine(x), peer(x.transpose(1, 2)).transpose(1, 2), rtol=0, atol=1e-5)


@torch.no_grad()
def test_direction_head_has_the_predicted_magnitude_and_direction() -> None:
    head = DirectionISTFTHead(4, 64, 16)
    spectra: list[torch.Tensor] = []
    head.istft.register_forward_pre_hook(lambda _, args: spectra.append(args[0]))
    x = torch.randn(1, 6, 4)
    head(x)
    log_magnitude, real, imag = head.out(x).transpose(1, 2).chunk(3, dim=1)
    torch.testing.assert_close(spectra[0].abs(), log_magnitude.exp(), rtol=1e-2, atol=1e-3)
    torch.testing.assert_close(spectra[0].angle(), torch.atan2(imag, real), rtol=0, atol=1e-5)


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_pair_keeps_the_length_and_gradients_flow(stride: int) -> None:
    encoder, decoder = STFTEncoder(8, 16, 64, 16, stride, 1, 1), ISTFTDecoder(8, 16, 64, 16, stride, 1, 1)
    wav = torch.randn(2, 1, 5 * 16 * stride)
    z, _ = encoder(wav)
    assert z.shape == (2, 8, 5)
    out, _ = decoder(z)
    assert out.shape == wav.shape
    out.square().mean().backward()
    silent = [n for part in (encoder, decoder) for n, p in part.named_parameters() if p.grad is None]
    assert silent == []


def test_silence_gives_finite_latents_and_gradients() -> None:
    encoder = STFTEncoder(8, 16, 64, 16, 2, 1, 1)
    wav = torch.zeros(1, 1, 320, requires_grad=True)
    z, _ = encoder(wav)
    z.sum().backward()
    assert z.isfinite().all()
    assert wav.grad is not None
    assert wav.grad.isfinite().all()


def test_sizes_that_cannot_be_inverted_are_refused() -> None:
    with pytest.raises(ValueError, match="accepted: \\('same', 'center', 'causal'\\)"):
        ISTFT(64, 16, "valid")
    with pytest.raises(ValueError, match="n_fft is 64 at hop_length 48"):
        ISTFTHead(4, 64, 48)
    with pytest.raises(ValueError, match="length is 33"):
        STFT(64, 16)(torch.zeros(1, 33))
