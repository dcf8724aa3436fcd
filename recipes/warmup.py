"""The first steps of a run, in which the quantizer is left out."""

import torch
from torch import Tensor

from vocable.codecs.codec import Codec
from vocable.codecs.coder import CodecOutput


def autoencode(codec: Codec, wav: Tensor) -> CodecOutput:
    """`codec(wav)` without its quantizer: wav (B, C, T) through encoder and decoder: no codebook, no loss.

    Codebooks fitted to an encoder that has learned nothing yet hold it there: the latent collapses to a few
    directions. After some hundred steps like this k-means finds a latent worth quantizing.
    """
    z, _ = codec.encoder(codec.pad(wav))
    out, _ = codec.decoder(z)
    none = torch.zeros(len(wav), dtype=torch.int64, device=wav.device)
    return CodecOutput(out[..., : wav.shape[-1]], wav.new_zeros(0), out.new_zeros(()), {}, z, z, none)
