"""Codecs' halves by torch.compile and torch.export: one graph, any batch and length, the codec's numbers."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from vocable.benchmarks.small import small_codec
from vocable.codecs import Codec
from vocable.codecs.backbones.conv import Conv1d
from vocable.codecs.backbones.fourier import irfft, rfft
from vocable.codecs.backbones.lstm import LSTM
from vocable.codecs.backbones.transformer import CausalTransformer
from vocable.codecs.graphs import DecoderGraph, EncoderGraph, programs

SLOW = ("dac-16khz", "encodec-24khz", "snac-24khz", "snac-44khz", "mimi")
NAMES = ["vocable-16khz", *(pytest.param(name, marks=pytest.mark.full) for name in SLOW)]
SIZES = ((2, 3), (2, 7), (1, 2), (1, 41))  # batch, units of the length


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def check(codec: Codec, encode: Callable[..., Tensor], decode: Callable[..., Tensor]) -> None:
    """The same codes and audio as the codec's own, at every size."""
    generator = torch.Generator().manual_seed(0)
    unit = EncoderGraph(codec).samples
    for batch, count in SIZES:
        wav = 0.3 * torch.randn(batch, codec.channels, count * unit, generator=generator)
        tokens = codec.encode(wav)
        codes = encode(wav)
        assert codes.shape == tokens.codes.shape
        assert (codes == tokens.codes).double().mean() >= 0.999
        audio = codec.decode(tokens)
        assert (decode(tokens.codes) - audio).abs().max() <= 1e-4 * audio.abs().max()


@pytest.mark.full
@pytest.mark.parametrize("name", NAMES)
def test_compiles_as_one_graph(name: str) -> None:
    codec = small_codec(name)
    encode, decode = (
        torch.compile(graph, fullgraph=True, dynamic=True, backend="eager")
        for graph in (EncoderGraph(codec), DecoderGraph(codec))
    )
    check(codec, encode, decode)


@pytest.mark.full
@pytest.mark.parametrize("name", ["vocable-16khz", *SLOW])
def test_exports_once_for_all_sizes(name: str) -> None:
    codec = small_codec(name)
    made = programs(codec)
    check(codec, made.encoder.module(), made.decoder.module())


@pytest.mark.full
def test_compiles_by_inductor() -> None:
    codec = small_codec("encodec-24khz")
    encode, decode = (torch.compile(g, fullgraph=True) for g in (EncoderGraph(codec), DecoderGraph(codec)))
    check(codec, encode, decode)


class Only(nn.Module):
    """What a layer gives, without its state."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)[0]


@pytest.mark.parametrize(
    "layer",
    [
        Conv1d(4, 4, 7, causal=True, pad_mode="reflect"),
        Conv1d(4, 4, 7, pad_mode="reflect"),
        LSTM(4),
        CausalTransformer(8, layers=1, heads=2, hidden=8, context=5),
    ],
    ids=["causal", "reflect", "lstm", "attention"],
)
@torch.no_grad()
def test_a_layer_in_a_graph_of_any_length(layer: nn.Module) -> None:
    """Short signals, which eager code treats apart, among them."""
    length, wide = torch.export.Dim("length", min=2), 8 if isinstance(layer, CausalTransformer) else 4
    program = torch.export.export(
        Only(layer.eval()),
        (torch.randn(2, wide, 30),),
        dynamic_shapes=({2: length},),
        strict=False,
        prefer_deferred_runtime_asserts_over_guards=True,
    ).module()
    for count in (2, 3, 4, 5, 6, 9, 10, 11, 100):
        x = torch.randn(2, wide, count)
        torch.testing.assert_close(program(x), layer(x)[0], rtol=0, atol=2e-6)


@pytest.mark.parametrize("n", [2, 4, 64, 640])
def test_fourier_transforms_by_matrices(n: int) -> None:
    """As the fast ones, which they stand for in a graph, and each other's inverse."""

    def both(frames: Tensor) -> tuple[Tensor, Tensor]:
        spec = torch.view_as_real(rfft(frames))
        return spec, irfft(torch.view_as_complex(spec), n)

    frames = torch.randn(3, 5, n)
    with torch.no_grad():
        spec, back = torch.compile(both, fullgraph=True, backend="eager")(frames)
    exact = torch.view_as_real(torch.fft.rfft(frames.double()))
    assert (spec - exact).abs().max() <= 2e-6 * exact.abs().max()
    assert (back - frames).abs().max() <= 4e-6
