"""SoundStream (https://arxiv.org/abs/2107.03312): causal, and told at run time whether to denoise.

No official weights exist.
"""

from typing import Any

import torch
from torch import Tensor

from vocable.codecs.backbones.soundstream import FiLM, SoundStreamDecoder, SoundStreamEncoder
from vocable.codecs.codec import Codec
from vocable.codecs.zoo.published import Published
from vocable.quantizers.rvq import ema_rvq

SIDES = ("encoder", "decoder")


class SoundStream(Codec):
    """A codec with a switch for background noise, which training teaches it to remove.

    >>> codec.denoise = True
    >>> tokens = codec.encode("street.wav")
    """

    @property
    def denoise(self) -> float | Tensor:
        """0 keeps the noise, 1 removes it; a tensor (N,) or (B, N) says so for each frame of a batch."""
        return self._film.denoise

    @denoise.setter
    def denoise(self, value: float | Tensor) -> None:
        values = torch.as_tensor(value)
        if not bool(((values >= 0) & (values <= 1)).all()):
            raise ValueError(f"denoise is {value}; accepted: 0 to 1, or a tensor of such values")
        self._film.denoise = value

    @property
    def _film(self) -> FiLM:
        return next(part for part in self.modules() if isinstance(part, FiLM))


def soundstream(
    sample_rate: int = 24_000,
    num_codebooks: int = 24,
    codebook_size: int = 1024,
    encoder_dim: int = 32,
    decoder_dim: int = 32,
    strides: tuple[int, ...] = (2, 4, 5, 8),
    latent_dim: int = 256,
    denoise_in: str = "encoder",
) -> SoundStream:
    """A SoundStream with random weights; any number of its codebooks is one bit rate of a scalable codec.

    encoder_dim, decoder_dim: channels of the first and the last layer; unequal ones trade the work of one end
    for the other's. strides: the encoder's, and the decoder's in reverse.
    denoise_in: "encoder" or "decoder", the end that removes noise.
    """
    if denoise_in not in SIDES:
        raise ValueError(f"denoise_in is {denoise_in!r}; accepted: {SIDES}")
    return SoundStream(
        SoundStreamEncoder(encoder_dim, tuple(strides), latent_dim, film=denoise_in == "encoder"),
        ema_rvq(latent_dim, num_codebooks, codebook_size, dropout=1.0),
        SoundStreamDecoder(decoder_dim, tuple(reversed(strides)), latent_dim, film=denoise_in == "decoder"),
        sample_rate,
    )


def state(checkpoint: Any) -> dict[str, Tensor]:
    """ValueError: there is no official layout."""
    raise ValueError("SoundStream has no official checkpoint; accepted: a codec trained and saved here")


def _published(name: str, paper: str, sample_rate: int, num_codebooks: int) -> Published:
    return Published(
        name=name,
        build=soundstream,
        options={"sample_rate": sample_rate, "num_codebooks": num_codebooks},
        sources=(),
        state=state,
        licence="no official weights",
        licence_source="",
        paper=paper,
        sample_rate=sample_rate,
        hop_length=320,
        codebook_sizes=(1024,) * num_codebooks,
        parameters=8_405_345,
    )


PUBLISHED = (
    # 50 frames a second and 6 kbit/s, as AudioLM has it
    _published("soundstream-16khz", "https://arxiv.org/abs/2209.03143", 16_000, 12),
    # 75 frames a second, and up to 18 kbit/s
    _published("soundstream-24khz", "https://arxiv.org/abs/2107.03312", 24_000, 24),
)
