"""A codec's parts: encoder, quantizer, decoder, and a signal's way through them in pieces."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocable.codecs import signal
from vocable.codecs.backbones.pieces import Tiles, frames_at_once, through
from vocable.codecs.coded import Coded
from vocable.codecs.precision import as_weights, cast_input
from vocable.codecs.weights import fingerprint
from vocable.quantizers.base import Quantizer


class CodecOutput(NamedTuple):
    """What a training pass gives: wav (B, C, T), codes (B, K, N), the quantizer's loss and metrics.

    z: quantized latents (B, D, N). first: those of the first codebook alone. used: how many codebooks each
    item was decoded from, (B,). The last two are None where the quantizer does not tell them.
    """

    wav: Tensor
    codes: Tensor
    loss: Tensor
    metrics: dict[str, Tensor]
    z: Tensor | None = None
    first: Tensor | None = None
    used: Tensor | None = None


class Coder(nn.Module):
    """Built parts behind one another: what training, streams and graphs need of a codec.

    encoder: `encoder(wav, state=None) -> (z (B, D, N), state)`, N = T / hop_length.
    decoder: `decoder(z, state=None) -> (wav (B, C, T), state)`. Both have `hop_length`, in samples.
    sample_rate: Hz, 1000 to 768000. channels: C, 1 to 64. ValueError for others, or two hop lengths.
    """

    needs_whole = False  # whether it takes the whole signal, or segments of one length, at once

    def __init__(
        self,
        encoder: nn.Module,
        quantizer: Quantizer,
        decoder: nn.Module,
        sample_rate: int,
        channels: int = 1,
        name: str = "",
    ) -> None:
        super().__init__()
        hops = [getattr(part, "hop_length", None) for part in (encoder, decoder)]
        if not isinstance(hops[0], int) or hops[0] != hops[1]:
            raise ValueError(
                f"hop_length is {hops[0]} in the encoder, {hops[1]} in the decoder; accepted: one integer"
            )
        if channels not in signal.CHANNELS:
            raise ValueError(f"channels is {channels!r}; accepted: 1 to {signal.CHANNELS[-1]}")
        self.encoder, self.quantizer, self.decoder = encoder, quantizer, decoder
        for part in (encoder, decoder):
            part.register_forward_pre_hook(cast_input)
        self.sample_rate, self.channels, self.name = signal.check_rate(sample_rate), channels, name
        self.hop_length = hops[0]
        self._weights = ""
        self.register_load_state_dict_post_hook(_forget_weights)

    @property
    def num_codebooks(self) -> int:
        """K, all of the quantizer's codebooks."""
        return self.quantizer.num_codebooks

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """V of each codebook."""
        return tuple(self.quantizer.codebook_sizes)

    @property
    def weights(self) -> str:
        """A hash of the weights, which `encode` puts in tokens for `decode` to know them by.

        Of those loaded, as they were in their file, or of the tensors as they are now. It is kept, also over
        moves to a device or dtype, until `train()` or `load_state_dict` may change them.
        """
        known = self._weights or fingerprint(self.state_dict())
        self._weights = "" if self.training else known
        return known

    def train(self, mode: bool = True) -> Self:
        """Training mode, or evaluation mode; see `weights`."""
        self._weights = "" if mode else self._weights
        return super().train(mode)

    @property
    def frame_rate(self) -> float:
        """Frames a second."""
        return self.sample_rate / self.hop_length

    def token_rate(self, num_codebooks: int | None = None) -> float:
        """Tokens a second with the first `num_codebooks` codebooks, 1 to K (None: all)."""
        return self.frame_rate * self.quantizer.check_num_codebooks(num_codebooks)

    def bit_rate(self, num_codebooks: int | None = None) -> float:
        """Bits a second with the first `num_codebooks` codebooks, 1 to K (None: all)."""
        sizes = self.codebook_sizes[: self.quantizer.check_num_codebooks(num_codebooks)]
        return self.frame_rate * sum(math.log2(size) for size in sizes)

    def forward(self, wav: Tensor, num_codebooks: int | None = None) -> CodecOutput:
        """The training pass: float wav (B, C, T), any T, to its differentiable reconstruction, T samples."""
        self._check_batch(wav)
        z, _ = self.encoder(self.pad(wav))
        quantized = self.quantizer(z, num_codebooks)
        out, _ = self.decoder(quantized.z)
        return CodecOutput(
            out[..., : wav.shape[-1]],
            quantized.codes,
            quantized.loss,
            quantized.metrics,
            quantized.z,
            quantized.first,
            quantized.used,
        )

    def pad(self, wav: Tensor) -> Tensor:
        """A whole signal (..., T) as the encoder takes it: by its own `pad`, else zeros to whole frames."""
        own = getattr(self.encoder, "pad", None)
        return F.pad(wav, (0, -wav.shape[-1] % self.hop_length)) if own is None else own(wav)

    def _check_batch(self, wav: Tensor) -> None:
        """ValueError unless wav is a batch that can be trained on."""
        if wav.ndim != 3 or wav.shape[1] != self.channels or not wav.is_floating_point() or not wav.numel():
            found = f"{wav.dtype} {tuple(wav.shape)}"
            raise ValueError(f"wav is {found}; accepted: float (B, {self.channels}, T), T of 1 or more")

    def _analyse(self, wav: Iterable[tuple[Tensor, bool]], num_codebooks: int) -> Iterator[Coded]:
        """A padded signal in pieces, which may be gone through twice, to its codes, piece by piece."""
        for z, _ in through(self.encoder, ((as_weights(self.encoder, x), final) for x, final in wav)):
            if z.shape[-1]:
                yield Coded(self.quantizer.encode(z, num_codebooks))

    def _synthesise(self, parts: Iterator[Coded]) -> Iterator[Tensor]:
        """Codes in pieces to wav (B, C, t), piece by piece."""
        decoder, decode = self.decoder, self.quantizer.decode
        latents = ((as_weights(decoder, decode(part.codes)), part.final) for part in parts)
        for wav, _ in through(decoder, latents):
            if wav.shape[-1]:
                yield wav.float()

    @property
    def _frames_at_once(self) -> int:
        return frames_at_once(self.hop_length, self._device)

    def _tiles(self, wav: Tensor) -> Tiles:
        return Tiles(wav, self._frames_at_once * self.hop_length)

    def _parts(self, codes: Tensor, scales: Tensor | None) -> Iterator[Coded]:
        """All scales come with the first codes."""
        for part, final in Tiles(codes, self._frames_at_once):
            yield Coded(part, scales, final)
            scales = None

    @property
    def _device(self) -> torch.device:
        return next(chain(self.parameters(), self.buffers())).device

    @contextmanager
    def _exactly(self) -> Iterator[None]:
        """No gradient and no autocast: codes that don't depend on who calls."""
        with torch.no_grad(), torch.autocast(self._device.type, enabled=False):
            yield


def _forget_weights(module: nn.Module, _: Any) -> None:
    if isinstance(module, Coder):
        module._weights = ""
