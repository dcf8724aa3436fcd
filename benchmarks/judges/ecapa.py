"""ECAPA-TDNN (https://arxiv.org/abs/2005.07143), from features of speech to an embedding of the speaker."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SCALE, DILATIONS = 8, (2, 3, 4)


def unit(inputs: int, outputs: int, kernel: int = 1, dilation: int = 1) -> nn.Sequential:
    """(B, inputs, N) to (B, outputs, N)."""
    padding = (kernel - 1) * dilation // 2
    conv = nn.Conv1d(inputs, outputs, kernel, padding=padding, dilation=dilation)
    return nn.Sequential(conv, nn.ReLU(), nn.BatchNorm1d(outputs))


class Res2(nn.Module):
    """Groups of channels, each but the last through a unit that also hears the group before's result."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        width = channels // SCALE
        self.units = nn.ModuleList(unit(width, width, 3, dilation) for _ in range(SCALE - 1))

    def forward(self, x: Tensor) -> Tensor:
        *groups, last = x.chunk(SCALE, 1)
        made = [self.units[0](groups[0])]
        for group, one in zip(groups[1:], list(self.units)[1:], strict=True):
            made.append(one(group + made[-1]))
        return torch.cat([*made, last], 1)


class SqueezeExcite(nn.Module):
    """Channels weighed by a function of their means over time."""

    def __init__(self, channels: int, bottleneck: int = 128) -> None:
        super().__init__()
        layers = nn.Linear(channels, bottleneck), nn.ReLU(), nn.Linear(bottleneck, channels), nn.Sigmoid()
        self.gate = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x.mean(2))[..., None]


class Block(nn.Module):
    """The three of them, with a way around."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            unit(channels, channels),
            Res2(channels, dilation),
            unit(channels, channels),
            SqueezeExcite(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class AttentiveStatistics(nn.Module):
    """(B, C, N) to (B, 2 * C): mean and deviation over time, by weights of the frames for each channel."""

    def __init__(self, channels: int, hidden: int = 128) -> None:
        super().__init__()
        self.attention = nn.Sequential(
            nn.Conv1d(channels, hidden, 1), nn.Tanh(), nn.Conv1d(hidden, channels, 1), nn.Softmax(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        weights = self.attention(x)
        mean = (weights * x).sum(2)
        variance = (weights * x.square()).sum(2) - mean.square()
        return torch.cat([mean, variance.clamp(min=1e-9).sqrt()], 1)


class ECAPA(nn.Module):
    """(B, dim, N) to (B, embedding), of UniSpeech's sizes; its pooling is without global context.

    channels: of the blocks, a multiple of 8. pooled: of what is pooled.
    """

    def __init__(self, dim: int, channels: int = 512, pooled: int = 1536, embedding: int = 256) -> None:
        super().__init__()
        self.first = unit(dim, channels, 5)
        self.blocks = nn.ModuleList(Block(channels, dilation) for dilation in DILATIONS)
        self.mix = nn.Conv1d(len(DILATIONS) * channels, pooled, 1)
        self.pool = AttentiveStatistics(pooled)
        self.norm = nn.BatchNorm1d(2 * pooled)
        self.out = nn.Linear(2 * pooled, embedding)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        outputs = []
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        pooled = self.pool(F.relu(self.mix(torch.cat(outputs, 1))))
        return self.out(self.norm(pooled))


# from the names of UniSpeech's ecapa_tdnn.py, where layer 1 is the first unit and layers 2 to 4 the blocks
_PARTS = {
    r"Conv1dReluBn1\.conv\.(.+)": r"0.0.\1",
    r"Conv1dReluBn1\.bn\.(.+)": r"0.2.\1",
    r"Res2Conv1dReluBn\.convs\.(\d)\.(.+)": r"1.units.\1.0.\2",
    r"Res2Conv1dReluBn\.bns\.(\d)\.(.+)": r"1.units.\1.2.\2",
    r"Conv1dReluBn2\.conv\.(.+)": r"2.0.\1",
    r"Conv1dReluBn2\.bn\.(.+)": r"2.2.\1",
    r"SE_Connect\.linear1\.(.+)": r"3.gate.0.\1",
    r"SE_Connect\.linear2\.(.+)": r"3.gate.2.\1",
}
RULES = {
    r"layer1\.conv\.(.+)": r"first.0.\1",
    r"layer1\.bn\.(.+)": r"first.2.\1",
    **{
        rf"layer{index + 2}\.{theirs}": f"blocks.{index}.layers.{ours}"
        for index in range(len(DILATIONS))
        for theirs, ours in _PARTS.items()
    },
    r"conv\.(weight|bias)": r"mix.\1",
    r"pooling\.linear1\.(.+)": r"pool.attention.0.\1",
    r"pooling\.linear2\.(.+)": r"pool.attention.2.\1",
    r"bn\.(.+)": r"norm.\1",
    r"linear\.(weight|bias)": r"out.\1",
}
