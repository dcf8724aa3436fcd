"""What is kept of a step that failed."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor


def not_finite(
    folder: Path, step: int, name: str, batch: Tensor, values: Mapping[str, float], rank: int = 0
) -> FloatingPointError:
    """The error that ends a run whose value `name` is not finite; the batch is in `folder` for inspection."""
    path = keep_batch(folder, step, batch, values, rank)
    found = ", ".join(f"{key} {value:.4g}" for key, value in values.items())
    return FloatingPointError(
        f"step {step}: {name} or its loss is not finite ({found}); the batch is in {path}. Try a lower "
        "learning rate or precision 32-true, and resume=true from the last checkpoint"
    )


def keep_batch(folder: Path, step: int, batch: Tensor, values: Mapping[str, float], rank: int = 0) -> Path:
    """Write a batch (B, C, T) as `wav` to `folder`/step-N.safetensors, and its losses beside it as JSON.

    Of several ranks, those after the first add theirs to the name.
    """
    from safetensors.torch import save_file

    path = folder / (f"step-{step}.safetensors" if rank == 0 else f"step-{step}-rank-{rank}.safetensors")
    folder.mkdir(parents=True, exist_ok=True)
    wav = batch.detach().cpu().contiguous()
    save_file({"wav": wav}, path)
    peaks = [_plain(peak) for peak in wav.abs().flatten(1).amax(1).tolist()]
    found = {"step": step, "values": {name: _plain(value) for name, value in values.items()}, "peaks": peaks}
    path.with_suffix(".json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return path


def _plain(value: float) -> float | str:
    """JSON has no number that is not finite."""
    return value if math.isfinite(value) else str(value)
