"""SoundStream's encoder and decoder (https://arxiv.org/abs/2107.03312): a causal SEANet that can denoise.

The paper's counts of parameters, 8.4 million with 32 channels first and last, leave latents of 256 and
residual units whose dilated convolution halves the channels.
"""

import torch
from torch import Tensor, nn

from vocable.codecs.backbones.conv import State
from vocable.codecs.backbones.seanet import Layers, SEANetDecoder, SEANetEncoder

LAYERS = Layers(
    causal=True,
    norm="none",
    pad_mode="constant",
    residual=3,
    dilation_base=3,
    residual_kernel=7,
    true_skip=True,
)


class FiLM(nn.Module):
    """Latents (B, D, N) scaled and shifted by whether to denoise them (https://arxiv.org/abs/1709.07871).

    denoise: 1 for yes, 0 for no, or between; a tensor for other values by item and frame, (N,) or (B, N).
    A new layer leaves the latents as they are.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.linear = nn.Linear(2, 2 * dim)
        nn.init.zeros_(self.linear.weight)
        with torch.no_grad():
            self.linear.bias.copy_(torch.cat([torch.ones(dim), torch.zeros(dim)]))
        self.denoise: float | Tensor = 0.0

    def forward(self, z: Tensor) -> Tensor:
        denoise = torch.as_tensor(self.denoise, dtype=z.dtype, device=z.device)
        try:
            denoise = denoise.expand(z.shape[0], z.shape[-1])
        except RuntimeError:
            accepted = f"a number, ({z.shape[-1]},) or ({len(z)}, {z.shape[-1]})"
            raise ValueError(f"denoise is {tuple(denoise.shape)}; accepted: {accepted}") from None
        modes = torch.stack([1 - denoise, denoise], dim=-1)  # one-hot, where it is 0 or 1
        scale, shift = self.linear(modes).transpose(1, 2).chunk(2, dim=1)
        return z * scale + shift


class SoundStreamEncoder(SEANetEncoder):
    """Waveform (B, 1, T) to latents (B, latent_dim, ceil(T / hop_length)), causal.

    film: whether it can denoise, as its last step.
    """

    def __init__(
        self,
        dim: int = 32,
        strides: tuple[int, ...] = (2, 4, 5, 8),
        latent_dim: int = 256,
        film: bool = False,
    ):
        super().__init__(dim, strides, latent_dim, lstm=0, last_kernel=3, layers=LAYERS)
        self.film = FiLM(latent_dim) if film else nn.Identity()

    def forward(self, wav: Tensor, state: State = None) -> tuple[Tensor, State]:
        """wav (B, 1, T) to (B, D, N)."""
        z, state = super().forward(wav, state)
        return self.film(z), state


class SoundStreamDecoder(SEANetDecoder):
    """Latents (B, latent_dim, N) to a waveform (B, 1, N * hop_length), causal.

    film: whether it can denoise, as its first step.
    """

    def __init__(
        self,
        dim: int = 32,
        strides: tuple[int, ...] = (8, 5, 4, 2),
        latent_dim: int = 256,
        film: bool = False,
    ):
        super().__init__(dim, strides, latent_dim, lstm=0, layers=LAYERS)
        self.film = FiLM(latent_dim) if film else nn.Identity()

    def forward(self, z: Tensor, state: State = None) -> tuple[Tensor, State]:
        """z (B, D, N) to (B, 1, N * hop_length)."""
        return super().forward(self.film(z), state)
