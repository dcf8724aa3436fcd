"""Codec folders: save, load, names, hub ids."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from vocable.codecs import Codec, available, hub, load, save
from vocable.codecs.build import build
from vocable.quantizers.fsq import FSQ

WAV = torch.rand(1, 1, 333, generator=torch.Generator().manual_seed(0)) - 0.5


class MyFSQ(FSQ):
    """A quantizer of the user's own."""


@pytest.fixture
def folder(codec: Codec, node: dict[str, Any], tmp_path: Path) -> Path:
    save(codec, node, tmp_path / "mine")
    return tmp_path / "mine"


def same(a: Codec, b: Codec) -> None:
    codes = a.encode(WAV).codes
    assert torch.equal(b.encode(WAV).codes, codes)
    torch.testing.assert_close(b.decode(codes), a.decode(codes), rtol=0, atol=1e-5)


def test_save_then_load(codec: Codec, folder: Path) -> None:
    loaded = load(folder)
    same(codec, loaded)
    assert not loaded.training
    assert not any("parametrizations" in key for key in loaded.state_dict())
    assert any("parametrizations" in key for key in codec.state_dict())
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    same(codec, load(str(folder)))


def test_a_loaded_codec_saves_and_loads(node: dict[str, Any], folder: Path, tmp_path: Path) -> None:
    loaded = load(folder)
    save(loaded, node, tmp_path / "again")
    again = load(tmp_path / "again")
    same(loaded, again)
    assert again.state_dict().keys() == loaded.state_dict().keys()


def test_load_leaves_random_numbers_alone(folder: Path) -> None:
    torch.manual_seed(3)
    want = torch.rand(4)
    torch.manual_seed(3)
    load(folder)
    assert torch.equal(torch.rand(4), want)


def test_half_precision_weights_load_as_float32(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    save_file(
        {k: v.half() if v.is_floating_point() else v for k, v in state.items()}, folder / "model.safetensors"
    )
    assert {p.dtype for p in load(folder).parameters()} == {torch.float32}


def test_names(codec: Codec, node: dict[str, Any], tmp_path: Path) -> None:
    save(codec, node | {"name": "mine"}, tmp_path)
    assert load(tmp_path).encode(WAV).codec == "mine"
    assert all(load(name).name == name for name in hub.builtin())


def test_ones_own_quantizer(node: dict[str, Any], tmp_path: Path) -> None:
    own = node | {"quantizer": {"_target_": f"{__name__}.MyFSQ", "dim": 8, "levels": [4, 4]}}
    trusted = ("vocable.", __name__ + ".")
    codec = build(own, trusted).eval()
    with pytest.raises(ValueError, match=r"config\.quantizer: .* is not trusted"):
        save(codec, own, tmp_path)
    save(codec, own, tmp_path, trusted)
    with pytest.raises(ValueError, match=r"config\.quantizer: .* is not trusted"):
        load(tmp_path)
    loaded = load(tmp_path, trusted=trusted)
    assert isinstance(loaded.quantizer, MyFSQ)
    same(codec, loaded)


def test_save_refuses_a_config_of_another_codec(codec: Codec, node: dict[str, Any], tmp_path: Path) -> None:
    wider = node | {"encoder": node["encoder"] | {"dim": 5}}
    with pytest.raises(ValueError, match="of another shape"):
        save(codec, wider, tmp_path / "a")
    fewer = node | {"quantizer": node["quantizer"] | {"layers": node["quantizer"]["layers"][:2]}}
    with pytest.raises(ValueError, match=r"unexpected \(quantizer\.layers\.2\."):
        save(codec, fewer, tmp_path / "a")
    with pytest.raises(ValueError, match="config builds a dict; accepted: a Codec"):
        save(codec, {}, tmp_path / "a")
    with pytest.raises(ValueError, match="not JSON"):
        save(codec, node | {"name": Path("x")}, tmp_path / "a")
    with pytest.raises(ValueError, match="not JSON"):
        save(codec, node | {"name": float("nan")}, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_load_refuses_missing_and_unexpected_tensors(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    gone = sorted(state)[0]
    value = state.pop(gone)
    save_file(state, folder / "model.safetensors")
    with pytest.raises(ValueError, match=rf"1 missing \({gone}\)"):
        load(folder)
    save_file(state | {gone: value, "more": value.clone()}, folder / "model.safetensors")
    with pytest.raises(ValueError, match=r"1 unexpected \(more\)"):
        load(folder)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", b"{"),
        ("config.json", b"[" * 100_000),
        ("config.json", b"\xff"),
        ("config.json", b"[]"),
        ("config.json", b'{"_target_": "os.getcwd"}'),
        ("model.safetensors", b""),
        ("model.safetensors", b"\xff" * 100),
    ],
)
def test_damaged_folders_are_refused(folder: Path, file: str, content: bytes) -> None:
    (folder / file).write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged|not trusted|builds a list"):
        load(folder)


def test_truncated_weights_are_refused(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:-1])
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged"):
        load(folder)


def test_unknown_names(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ValueError, match=r"no codec 'nothing'; accepted: .*a folder, a hub id owner/repo"):
        load("nothing")
    with pytest.raises(ValueError, match="no codec"):
        load(tmp_path / "owner" / "repo")
    (folder / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no config\.json"):
        load(folder)


def test_hub_ids(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def download(repo: str, **options: Any) -> str:
        asked.append({"repo": repo, **options})
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    names = [load("o/r").name, load("o/r@v1").name, load("o/r", revision="v2").name]
    assert names == ["o/r", "o/r@v1", "o/r@v2"]
    assert [(ask["repo"], ask["revision"]) for ask in asked] == [("o/r", None), ("o/r", "v1"), ("o/r", "v2")]
    assert asked[0]["allow_patterns"] == ["config.json", "model.safetensors", "README.md"]
    with pytest.raises(ValueError, match="revision is 'v2' for 'o/r@v1'"):
        load("o/r@v1", revision="v2")


def test_hub_cache_serves_offline(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    constants = pytest.importorskip("huggingface_hub").constants
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    cached = tmp_path / "cache" / "models--owner--repo"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("a" * 40)
    (cached / "snapshots").mkdir()
    folder.rename(cached / "snapshots" / ("a" * 40))
    assert load("owner/repo").name == "owner/repo"
    with pytest.raises(FileNotFoundError, match=r"codec 'owner/other@x'.*not in the cache .*cache"):
        load("owner/other@x")


def test_available_lists_whole_folders() -> None:
    assert available()[: len(hub.builtin())] == hub.builtin()
    for name in hub.builtin():
        config = json.loads((hub._builtin()[name] / "config.json").read_text())
        assert config["_target_"].startswith("vocable.")
