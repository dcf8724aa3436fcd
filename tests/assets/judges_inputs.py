"""What both sides of the judges' golden values begin with: sizes, weights and signals, drawn from names."""

import math
import zlib

import numpy as np
import torch
from torch import Tensor

CONV = {"width": 16, "kernels": (10, 3, 3, 3, 3, 2, 2), "strides": (5, 2, 2, 2, 2, 2, 2)}
WAVLM = {"dim": 32, "hidden": 64, "heads": 4, "layers": 3, "pos": 16, "groups": 4, "buckets": 32, "far": 80}
HEAD = {"channels": 16, "embedding": 24}
# the official class has 12 layers and convolves positions in 16 groups of 128, whatever the other sizes
UTMOS = {"dim": 32, "hidden": 64, "heads": 4, "embedding": 6, "lstm": 8, "projection": 10}
LENGTHS = {"utmos": (400, 8000, 16_007), "speaker": (720, 8000, 16_007)}  # samples, from the fewest accepted


def normal(name: str, *shape: int) -> Tensor:
    """Random numbers of NumPy's older generator, which never change, by `name` and the shape alone."""
    drawn = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    return torch.from_numpy(np.asarray(drawn, dtype=np.float32))


def fill(name: str, shape: tuple[int, ...]) -> Tensor:
    """The weights `name` of a checkpoint, lively enough for every one of them to matter."""
    x = normal(name, *shape)
    if name.endswith("num_batches_tracked"):
        return torch.tensor(7)
    if name.endswith("running_var"):
        return (0.3 * x).exp()
    if name.endswith(("_emb", "feature_weight", "running_mean")):
        return 0.5 * x
    if name.endswith(("weight_g", "grep_a")):
        return 1 + 0.2 * x
    if len(shape) > 1:
        return x / math.prod(shape[1:]) ** 0.5 * (2 if "q_proj" in name or "attention_bias" in name else 1)
    return 1 + 0.2 * x if name.endswith("weight") else 0.2 * x


def signal(length: int) -> Tensor:
    """A chirp and noise that swell, (length,), of 16 kHz."""
    time = torch.arange(length, dtype=torch.float64) / 16_000
    chirp = torch.sin(2 * math.pi * (200 + 2000 * time) * time)
    return (0.2 * chirp * (1 + torch.sin(9.4 * time)) + 0.05 * normal(f"noise {length}", length)).float()
