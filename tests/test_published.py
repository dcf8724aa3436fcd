"""Official files to codecs: found, checked, read safely, converted, cached; and the table of all of them."""

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from vocable.codecs import Codec, available, cache, cli, hub, load
from vocable.codecs.catalogue import catalogue
from vocable.codecs.convert import read_official
from vocable.codecs.zoo import dac, table
from vocable.codecs.zoo.keys import prefixed, rename
from vocable.codecs.zoo.published import Published, Source

TINY = {"sample_rate": 16000, "strides": [2, 5], "encoder_dim": 4, "latent_dim": 8, "decoder_dim": 16}
TINY |= {"num_codebooks": 3, "codebook_size": 16, "codebook_dim": 4}


def official(codec: Codec) -> dict[str, Tensor]:
    """The tensors of our DAC in the layout of its official files."""
    names = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    state = {}
    for key, value in codec.state_dict().items():
        for new, old in names.items():
            key = key.replace(new, old)
        key = key.replace("encoder.layers.layers", "encoder.block").replace(
            "decoder.layers.layers", "decoder.model"
        )
        key = key.replace("quantizer.layers", "quantizer.quantizers").replace(".layer.layers.", ".block.")
        key = key.replace(".layers.", ".block.")
        state[key if key.startswith("quantizer") else key.replace(".conv.", ".")] = value
    return state


@pytest.fixture
def entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Published:
    """A tiny DAC, published as a file of this machine under the name dac-tiny; the cache is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    torch.manual_seed(0)
    file = tmp_path / "weights_tiny.pth"
    torch.save({"state_dict": official(dac.dac(**TINY)), "metadata": {"kwargs": {"n": 3}}}, file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    template = table.published()["dac-16khz"]
    source = Source(file.as_uri(), sha256=digest[:8])
    made = replace(template, name="dac-tiny", options=TINY, sources=(source,))
    everything = table.published() | {"dac-tiny": made}
    monkeypatch.setattr(table, "published", lambda: everything)
    return made


def test_a_name_is_downloaded_converted_and_cached(entry: Published, tmp_path: Path) -> None:
    codec = load("dac-tiny")
    torch.manual_seed(0)
    wav = torch.rand(1, 1, 333) - 0.5
    torch.manual_seed(0)
    assert torch.equal(codec.encode(wav).codes, dac.dac(**TINY).eval().encode(wav).codes)
    assert codec.encode(wav).codec == "dac-tiny"
    (tmp_path / "weights_tiny.pth").unlink()
    for file in (tmp_path / "cache" / "vocable" / "files").rglob("*.pth"):
        file.unlink()
    again = load("dac-tiny")  # neither the network nor the official file is needed any more
    assert torch.equal(again.decode(again.encode(wav)), codec.decode(codec.encode(wav)))
    config = json.loads((cache.codec_folder("dac-tiny") / "config.json").read_text())
    assert config == {"_target_": "vocable.codecs.zoo.dac.dac", **TINY}


def test_without_network_and_cache_the_error_says_what_to_do(entry: Published, tmp_path: Path) -> None:
    (tmp_path / "weights_tiny.pth").unlink()
    with pytest.raises(FileNotFoundError) as caught:
        load("dac-tiny")
    message = str(caught.value)
    assert entry.sources[0].file in message
    assert str(tmp_path / "cache") in message
    assert "vocable convert FILE --as dac-tiny -o FOLDER" in message


def test_another_file_than_the_published_one_is_refused(entry: Published, tmp_path: Path) -> None:
    path = cache.fetch(entry.sources[0], "dac-tiny")
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match=f"SHA-256 is .*; accepted: {entry.sources[0].sha256}"):
        load("dac-tiny")
    assert not cache.codec_folder("dac-tiny").exists()


def damage(state: dict[str, Tensor], how: str) -> dict[str, Tensor]:
    key = "decoder.model.0.bias"
    if how == "extra":
        return state | {"discriminator.weight": torch.zeros(1)}
    if how == "missing":
        return {name: value for name, value in state.items() if name != key}
    return state | {key: torch.zeros(3)}


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("extra", "1 tensors that are not this codec's: discriminator.weight"),
        ("missing", r"1 missing \(decoder.layers.layers.0.conv.bias\)"),
        ("shape", r"1 of another shape \(decoder.layers.layers.0.conv.bias\)"),
    ],
)
def test_every_tensor_is_accounted_for(entry: Published, tmp_path: Path, how: str, message: str) -> None:
    file = tmp_path / "bad.pth"
    torch.save({"state_dict": damage(official(dac.dac(**TINY)), how)}, file)
    with pytest.raises(ValueError, match=message):
        hub.convert("dac-tiny", [file], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_convert_refuses_what_is_no_checkpoint(entry: Published, tmp_path: Path) -> None:
    file = tmp_path / "list.pth"
    torch.save([1, 2], file)
    with pytest.raises(ValueError, match="accepted: "):
        hub.convert("dac-tiny", [file], tmp_path / "out")
    with pytest.raises(ValueError, match="is given 2 files; accepted: those of file:"):
        hub.convert("dac-tiny", [file, file], tmp_path / "out")
    with pytest.raises(ValueError, match=r"no published codec 'dac'; accepted: .*dac-tiny"):
        hub.convert("dac", [file], tmp_path / "out")


class Attack:
    """Its pickle runs a command."""

    def __reduce__(self) -> Any:
        return os.system, ("touch attacked",)


def test_nothing_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Attack()}, "attack.pth")
    with pytest.raises(ValueError, match=r"attack\.pth: can't be read"):
        read_official("attack.pth")
    Path("short.safetensors").write_bytes(b"\x09")
    Path("wrong.json").write_text("{")
    for name in ("short.safetensors", "wrong.json"):
        with pytest.raises(ValueError, match="can't be read"):
            read_official(name)
    assert not Path("attacked").exists()


def test_convert_on_the_command_line(entry: Published, tmp_path: Path) -> None:
    command = ["convert", str(tmp_path / "weights_tiny.pth"), "--as", "dac-tiny", "-o", str(tmp_path / "out")]
    result = CliRunner().invoke(cli.app, command)
    assert result.exit_code == 0, result.output
    assert "1600 frames/s of 10 samples" in result.stdout
    assert load(tmp_path / "out").codebook_sizes == (16,) * 3
    again = CliRunner().invoke(cli.app, command)
    assert again.exit_code == 2
    assert "a new or empty folder" in " ".join(again.output.split())
    command[3] = "dac"
    command[-1] += "2"
    assert CliRunner().invoke(cli.app, command).exit_code == 1


def test_rename() -> None:
    one, two = torch.zeros(1), torch.ones(1)
    rules = {r"a\.(.+)": r"b.\1", r"(c)": r"\1"}
    assert rename({"a.weight_g": one, "c": two, "x.y": one}, rules, drop=(r"x\..*",)) == {
        "b.parametrizations.weight.original0": one,
        "c": two,
    }
    with pytest.raises(ValueError, match="1 tensors that are not this codec's: d"):
        rename({"c": one, "d": one}, rules)
    with pytest.raises(ValueError, match=r"'c' becomes 'b\.0', as another tensor does"):
        rename({"a.0": one, "c": two}, rules | {r"(c)": "b.0"})
    assert prefixed({"a.b": one, "c": two}, "a.") == {"b": one}
    with pytest.raises(ValueError, match=r"no tensor 'z\.'"):
        prefixed({"a.b": one}, "z.")


def test_codecs_without_official_weights_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = replace(table.published()["dac-16khz"], name="bare", sources=())
    monkeypatch.setattr(table, "published", lambda: {"bare": bare})
    assert "bare" not in available()
    with pytest.raises(
        ValueError, match=r"'bare' has no official weights; .*build it: vocable.codecs.zoo.dac.dac"
    ):
        load("bare")


def test_the_table_is_consistent() -> None:
    entries = table.published()
    assert len(entries) == len({entry.name for entry in entries.values()})
    assert [name for name, entry in entries.items() if name != entry.name] == []
    for entry in entries.values():
        assert json.loads(json.dumps(entry.config)) == entry.config
        assert entry.paper.startswith("https://")
        assert entry.licence
        for source in entry.sources:
            assert source.address.startswith("https://"), source
            assert set(source.sha256) <= set("0123456789abcdef")
    assert [row.name for row in catalogue()] == [*hub.builtin(), *entries]
