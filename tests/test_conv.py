"""Convolutions: one padding rule, exact lengths, streams equal to whole signals."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from vocable.codecs.backbones.conv import Conv1d, ConvTranspose1d, Residual, Sequential, fold_weight_norm

kernels = st.tuples(st.integers(1, 9), st.integers(1, 5), st.integers(1, 4)).filter(
    lambda ksd: (ksd[0] - 1) * ksd[2] + 1 >= ksd[1]
)


def chunked(layer: nn.Module, x: torch.Tensor, sizes: list[int]) -> torch.Tensor:
    state, parts = None, []
    for part in x.split(sizes, dim=-1):
        y, state = layer(part, state)
        parts.append(y)
    return torch.cat(parts, dim=-1)


@settings(max_examples=40, deadline=None)
@given(kernels, st.lists(st.integers(1, 6), min_size=1, max_size=5))
def test_causal_conv_in_chunks_is_the_whole(ksd: tuple[int, int, int], frames: list[int]) -> None:
    kernel, stride, dilation = ksd
    layer = Conv1d(2, 3, kernel, stride, dilation, causal=True).double()
    x = torch.randn(2, 2, sum(frames) * stride, dtype=torch.float64)
    whole, _ = layer(x)
    assert whole.shape == (2, 3, sum(frames))
    torch.testing.assert_close(chunked(layer, x, [n * stride for n in frames]), whole, rtol=0, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.integers(0, 5), st.lists(st.integers(1, 6), min_size=1, max_size=5))
def test_causal_transposed_conv_in_chunks_is_the_whole(stride: int, more: int, frames: list[int]) -> None:
    layer = ConvTranspose1d(2, 3, stride + more, stride, causal=True).double()
    assert layer.conv.bias is not None
    nn.init.normal_(layer.conv.bias, 1.0)  # a bias counted twice at the seams would show
    x = torch.randn(2, 2, sum(frames), dtype=torch.float64)
    whole, _ = layer(x)
    assert whole.shape == (2, 3, sum(frames) * stride)
    torch.testing.assert_close(chunked(layer, x, frames), whole, rtol=0, atol=1e-12)


def test_causal_layers_do_not_look_ahead() -> None:
    layer = Sequential(Conv1d(1, 4, 7, causal=True), nn.ELU(), Conv1d(4, 2, 4, 2, causal=True))
    x = torch.randn(1, 1, 32)
    changed = x.clone()
    changed[..., 20:] = 5.0
    a, b = layer(x)[0], layer(changed)[0]
    assert torch.equal(a[..., :10], b[..., :10])
    assert not torch.equal(a[..., 10:], b[..., 10:])


def test_two_streams_of_one_layer_do_not_mix() -> None:
    layer = Residual(Sequential(Conv1d(2, 2, 5, causal=True), ConvTranspose1d(2, 2, 3, 1, causal=True)))
    x, y = torch.randn(2, 1, 2, 24).unbind()
    (a1, state_a), (b1, state_b) = layer(x[..., :12]), layer(y[..., :12])
    a2, b2 = layer(x[..., 12:], state_a)[0], layer(y[..., 12:], state_b)[0]
    torch.testing.assert_close(torch.cat([a1, a2], -1), layer(x)[0])
    torch.testing.assert_close(torch.cat([b1, b2], -1), layer(y)[0])


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(7, 1, 3), (4, 2, 1), (16, 8, 4), (10, 5, 3)])
def test_padding_rule_is_the_usual_symmetric_one(kernel: int, stride: int, padding: int) -> None:
    layer = Conv1d(1, 1, kernel, stride)
    reference = nn.Conv1d(1, 1, kernel, stride, padding)
    reference.load_state_dict(layer.conv.state_dict())
    x = torch.randn(1, 1, 40)
    torch.testing.assert_close(layer(x)[0], reference(x), rtol=0, atol=1e-6)
    up = ConvTranspose1d(1, 1, kernel, stride)
    mirror = nn.ConvTranspose1d(1, 1, kernel, stride, padding, output_padding=stride % 2 if stride > 1 else 0)
    mirror.load_state_dict(up.conv.state_dict())
    torch.testing.assert_close(up(x)[0], mirror(x), rtol=0, atol=1e-6)


def test_folded_weight_norm_is_the_same_layer() -> None:
    layer = Sequential(Conv1d(2, 3, 3, weight_norm=True), ConvTranspose1d(3, 2, 4, 2, weight_norm=True))
    x = torch.randn(1, 2, 10)
    before = layer(x)[0]
    fold_weight_norm(layer)
    assert sorted(layer.state_dict()) == [
        f"layers.{i}.conv.{name}" for i in (0, 1) for name in ("bias", "weight")
    ]
    torch.testing.assert_close(layer(x)[0], before)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="length is 0; accepted: positive"):
        Conv1d(1, 1, 4, 2)(torch.zeros(1, 1, 0))
    with pytest.raises(ValueError, match=r"pad_mode is 'zeros'; accepted: .*'constant'"):
        Conv1d(1, 1, 3, pad_mode="zeros")
    with pytest.raises(ValueError, match="accepted: norm=None"):
        ConvTranspose1d(1, 1, 4, 2, causal=True, norm=torch.nn.GroupNorm(1, 1))
    with pytest.raises(ValueError, match="state=None"):
        Conv1d(1, 1, 3)(torch.zeros(1, 1, 4), torch.zeros(1, 1, 2))
    with pytest.raises(ValueError, match="accepted: a span of at least the stride"):
        Conv1d(1, 1, 2, 4)
    with pytest.raises(ValueError, match="accepted: at least the stride"):
        ConvTranspose1d(1, 1, 2, 4)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 40),
    st.sampled_from([(7, 1, 1), (4, 2, 1), (10, 5, 1), (3, 1, 3)]),
    st.booleans(),
    st.booleans(),
)
def test_every_length_is_padded_as_encodec_pads(
    length: int, shape: tuple[int, int, int], causal: bool, reflect: bool
) -> None:
    peer_conv = pytest.importorskip("encodec.modules.conv")
    kernel, stride, dilation = shape
    mode = "reflect" if reflect else "constant"
    ours = Conv1d(2, 3, kernel, stride, dilation, causal=causal, pad_mode=mode)
    peer = peer_conv.SConv1d(2, 3, kernel, stride, dilation, causal=causal, norm="none", pad_mode=mode)
    peer.conv.conv.load_state_dict(ours.conv.state_dict())
    x = torch.randn(1, 2, length)
    y = ours(x)[0]
    assert y.shape[-1] == -(-length // stride)
    torch.testing.assert_close(y, peer(x), rtol=0, atol=1e-6)


def test_transposed_layers_normalise_before_they_trim() -> None:
    peer_conv = pytest.importorskip("encodec.modules.conv")
    ours = ConvTranspose1d(4, 2, 5, 2, norm=torch.nn.GroupNorm(1, 2))
    peer = peer_conv.SConvTranspose1d(4, 2, 5, 2, norm="time_group_norm")
    peer.convtr.convtr.load_state_dict(ours.conv.state_dict())
    x = torch.randn(2, 4, 9)
    torch.testing.assert_close(ours(x)[0], peer(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate"])
def test_a_chunk_that_can_only_end_the_signal_closes_it(mode: str) -> None:
    layer = Conv1d(1, 1, 6, 2, causal=True, pad_mode=mode)
    x = torch.randn(1, 1, 23)
    head, state = layer(x[..., :12])
    tail, state = layer(x[..., 12:], state)
    torch.testing.assert_close(torch.cat([head, tail], -1), layer(x)[0])
    with pytest.raises(ValueError, match="the signal ended with the chunk before"):
        layer(x[..., :2], state)
    if mode == "reflect":  # four samples cannot be mirrored before the fifth has come
        with pytest.raises(ValueError, match="the signal ended"):
            layer(x[..., 4:], layer(x[..., :4])[1])
