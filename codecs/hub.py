"""Codec folders, config.json beside model.safetensors: load and save, by name, path or hub id."""

import json
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vocable.codecs import cache
from vocable.codecs.backbones.conv import fold_weight_norm
from vocable.codecs.build import build
from vocable.codecs.codec import Codec
from vocable.codecs.convert import official_state
from vocable.codecs.files import replacing
from vocable.codecs.weights import fingerprint
from vocable.codecs.zoo import table

CONFIG, WEIGHTS = "config.json", "model.safetensors"
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
_HUB_ID = re.compile(r"([\w-][\w.-]*/[\w-][\w.-]*)(?:@([\w./-]+))?")


def available() -> list[str]:
    """The names that `load` knows: the codecs inside the package, then the published ones."""
    return [*builtin(), *(entry.name for entry in table.published().values() if entry.sources)]


def builtin() -> list[str]:
    """The names of the codecs inside the package, which need no network."""
    return sorted(name for name, folder in _builtin().items() if (folder / WEIGHTS).is_file())


def load(
    name_or_path: str | Path,
    device: torch.device | str = "cpu",
    trusted: tuple[str, ...] = ("vocable.",),
    revision: str | None = None,
    dtype: torch.dtype = torch.float32,
) -> Codec:
    """A codec ready to use: eval mode, weight norm folded.

    name_or_path: a name of `available()`, a folder, or a hub id, owner/repo or owner/repo@revision. A
        published codec's official weights are downloaded and converted once, then kept in the cache.
    trusted: prefixes of what its config may build, for quantizers and backbones of one's own.
    revision: of a hub id alone, a branch, tag or commit. The hub is asked first, its cache serves offline.
    dtype: of the weights, torch.float32, float16 or bfloat16; audio stays float32, and so do a codebook's
        distances and Fourier transforms.
    ValueError for an unknown name, an untrusted target, a damaged file, tensors that don't fit the config,
    and another dtype; FileNotFoundError where a folder or a repository lacks a file, or can't be reached;
    ImportError where the codec needs an extra of this package.

    >>> codec = load("vocable-16khz")
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype is {dtype}; accepted: {', '.join(map(str, DTYPES))}")
    folder, name = find(name_or_path, revision)
    config, state = read(folder)
    codec = _blank(config, state, trusted, str(folder))
    codec.load_state_dict(state, strict=True)
    fold_weight_norm(codec)
    codec._weights = fingerprint(state)  # before they were folded, which rounds as the machine does
    codec.name = name or codec.name
    return codec.eval().to(device, dtype)


def read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The config and the tensors in a codec's folder; ValueError where they are damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return json.loads((folder / CONFIG).read_text(encoding="utf-8")), load_file(folder / WEIGHTS)
    except (SafetensorError, ValueError, RecursionError) as error:
        known = "JSON and whole safetensors"
        raise ValueError(f"{folder}: {CONFIG} or {WEIGHTS} is damaged: {error}; accepted: {known}") from error


def save(
    codec: Codec, config: dict[str, Any], folder: str | Path, trusted: tuple[str, ...] = ("vocable.",)
) -> None:
    """Write `codec` to `folder`, made where it is missing, to be loaded again.

    config: the node that builds it: a tree for JSON, with `_target_`. trusted: as for `load`.
    ValueError, and nothing written, where it is not JSON, is not trusted or builds another codec.
    """
    from safetensors.torch import save as to_bytes

    state = {key: value.detach().cpu().clone().contiguous() for key, value in codec.state_dict().items()}
    try:
        text = json.dumps(config, indent=2, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the config is not JSON: {error}; accepted: text, numbers, lists, dicts") from error
    _blank(json.loads(text), state, trusted, "the codec to save")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / WEIGHTS) as weights, replacing(folder / CONFIG) as node:
        weights.write_bytes(to_bytes(state))
        node.write_text(text + "\n", encoding="utf-8")


def _blank(config: Any, state: dict[str, Tensor], trusted: tuple[str, ...], what: str) -> Codec:
    """The codec of `config`, not yet loaded; ValueError unless `state` has all its tensors and no other."""
    with torch.random.fork_rng(devices=[]):  # the initial weights go: the caller's random numbers stay
        codec = build(config, trusted)
    if not isinstance(codec, Codec):
        raise ValueError(f"{what}: the config builds a {type(codec).__name__}; accepted: a Codec")
    if not any(".parametrizations." in key for key in state):
        fold_weight_norm(codec)  # a codec that was loaded, and so folded, before it was saved
    own = codec.state_dict()
    odd = {
        "missing": sorted(own.keys() - state.keys()),
        "unexpected": sorted(state.keys() - own.keys()),
        "of another shape": sorted(k for k in own.keys() & state.keys() if own[k].shape != state[k].shape),
    }
    if any(odd.values()):
        found = "; ".join(f"{len(keys)} {word} ({', '.join(keys[:5])})" for word, keys in odd.items() if keys)
        raise ValueError(
            f"{what}: its tensors don't fit the config: {found}; accepted: {len(own)} named by it"
        )
    return codec


def find(name: str | Path, revision: str | None) -> tuple[Path, str]:
    """The folder of a built-in, a path or a hub id, and the name that finds it anywhere, "" for a path."""
    text = str(name)
    folder, known = Path(name).expanduser(), isinstance(name, str) and text in available()
    if revision is not None and (known or folder.is_dir()):
        raise ValueError(f"revision is {revision!r} for {text!r}; accepted: None, but for a hub id")
    if known:
        return _builtin().get(text) or _published(text), text
    if entry := table.published().get(text):
        raise ValueError(
            f"{text!r} has no official weights; accepted: {', '.join(available())}. "
            f"To train it, build it: {entry.config['_target_']}"
        )
    if text and folder.is_dir():  # Path("") is the working directory
        return _checked(folder), ""
    match = _HUB_ID.fullmatch(text) if isinstance(name, str) else None
    if match is None:
        known = ", ".join((*available(), "a folder", "a hub id owner/repo"))
        raise ValueError(f"no codec {text!r}; accepted: {known}")
    if revision is not None and match[2] not in (None, revision):
        raise ValueError(f"revision is {revision!r} for {text!r}; accepted: one of the two")
    revision = revision or match[2]
    return _download(match[1], revision), f"{match[1]}@{revision}" if revision else match[1]


def _checked(folder: Path) -> Path:
    if missing := [file for file in (CONFIG, WEIGHTS) if not (folder / file).is_file()]:
        raise FileNotFoundError(f"{folder} has no {' and no '.join(missing)}")
    return folder


def _download(repo: str, revision: str | None) -> Path:
    """A hub repository's files, from the local cache or the network."""
    from huggingface_hub import constants, snapshot_download

    try:
        found = snapshot_download(repo, revision=revision, allow_patterns=[CONFIG, WEIGHTS, "README.md"])
    except Exception as error:  # the hub's, the HTTP library's and the system's, which vary by version
        where = f"{repo}@{revision}" if revision else repo
        kinds = f"no folder, not on the hub or not reachable, not in the cache {constants.HF_HUB_CACHE}"
        raise FileNotFoundError(f"codec {where!r}: {kinds}: {type(error).__name__}: {error}") from error
    return _checked(Path(found))


def _published(name: str) -> Path:
    """The folder of a published codec, made of its official files when it is first asked for."""
    folder = cache.codec_folder(name)
    if not all((folder / file).is_file() for file in (CONFIG, WEIGHTS)):
        entry = table.published()[name]
        convert(name, [cache.fetch(source, name) for source in entry.sources], folder)
    return folder


def convert(name: str, files: Sequence[str | Path], folder: str | Path) -> Codec:
    """Write the published codec `name` to `folder`, from its official files at hand; gives the codec.

    ValueError, and nothing written, for an unknown name and for files that are not this codec's.
    """
    if name not in table.published():
        raise ValueError(f"no published codec {name!r}; accepted: {', '.join(table.published())}")
    entry = table.published()[name]
    state = official_state(entry, files)
    codec = _blank(entry.config, state, ("vocable.",), str(files[0]))
    codec.load_state_dict(state, strict=True)
    save(codec, entry.config, folder)
    return codec


def _builtin() -> dict[str, Path]:
    root = Path(str(resources.files("vocable.codecs.pretrained")))
    return {folder.name: folder for folder in root.iterdir() if folder.is_dir()}
