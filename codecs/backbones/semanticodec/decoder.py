"""SemantiCodec's decoder (https://arxiv.org/abs/2405.00233): latent diffusion, VAE and vocoder."""

import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocable.codecs.backbones.conv import State, refuse_state
from vocable.codecs.backbones.semanticodec.diffusion import ddim
from vocable.codecs.backbones.semanticodec.encoder import SEGMENT
from vocable.codecs.backbones.semanticodec.hifigan import HiFiGAN
from vocable.codecs.backbones.semanticodec.unet import UNet
from vocable.codecs.backbones.semanticodec.vae import VAEDecoder
from vocable.codecs.backbones.windows import overlapping

POSITION = 192  # values of the context that say where a frame stands
SHARED = SEGMENT // 16  # samples that two windows have in common
LATENT = 8, 256, 16  # of a window: channels, time, frequency


class SemantiCodecDecoder(nn.Module):
    """z (B, D, N) to wav (B, 1, N * hop_length) at 16 kHz, drawn at random around what z says.

    Windows of 10.24 s fade into each other over 0.64 s. As officially, each is set where the one before it
    ends, and the vocoder gives 32 samples too many: sound comes 2 ms late for each 9.6 s before it.

    window: frames of a window.
    steps, guidance, seed: attributes that may be changed at any time. steps: of the diffusion, 1 to 500.
    guidance: how far to go from what the model draws of nothing to what it draws of z and beyond, 1: just to
    it, in half the time. seed: of the noise, the same for each item of a batch and on every device.
    """

    causal = False
    scale: Tensor

    def __init__(
        self,
        unet: UNet,
        vae: VAEDecoder,
        vocoder: HiFiGAN,
        window: int = 512,
        steps: int = 50,
        guidance: float = 2.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.unet, self.vae, self.vocoder = unet, vae, vocoder
        self.window, self.steps, self.guidance, self.seed = window, steps, guidance, seed
        self.hop_length = SEGMENT // window
        self.register_buffer("scale", torch.ones(()))  # of the latents that the diffusion has learned

    def forward(self, z: Tensor, state: State = None) -> tuple[Tensor, State]:
        refuse_state(state)
        wav = torch.cat(list(self.joined(self.windows([(z, True)]))), dim=-1)
        return wav[..., : z.shape[-1] * self.hop_length], None

    def windows(self, frames: Iterable[tuple[Tensor, bool]]) -> Iterator[Tensor]:
        """Frames in pieces (..., n) to overlapping windows, the last as short as what is left."""
        return (z for z, _ in overlapping(iter(frames), self.window, SHARED // self.hop_length))

    def joined(self, windows: Iterable[Tensor]) -> Iterator[Tensor]:
        """Windows (B, D, up to `window`) to wav (B, 1, t) in pieces, as long as whole windows are."""
        generator = torch.Generator().manual_seed(self.seed)
        tail: Tensor | None = None
        for z in windows:
            wav = self.sample(z, generator)
            if tail is not None:
                rise = torch.linspace(0, 1, SHARED, device=wav.device)
                both = tail * rise.flip(0) + wav[..., :SHARED] * rise
                wav = torch.cat([both, wav[..., SHARED:]], dim=-1)
            yield wav[..., :-SHARED]
            tail = wav[..., -SHARED:]
        if tail is not None:
            yield tail

    def sample(self, z: Tensor, generator: torch.Generator) -> Tensor:
        """One window z (B, D, up to `window`) to wav (B, 1, T), with the noise of `generator`."""
        guided = self.guidance != 1
        context = self.context(z, guided)
        memories = self.unet.read(context)

        def velocity(x: Tensor, time: int) -> Tensor:
            times = torch.full((len(context),), float(time), device=x.device)
            if not guided:
                return self.unet(x, times, memories)
            without, given = self.unet(torch.cat([x, x]), times, memories).chunk(2)
            return without + self.guidance * (given - without)

        def draw() -> Tensor:
            return torch.randn((1, *LATENT), generator=generator).to(z).expand(len(z), -1, -1, -1)

        return self.vocoder(self.vae(ddim(velocity, draw, self.steps) / self.scale).transpose(1, 2))

    def context(self, z: Tensor, guided: bool) -> Tensor:
        """z (B, D, up to `window`) with -1 after its end, and positions: (B, window, D + POSITION).

        guided: those of nothing at all come first, so that there are 2 B.
        """
        z = F.pad(z, (0, self.window - z.shape[-1]), value=-1.0).transpose(1, 2)
        z = torch.cat([torch.zeros_like(z), z]) if guided else z
        return torch.cat([z, sinusoids(self.window, POSITION).to(z).expand(len(z), -1, -1)], dim=-1)


def sinusoids(length: int, dim: int) -> Tensor:
    """(length, dim): sine and cosine in turn of each position (https://arxiv.org/abs/1706.03762)."""
    rates = torch.exp(torch.arange(0, dim, 2) * (-math.log(10_000.0) / dim))
    angles = torch.arange(length)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)
