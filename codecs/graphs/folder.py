"""A folder with a codec as ONNX files that were checked, what they take and give, and how to run them."""

import json
import os
import shutil
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch

from vocable.codecs.codec import Codec
from vocable.codecs.graphs.agreement import Agreement, measure, speech_at
from vocable.codecs.graphs.modules import frame_multiple, programs
from vocable.codecs.graphs.onnx import DECODER, ENCODER, write_onnx

CARD, README = "codec.json", "README.md"


def export_onnx(
    codec: Codec, folder: str | Path, num_codebooks: int | None = None, licence: str = "not stated"
) -> Agreement:
    """Write `codec` as encoder.onnx, decoder.onnx, codec.json and README.md to `folder`, new or empty.

    The files take any batch and any whole number of frames. Before they stay, onnxruntime runs them on speech
    at several lengths and as a batch, against the codec: gives how closely they agree.
    num_codebooks: of the codes, from the first; None: all. licence: of the weights, for the card.
    Needs the extra `onnx`. ValueError for a folder that holds something, a codec that is not float32 on the
    CPU, one whose tokens hold more than codes, and for files that agree less than `Agreement.reached` asks.

    >>> export_onnx(load("vocable-16khz"), "vocable-onnx").codes
    1.0
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} exists; accepted: a new or empty folder")
    if odd := {f"{t.dtype} on {t.device}" for t in codec.parameters()} - {"torch.float32 on cpu"}:
        raise ValueError(f"weights are {', '.join(sorted(odd))}; accepted: torch.float32 on cpu")
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = folder.with_name(f".{uuid4().hex[:12]}.part")
    try:
        made.mkdir()
        write_onnx(programs(codec, num_codebooks), made)
        agreement = measure(codec, num_codebooks, made, speech_at(codec))
        if not agreement.reached:
            raise ValueError(f"onnxruntime: {agreement}; accepted: 99.9 % and 1.0e-04. Nothing was written.")
        card = _card(codec, num_codebooks, licence, agreement)
        (made / CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
        (made / README).write_text(_readme(card), encoding="utf-8")
        if folder.exists():
            folder.rmdir()
        os.replace(made, folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return agreement


def _card(codec: Codec, num_codebooks: int | None, licence: str, agreement: Agreement) -> dict[str, Any]:
    """What a program needs to know to use the files."""
    import onnxruntime

    books = codec.quantizer.check_num_codebooks(num_codebooks)
    return {
        "codec": codec.name,
        "weights": codec.weights,
        "licence": licence,
        "sample_rate": codec.sample_rate,
        "channels": codec.channels,
        "hop_length": codec.hop_length,
        "frame_multiple": frame_multiple(codec),
        "num_codebooks": books,
        "codebook_sizes": list(codec.codebook_sizes[:books]),
        "encoder": {"file": ENCODER, "input": "wav", "output": "codes"},
        "decoder": {"file": DECODER, "input": "codes", "output": "wav"},
        "agreement": {"codes": agreement.codes, "audio": agreement.audio},
        "made_with": {"torch": torch.__version__, "onnxruntime": onnxruntime.__version__},
    }


def _readme(card: dict[str, Any]) -> str:
    unit = card["hop_length"] * card["frame_multiple"]
    name, books, multiple = card["codec"] or "A codec", card["num_codebooks"], card["frame_multiple"]
    wav = f"`wav` float32 (B, {card['channels']}, "
    frames = "any" if multiple == 1 else f"multiples of {multiple}"
    agreement = Agreement(**card["agreement"])
    return f"""# {name} as ONNX

| file | input | output |
|---|---|---|
| `{ENCODER}` | {wav}T) in [-1, 1], {card["sample_rate"]} Hz | `codes` int64 (B, {books}, N) |
| `{DECODER}` | `codes` int64 (B, {books}, N), from 0 | {wav}N * {card["hop_length"]}) |

Any B of 1 or more. **T must be a multiple of {unit}**: pad the end with zeros, and cut what was decoded to
the length that went in. N is T / {card["hop_length"]}; the decoder takes {frames}.
Nothing checks this, nor that codes are below their codebooks' sizes, when the files run.

```python
import numpy as np, onnxruntime

wav = np.zeros((1, {card["channels"]}, {card["sample_rate"]}), np.float32)
padded = np.pad(wav, ((0, 0), (0, 0), (0, -wav.shape[-1] % {unit})))
codes = onnxruntime.InferenceSession("{ENCODER}").run(None, {{"wav": padded}})[0]
back = onnxruntime.InferenceSession("{DECODER}").run(None, {{"codes": codes}})[0]
back = back[..., : wav.shape[-1]]
```

Checked when they were made, on speech of several lengths and a batch of two, against PyTorch:
{agreement}.

Licence of the weights: {card["licence"]}. Their hash: `{card["weights"]}`.
`{CARD}` has the numbers.
"""
