"""Tokens know the weights that they were made with."""

import hashlib
import struct
from pathlib import Path
from typing import Any

import pytest
import torch

from vocable.codecs import Codec, Tokens, load, save
from vocable.codecs.weights import fingerprint


def test_other_weights_are_refused_unless_asked(codec: Codec, node: dict[str, Any], tmp_path: Path) -> None:
    save(codec, node, tmp_path / "a")
    first, again = load(tmp_path / "a"), load(tmp_path / "a")
    assert first.weights == again.weights == codec.weights == fingerprint(codec.state_dict())
    tokens = first.encode(torch.zeros(1, 1, 95))
    assert tokens.weights == first.weights
    tokens.save(tmp_path / "a.voc")
    tokens = Tokens.load(tmp_path / "a.voc")
    wav = again.half().float().decode(tokens)  # a cast is not other weights
    with torch.no_grad():
        next(iter(codec.decoder.parameters())).add_(1)
    codec.train().eval()
    with pytest.raises(ValueError, match=f"{first.weights}; accepted: this codec's, {codec.weights}"):
        codec.decode(tokens)
    assert codec.decode(tokens, any_weights=True).shape == wav.shape
    assert codec.decode(tokens.codes).shape == (1, 1, 100)  # bare codes have no weights
    codec.load_state_dict({name: torch.zeros_like(value) for name, value in codec.state_dict().items()})
    assert codec.weights == fingerprint(codec.state_dict()) != first.weights


def test_fingerprint_is_of_values_in_a_written_order() -> None:
    state = {"b": torch.tensor([[1.0, -2.0]]), "a": torch.tensor(3)}
    text = b"a\0[]\0" + struct.pack("<q", 3) + b"b\0[1,2]\0" + struct.pack("<ff", 1, -2)
    assert fingerprint(state) == hashlib.sha256(text).hexdigest()
    assert fingerprint({"a": state["a"].int(), "b": state["b"].bfloat16()}) == fingerprint(state)
    assert fingerprint({**state, "a": torch.tensor(4)}) != fingerprint(state)
    assert fingerprint({**state, "b": state["b"].T}) != fingerprint(state)
