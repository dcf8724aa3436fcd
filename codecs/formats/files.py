"""Files of codes by their suffix: .voc, and EnCodec's .ecdc and Descript's .dac."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from vocable.codecs import audio
from vocable.codecs.codec import Codec
from vocable.codecs.formats import dacfile, descript, ecdc
from vocable.codecs.formats.language_model import LanguageModel
from vocable.codecs.long import Told
from vocable.codecs.tokens import Tokens
from vocable.codecs.voc.reader import TokenReader

SUFFIXES = (".voc", ".ecdc", ".dac")


def encode(
    codec: Codec,
    source: str | Path,
    target: str | Path,
    num_codebooks: int | None = None,
    lm: LanguageModel | None = None,
    pack: Literal["bits", "entropy"] = "bits",
    told: Told | None = None,
) -> None:
    """Encode the audio file `source` to `target`; `lm` and `pack` code .ecdc and .voc in fewer bytes.

    told: as for `Codec.encode_file`, for .voc. ValueError where the format is not one for this codec.
    """
    suffix = Path(target).suffix.lower()
    if suffix == ".dac":
        dacfile.write(target, descript.compress(codec, *audio.read(source), num_codebooks))
        return
    if suffix == ".ecdc":
        ecdc.write(target, codec.encode(source, num_codebooks=num_codebooks), lm)
    else:
        codec.encode_file(source, target, num_codebooks, pack, told)


def made_by(path: str | Path) -> str:
    """The name of the codec that a file of codes names, "" for none; ValueError where it is none."""
    suffix = Path(path).suffix.lower()
    if suffix == ".dac":
        return ""
    if suffix == ".ecdc":
        return ecdc.header(path).kind.codec
    with TokenReader(path) as reader:
        return reader.header.codec


def decode(
    codec: Codec,
    source: str | Path,
    target: str | Path,
    at_source_rate: bool = True,
    any_weights: bool = False,
    told: Told | None = None,
) -> None:
    """Decode the one signal of a file of codes to the audio file `target`.

    at_source_rate: at that of what was encoded, else at the codec's. any_weights, told: as for
    `Codec.decode_file`. ValueError where the file is damaged, or not one for this codec.
    """
    suffix = Path(source).suffix.lower()
    if suffix == ".dac":
        held = dacfile.read(source)
        if not at_source_rate:
            length = audio.resampled_length(held.original_length, held.sample_rate, codec.sample_rate)
            held = replace(held, original_length=length, sample_rate=codec.sample_rate)
        audio.write(target, descript.decompress(codec, held), held.sample_rate)
        return
    tokens = ecdc.read(source) if suffix == ".ecdc" else source
    rate = tokens.source_rate if isinstance(tokens, Tokens) else _source_rate(source)
    codec.decode_file(tokens, target, rate if at_source_rate else None, any_weights, told)


def _source_rate(path: str | Path) -> int | None:
    with TokenReader(path) as reader:
        return reader.header.source_rate


def rows(path: str | Path) -> dict[str, str]:
    """What an .ecdc or .dac file says of itself, without its codes being decoded."""
    size = Path(path).stat().st_size
    if Path(path).suffix.lower() == ".dac":
        file = dacfile.read(path)
        length, rate = file.original_length, file.sample_rate
        books, frames = file.codes.shape[1:]
        found = {"codec": "a DAC (not named)", "loudness": f"{file.input_db:.1f} LUFS"}
        if not file.padding:
            found["chunks"] = f"of {file.chunk_length} frames, unpadded"
        counts = f"{file.channels} x {books} x {frames} (channels x codebooks x frames)"
    else:
        header = ecdc.header(path)
        length, rate = header.length, header.kind.sample_rate
        coder = "entropy-coded by a language model" if header.entropy_coded else "packed"
        found = {"codec": header.kind.codec, "coding": coder}
        counts = (
            f"1 x {header.num_codebooks} x {sum(header.kind.frames(length))} (signals x codebooks x frames)"
        )
    seconds = length / rate
    found |= {"length": f"{seconds:.2f} s", "codes": counts, "sample rate": f"{rate} Hz"}
    return found | {"bit rate": f"{8 * size / seconds / 1000:.2f} kbit/s, the whole file"}
