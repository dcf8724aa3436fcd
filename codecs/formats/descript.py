"""What Descript's package does around DAC for its files: loudness, channels one by one, and chunks.

Its chunks run through convolutions without padding, so that each gives only what lies inside it, and the next
begins where that ends. The transposed ones keep their incomplete ends there: close to its seams, a signal in
chunks is not the one decoded whole.
https://github.com/descriptinc/descript-audio-codec
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocable.codecs import audio
from vocable.codecs.backbones.conv import Conv1d, ConvTranspose1d, Residual, Sequential
from vocable.codecs.backbones.dac import DACDecoder, DACEncoder
from vocable.codecs.codec import Codec
from vocable.codecs.formats.dacfile import DacFile
from vocable.codecs.loudness import loudness

LOUDNESS = -16.0  # LUFS, of what is encoded


def compress(
    codec: Codec,
    wav: Tensor,
    sample_rate: int,
    num_codebooks: int | None = None,
    chunk_seconds: float | None = None,
) -> DacFile:
    """Encode wav (C, T) in [-1, 1] at `sample_rate` Hz, C up to 5, with a DAC.

    chunk_seconds: of the chunks that a longer signal is coded in; None codes it whole.
    """
    parts(codec)
    length, rate = wav.shape[-1], codec.sample_rate
    wav = audio.resample(wav, sample_rate, rate)
    input_db = loudness(wav, rate)
    wav = wav * _gain(LOUDNESS - input_db)
    rows = wav[:, None] / wav.abs().amax(-1).clamp(min=1.0)[:, None, None]
    if chunk_seconds is not None and rows.shape[-1] > chunk_seconds * rate:
        codes, chunk = _encode_chunks(codec, rows, int(chunk_seconds * rate), num_codebooks)
        return DacFile(codes.cpu(), chunk, length, sample_rate, input_db, padding=False)
    codes = codec.encode(rows, num_codebooks=num_codebooks).codes
    return DacFile(codes.cpu(), codes.shape[-1], length, sample_rate, input_db)


def decompress(codec: Codec, file: DacFile) -> Tensor:
    """Decode to wav (C, T) at `file.sample_rate`, T its `original_length`, each channel as loud as the input.

    ValueError for codes that are not this codec's, and fewer of them than the length needs.
    """
    _, decoder = parts(codec)
    codec.quantizer.check_codes(file.codes)
    device = next(codec.parameters()).device
    chunks = []
    for codes in file.codes.to(device).split(file.chunk_length, dim=-1):
        if file.padding:
            chunks.append(codec.decode(codes))
            continue
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            chunks.append(unpadded(decoder.layers, codec.quantizer.decode(codes)))
    wav = torch.cat(chunks, dim=-1)[:, 0]
    rate, length = file.sample_rate, file.original_length
    given = audio.resampled_length(wav.shape[-1], codec.sample_rate, rate)
    if length - given > codec.hop_length * rate / codec.sample_rate:  # rounding may take some samples
        raise ValueError(
            f"original_length is {length} for codes of {given} samples; accepted: as many or fewer"
        )
    gains = [_gain(file.input_db - loudness(row[None], codec.sample_rate)) for row in wav]
    return audio.resample(wav * wav.new_tensor(gains)[:, None], codec.sample_rate, rate, length)


def parts(codec: Codec) -> tuple[DACEncoder, DACDecoder]:
    """The encoder and decoder of a DAC; ValueError for another codec."""
    encoder, decoder = codec.encoder, codec.decoder
    if not isinstance(encoder, DACEncoder) or not isinstance(decoder, DACDecoder) or codec.channels != 1:
        found = f"{type(encoder).__name__} and {type(decoder).__name__} of {codec.channels} channels"
        raise ValueError(f"codec {codec.name!r} is {found}; accepted: a DAC, of 1")
    return encoder, decoder


def unpadded(layer: nn.Module, x: Tensor) -> Tensor:
    """`layer` of x (B, C, T) without any padding or trimming in its convolutions."""
    if isinstance(layer, Sequential):
        for part in layer.layers:
            x = unpadded(part, x)
        return x
    if isinstance(layer, Residual):
        y = unpadded(layer.layer, x)
        cut = (x.shape[-1] - y.shape[-1]) // 2
        return x[..., cut : x.shape[-1] - cut] + y
    return layer.conv(x) if isinstance(layer, Conv1d | ConvTranspose1d) else layer(x)


def output_length(codec: Codec, length: int) -> int:
    """The samples that `length` samples become through unpadded encoder and decoder."""
    for conv in _convolutions(codec):
        span, stride = conv.dilation[0] * (conv.kernel_size[0] - 1) + 1, conv.stride[0]
        down = isinstance(conv, nn.Conv1d)
        length = (length - span) // stride + 1 if down else (length - 1) * stride + span
    return length


def delay(codec: Codec) -> int:
    """The samples that unpadded encoder and decoder together take off each end."""
    end = length = output_length(codec, 0)
    for conv in reversed(list(_convolutions(codec))):
        span, stride = conv.dilation[0] * (conv.kernel_size[0] - 1) + 1, conv.stride[0]
        down = isinstance(conv, nn.Conv1d)
        length = (length - 1) * stride + span if down else -((span - length) // stride) + 1
    return (length - end) // 2


def _encode_chunks(codec: Codec, rows: Tensor, chunk: int, books: int | None) -> tuple[Tensor, int]:
    """Codes (C, K, N) of rows (C, 1, T) in chunks of at least `chunk` samples, and the frames of one."""
    size = -(-chunk // codec.hop_length) * codec.hop_length
    step, around = output_length(codec, size), delay(codec)
    if step < 1:
        raise ValueError(f"chunks are {size} samples; accepted: more than {2 * around}, what DAC looks at")
    encoder, _ = parts(codec)
    device = next(codec.parameters()).device
    total = rows.shape[-1]
    padded = F.pad(rows, (around, around + size)).to(device)
    codes = []
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        for start in range(0, total, step):
            # the package cuts before it fills up, so nothing but zeros follows the signal's own halo
            part = padded[..., start : start + size]
            codes.append(codec.quantizer.encode(unpadded(encoder.layers, part), books))
    return torch.cat(codes, dim=-1), codes[0].shape[-1]


def _convolutions(codec: Codec) -> Iterator[nn.Conv1d | nn.ConvTranspose1d]:
    """In the order in which they are applied; those of the quantizer, of kernel 1, change no length."""
    for part in parts(codec):
        for layer in part.modules():
            if isinstance(layer, Conv1d | ConvTranspose1d):
                yield layer.conv


def _gain(decibels: float) -> float:
    return 10 ** (decibels / 20)
