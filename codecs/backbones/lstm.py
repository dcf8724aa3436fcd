"""LSTM over frames, as in the middle of EnCodec (https://arxiv.org/abs/2210.13438)."""

import torch
from torch import Tensor, nn

from vocable.codecs.backbones.conv import State, Stateful, refuse_state


class LSTM(Stateful):
    """x + LSTM(x), (B, dim, N) -> (B, dim, N).

    bidirectional: (B, 2 * dim, N), the two directions side by side, x added to each; not causal.
    """

    def __init__(self, dim: int, layers: int = 2, bidirectional: bool = False):
        super().__init__()
        self.lstm = nn.LSTM(dim, dim, layers, bidirectional=bidirectional)
        self.causal = not bidirectional

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """x (B, dim, N); state (h, c), each (layers, B, dim)."""
        if not self.causal:
            refuse_state(state)
        x = x.permute(2, 0, 1)
        y, after = self.lstm(x, state)
        skip = x if self.causal else torch.cat([x, x], -1)
        return (y + skip).permute(1, 2, 0), after if self.causal else None
