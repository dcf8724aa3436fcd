"""EnCodec's files, .ecdc (https://github.com/facebookresearch/encodec).

magic     4 bytes, "ECDC"
version   1 byte, 0
size      4 bytes, big-endian: of the header
header    JSON: "m" the model, "al" samples, "nc" codebooks, "lm" whether a language model packed the codes
segments  at 24 kHz one; at 48 kHz one second every 0.99 s, each begins with its scale, a big-endian float32
          codes, frame after frame: of 10 bits, low bit first, or by the arithmetic coder; whole bytes

A segment has a frame for each begun hop of 320 samples. For one length in 6,400 (6,720 samples, for one) the
package's reader rounds this up by one more, and finds the files that the package itself wrote too short.
"""

import math
import struct
from pathlib import Path

import torch

from vocable.codecs.files import replacing
from vocable.codecs.formats import ecdc_codes, ecdc_header
from vocable.codecs.formats.arithmetic import Decoder
from vocable.codecs.formats.ecdc_header import BITS, HOP, KINDS, Header, Kind
from vocable.codecs.formats.language_model import LanguageModel, load_language_model
from vocable.codecs.tokens import Tokens

_SCALE = struct.Struct("!f")


def write(path: str | Path, tokens: Tokens, lm: LanguageModel | None = None) -> None:
    """Write one signal's tokens to `path`, whole or not at all; `lm` codes them, slowly, in fewer bytes.

    The sample rate of what was encoded is lost: the format has no place for it.
    ValueError for tokens that are not of EnCodec at 24 or 48 kHz, and a batch.
    """
    kind = _kind_of(tokens)
    length, books = int(tokens.lengths[0]), tokens.num_codebooks
    parts = [ecdc_header.pack(kind, length, books, lm is not None)]
    for i, codes in enumerate(tokens.codes[0].cpu().split(kind.frames(length), dim=-1)):
        if tokens.scales is not None:
            parts.append(_SCALE.pack(float(tokens.scales[0, i])))
        parts.append(ecdc_codes.pack(codes) if lm is None else ecdc_codes.entropy_code(codes, lm))
    with replacing(path) as temporary:
        temporary.write_bytes(b"".join(parts))


def read(path: str | Path, lm: LanguageModel | None = None) -> Tokens:
    """The tokens in `path`, on the CPU.

    lm: what coded them; None: the official one, from the cache or downloaded, where the file needs one.
    ValueError where the file is damaged, truncated, not one, or was coded by another language model, or
    with another number of threads (`torch.set_num_threads`): see `language_model`.
    """
    data = Path(path).read_bytes()
    try:
        found, start = ecdc_header.parse(data)
        if found.entropy_coded and lm is None:
            lm = load_language_model(found.kind.codec)
        return _decode(data, start, found, lm if found.entropy_coded else None)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def header(path: str | Path) -> Header:
    """What the file `path` says that it holds; ValueError where it is not one."""
    try:
        return ecdc_header.parse(Path(path).read_bytes())[0]
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _decode(data: bytes, position: int, found: Header, lm: LanguageModel | None) -> Tokens:
    """The segments from the byte `position` on."""
    kind, books = found.kind, found.num_codebooks
    counts = kind.frames(found.length)
    codes, scales = [], []
    for count in counts:
        if kind.segment:
            scale = data[position : position + _SCALE.size]
            position += len(scale)
            scales.append(_scale(scale))
        if lm is None:
            end = position + (count * books * BITS + 7) // 8
            codes.append(ecdc_codes.unpack(data[position:end], books, count))
        else:
            decoder = Decoder(data, position)
            codes.append(ecdc_codes.entropy_decode(decoder, lm, books, count))
            end = decoder.position
        position = end
    if position != len(data):
        raise ValueError(f"{len(data) - position} bytes follow the last code; accepted: 0")
    return Tokens(
        torch.cat(codes, dim=-1)[None],
        torch.tensor([found.length]),
        kind.sample_rate,
        HOP,
        (2**BITS,) * books,
        kind.codec,
        frame_counts=torch.tensor([sum(counts)]) if kind.segment else None,
        scales=torch.tensor([scales]) if kind.segment else None,
    )


def _kind_of(tokens: Tokens) -> Kind:
    """The model that the tokens are of, ValueError for none."""
    if len(tokens) != 1:
        raise ValueError(f"tokens are of {len(tokens)} signals; accepted: 1")
    sizes = set(tokens.codebook_sizes)
    for kind in KINDS:
        same = (tokens.sample_rate, tokens.hop_length, sizes) == (kind.sample_rate, HOP, {2**BITS})
        if same and tokens.codec in ("", kind.codec) and tokens.num_codebooks <= kind.num_codebooks:
            break
    else:
        found = f"{tokens.codec!r}: {tokens.num_codebooks} codebooks of {sorted(sizes)} entries, "
        found += f"{tokens.sample_rate} Hz, hop {tokens.hop_length}"
        raise ValueError(
            f"tokens are of {found}; accepted: those of {', '.join(kind.codec for kind in KINDS)}"
        )
    frames = kind.frames(int(tokens.lengths[0]))
    shape = None if tokens.scales is None else tuple(tokens.scales.shape)
    if sum(frames) != int(tokens.frames[0]) or shape != ((1, len(frames)) if kind.segment else None):
        known = f"{sum(frames)} frames, and {len(frames) if kind.segment else 'no'} scales"
        raise ValueError(f"tokens are {int(tokens.frames[0])} frames with scales {shape}; accepted: {known}")
    if int(tokens.codes.min()) < 0 or int(tokens.codes.max()) >= 2**BITS:
        found = f"{int(tokens.codes.min())}..{int(tokens.codes.max())}"
        raise ValueError(f"codes lie in {found}; accepted: 0..{2**BITS - 1}")
    return kind


def _scale(data: bytes) -> float:
    if len(data) < _SCALE.size:
        raise ValueError("the file ends within a scale: truncated")
    (scale,) = _SCALE.unpack(data)
    if not 0 <= scale < math.inf:
        raise ValueError(f"a scale is {scale}; accepted: 0 or more, finite")
    return scale
