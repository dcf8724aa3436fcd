"""ONNX files of a codec against the codec itself, in onnxruntime."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from vocable.benchmarks.small import small_codec
from vocable.codecs import Codec, load
from vocable.codecs.backbones.conv import State, Stateful
from vocable.codecs.backbones.seanet import Layers, SEANetDecoder, SEANetEncoder
from vocable.codecs.graphs import export_onnx
from vocable.codecs.graphs.agreement import Session, measure, speech_at
from vocable.codecs.zoo.encodec import encodec_48khz
from vocable.quantizers.rvq import ema_rvq

for package in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package)

LAYERS = Layers(causal=True, residual=0)
SMALL = ("vocable-16khz", "dac-16khz", "encodec-24khz", "snac-24khz", "snac-44khz", "mimi")


def tiny(decoder: Any = None) -> Codec:
    """One stride, an LSTM and reflected ends at either side: what is hardest to export, and little else."""
    torch.manual_seed(0)
    encoder = SEANetEncoder(4, (2,), 8, lstm=1, layers=LAYERS)
    decoder = decoder or SEANetDecoder(4, (2,), 8, lstm=1, layers=LAYERS)
    return Codec(encoder, ema_rvq(8, 2, 16), decoder, 1000, name="tiny").eval()


class Noisy(Stateful):
    """A decoder that never gives the same twice."""

    hop_length, causal = 2, False

    def forward(self, z: Tensor, state: State = None) -> tuple[Tensor, State]:
        wav = z[:, :1].repeat_interleave(2, -1)
        return wav + torch.rand_like(wav), None


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Codec, Path]:
    codec, folder = tiny(), tmp_path_factory.mktemp("onnx") / "tiny"
    agreement = export_onnx(codec, folder, licence="MIT")
    assert agreement.reached
    assert agreement == tuple(json.loads((folder / "codec.json").read_text())["agreement"].values())
    return codec, folder


@pytest.mark.parametrize(("batch", "frames"), [(1, 1), (2, 1), (1, 2), (3, 5), (1, 1234)])
def test_any_batch_and_length_is_as_in_torch(batch: int, frames: int, exported: tuple[Codec, Path]) -> None:
    codec, folder = exported
    wav = torch.randn(batch, 1, 2 * frames, generator=torch.Generator().manual_seed(frames))
    tokens = codec.encode(wav)
    codes = Session(folder / "encoder.onnx")(wav)
    assert (codes == tokens.codes).double().mean() >= 0.999
    audio = codec.decode(tokens)
    error = (Session(folder / "decoder.onnx")(tokens.codes) - audio).abs().max()
    assert error <= 1e-4 * audio.abs().max()


def test_the_card_and_its_example(exported: tuple[Codec, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    codec, folder = exported
    card = json.loads((folder / "codec.json").read_text())
    assert card["weights"] == codec.weights
    assert (card["licence"], card["sample_rate"], card["hop_length"]) == ("MIT", 1000, 2)
    assert (card["num_codebooks"], card["codebook_sizes"], card["frame_multiple"]) == (2, [16, 16], 1)
    example = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    assert example is not None
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    exec(example[1], names)
    assert names["back"].shape == names["wav"].shape == (1, 1, 1000)


def test_disagreement_is_seen(exported: tuple[Codec, Path]) -> None:
    codec, folder = exported
    other = tiny()
    with torch.no_grad():
        other.quantizer.layers[0].embed.mul_(1.01)  # type: ignore[union-attr, index, operator]
    assert measure(codec, None, folder, speech_at(codec)).reached
    assert not measure(other, None, folder, speech_at(other)).reached


@pytest.mark.full  # another export
def test_files_that_disagree_do_not_stay(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"% of codes equal, audio to .*; accepted: 99.9 %"):
        export_onnx(tiny(Noisy()), tmp_path / "noisy")
    assert not list(tmp_path.iterdir())


def test_what_can_not_be_exported_is_refused(tmp_path: Path) -> None:
    scaled = encodec_48khz(dim=1, ratios=(2,), num_codebooks=1, codebook_size=2).eval()
    with pytest.raises(ValueError, match="codec is a SegmentedCodec, whose tokens hold scales"):
        export_onnx(scaled, tmp_path / "scaled")
    with pytest.raises(ValueError, match=r"weights are torch\.bfloat16 on cpu; accepted: torch\.float32"):
        export_onnx(tiny().bfloat16(), tmp_path / "half")
    with pytest.raises(ValueError, match="in training mode"):
        export_onnx(tiny().train(), tmp_path / "training")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note.txt").touch()
    with pytest.raises(ValueError, match="full exists; accepted: a new or empty folder"):
        export_onnx(tiny(), tmp_path / "full")
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


@pytest.mark.full
@pytest.mark.parametrize("name", SMALL)
def test_reduced_codecs(name: str, tmp_path: Path) -> None:
    assert export_onnx(small_codec(name), tmp_path / name).reached


@pytest.mark.full
def test_the_built_in_by_the_command_line(tmp_path: Path) -> None:
    import subprocess
    import sys

    command = [str(Path(sys.executable).with_name("vocable")), "export"]
    made = [*command, "--onnx", "vocable-16khz", "-o", str(tmp_path / "built-in"), "--codebooks", "4"]
    done = subprocess.run(made, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "% of codes equal" in done.stdout
    codec = load("vocable-16khz")
    wav = torch.randn(1, 1, 3200)
    codes = Session(tmp_path / "built-in" / "encoder.onnx")(wav)
    assert (codes == codec.encode(wav, num_codebooks=4).codes).double().mean() >= 0.999
