"""What both sides of SemantiCodec's golden values begin with: weights, signals and inputs of its parts.

All of it is drawn from names by NumPy's older generator, whose numbers never change, and stored nowhere.
"""

import math
import zlib

import numpy as np
import torch
from torch import Tensor

RATES = (100, 50, 25)  # tokens a second
LENGTHS = (1, 100, 2560, 7679, 163840, 170001)
CENTROIDS, STEPS = 64, 2
TINY = {"dim": 32, "heads": 4, "unet": 32, "vae": 32, "vocoder": 32}
FULL = {"dim": 768, "heads": 12, "unet": 64, "vae": 128, "vocoder": 1024}


def normal(name: str, *shape: int) -> Tensor:
    """Random numbers that depend on `name` and the shape alone."""
    drawn = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    return torch.from_numpy(np.asarray(drawn, dtype=np.float32))


def fill(name: str, shape: tuple[int, ...]) -> Tensor:
    """The weights `name` of the encoder's or the decoder's checkpoint, lively enough for codes to differ."""
    x = normal(name, *shape)
    if name == "scale_factor":
        return torch.tensor(1.3)
    if name.endswith("initted"):
        return torch.ones(shape)
    if name.endswith(("cls_token", "pos_embed", "embed", "embed_avg")):
        return 0.5 * x
    if len(shape) > 1:
        gain = 8 if "weight_ih" in name else 5 if "output_linear" in name else 1
        return x * gain / math.prod(shape[1:]) ** 0.5
    return 1 + 0.1 * x if name.endswith(("weight", "cluster_size")) else 0.1 * x


def signal(length: int) -> Tensor:
    """A chirp and noise that swell, (length,)."""
    time = torch.arange(length, dtype=torch.float64) / 16_000
    chirp = torch.sin(2 * math.pi * (200 + 3000 * time / max(length / 16_000, 1)) * time)
    noise = normal(f"noise {length}", length) * (1 + torch.sin(4 * time))
    return (0.15 * chirp * (1 + torch.sin(9.4 * time)) + 0.05 * noise).float()


def part_inputs() -> dict[str, Tensor]:
    """Of the sub-networks, tiny: a spectrogram, noisy latents and their context, latents, a log mel."""
    return {
        "audiomae": normal("mel", 1, 1024, 128),
        "unet": normal("x", 2, 8, 16, 8),
        "context": normal("context", 2, 12, 256),
        "vae": normal("latents", 2, 8, 6, 4),
        "vocoder": normal("spectrogram", 2, 64, 7),
    }
