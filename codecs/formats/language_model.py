"""EnCodec's language model of codes, which .ecdc files are entropy-coded with (https://arxiv.org/abs/2210.13438).

A file opens only where the model gives the very same probabilities as where it was written, down to the last
bit: the order of the sums, one product a codebook, and attention over all of the past at every step are part
of the format, and no faster form of them is possible. Machines and numbers of threads that round
differently can't read each other's files, as it is with the official package.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocable.codecs import cache
from vocable.codecs.convert import read_official
from vocable.codecs.zoo.keys import rename
from vocable.codecs.zoo.published import Source

_ROOT = "https://dl.fbaipublicfiles.com/encodec/v0/"
SOURCES = {
    "encodec-24khz": Source(f"{_ROOT}encodec_lm_24khz-1608e3c0.th", sha256="1608e3c0"),
    "encodec-48khz": Source(f"{_ROOT}encodec_lm_48khz-7add9fc3.th", sha256="7add9fc3"),
}
_SIZES = {"encodec-24khz": (32, 262), "encodec-48khz": (16, 525)}  # codebooks; frames of 3.5 s

_RULES = {
    r"emb\.(\d+)\.weight": r"embeddings.\1.weight",
    r"linears\.(\d+)\.(weight|bias)": r"heads.\1.\2",
    r"transformer\.norm_in\.(weight|bias)": r"norm.\1",
    r"transformer\.layers\.(\d+)\.self_attn\.(.+)": r"layers.\1.attention.\2",
    r"transformer\.layers\.(\d+)\.linear1\.(weight|bias)": r"layers.\1.up.\2",
    r"transformer\.layers\.(\d+)\.linear2\.(weight|bias)": r"layers.\1.down.\2",
    r"transformer\.layers\.(\d+)\.(norm[12])\.(weight|bias)": r"layers.\1.\2.\3",
}


class Past(NamedTuple):
    """What each layer saw, (B, up to `past_context`, D) each, and how many frames there have been."""

    inputs: list[Tensor]
    frames: int


class Layer(nn.Module):
    """Attention over the past, then a feed-forward of 4 D; normalised after each."""

    def __init__(self, dim: int, num_heads: int, past_context: int) -> None:
        super().__init__()
        self.past_context = past_context
        self.attention = nn.MultiheadAttention(dim, num_heads, batch_first=True)
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.up, self.down = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, N, D) after past (B, P, D): the output (B, N, D), and the past of what follows."""
        seen = torch.cat([past, x], dim=1)
        last = torch.arange(past.shape[1], seen.shape[1], device=x.device)[:, None]
        back = last - torch.arange(seen.shape[1], device=x.device)
        hidden = (back < 0) | (back > self.past_context)
        attended, _ = self.attention(x, seen, seen, attn_mask=hidden, need_weights=False)
        x = self.norm1(x + attended)
        return self.norm2(x + self.down(F.gelu(self.up(x)))), seen[:, -self.past_context :]


class LanguageModel(nn.Module):
    """The probabilities of a frame's codes, given the frames before it.

    past_context: frames of the past that each layer sees. dim: D.
    """

    def __init__(
        self,
        num_codebooks: int = 32,
        past_context: int = 262,
        codebook_size: int = 1024,
        dim: int = 200,
        num_layers: int = 5,
        num_heads: int = 8,
    ) -> None:
        super().__init__()
        self.dim, self.num_codebooks, self.codebook_size = dim, num_codebooks, codebook_size
        self.embeddings = nn.ModuleList(nn.Embedding(codebook_size + 1, dim) for _ in range(num_codebooks))
        self.norm = nn.LayerNorm(dim)
        self.layers = nn.ModuleList(Layer(dim, num_heads, past_context) for _ in range(num_layers))
        self.heads = nn.ModuleList(nn.Linear(dim, codebook_size) for _ in range(num_codebooks))

    def forward(self, before: Tensor, past: Past | None = None) -> tuple[Tensor, Past]:
        """The frame before each (B, K, N), 1 + its codes or 0 at the start, to probabilities (B, V, K, N).

        K: 1 to `num_codebooks`. past: of the frames up to now, None at the start.
        """
        used = before.shape[1]
        pairs = zip(self.embeddings[:used], before.unbind(1), strict=True)
        x = self.norm(sum(embed(row) for embed, row in pairs))
        if past is None:  # one vector of zeros, which the layers do see
            past = Past([torch.zeros_like(x[:, :1])] * len(self.layers), 0)
        x = x + self._positions(past.frames, x)
        inputs = []
        for layer, seen in zip(self.layers, past.inputs, strict=True):
            x, seen = layer(x, seen)
            inputs.append(seen)
        logits = torch.stack([head(x) for head in self.heads[:used]], dim=1).permute(0, 3, 1, 2)
        return logits.softmax(dim=1), Past(inputs, past.frames + before.shape[2])

    def _positions(self, start: int, x: Tensor) -> Tensor:
        """Cosines and sines of the positions from `start` on, (1, N, D), for x (B, N, D)."""
        half = self.dim // 2
        places = torch.arange(x.shape[1], device=x.device).view(1, -1, 1) + start
        channels = torch.arange(half, device=x.device).view(1, 1, -1)
        angles = places / (10000 ** (channels / (half - 1)))
        return torch.cat([angles.cos(), angles.sin()], dim=-1)


def state(checkpoint: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The official checkpoint's tensors under our names; ValueError for any that is not the model's."""
    return rename(checkpoint, _RULES)


def load_language_model(name: str, path: str | Path | None = None) -> LanguageModel:
    """The official model for the codec `name`, "encodec-24khz" or "encodec-48khz", in eval mode.

    path: its checkpoint at hand; None: from the cache, or downloaded.
    ValueError for another name, and a file that is not this model's; FileNotFoundError where there is none.
    """
    if name not in SOURCES:
        raise ValueError(f"no language model of {name!r}; accepted: {', '.join(SOURCES)}")
    try:
        found = cache.fetch(SOURCES[name], name) if path is None else Path(path)
    except FileNotFoundError as error:
        address, why = SOURCES[name].address, error.__cause__
        known = "a network, or load_language_model(name, path) with the file at hand"
        raise FileNotFoundError(f"no {address} ({why}); accepted: {known}") from error
    books, past_context = _SIZES[name]
    model = LanguageModel(books, past_context)
    try:
        model.load_state_dict(state(read_official(found)), strict=True)
    except (RuntimeError, AttributeError, TypeError) as error:
        raise ValueError(f"{found}: not the language model of {name!r}: {error}") from error
    return model.eval()
