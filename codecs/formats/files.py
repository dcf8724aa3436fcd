"""Files of codes by their suffix: .voc, and EnCodec's .ecdc and Descript's .dac."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from torch import Tensor

from vocable.codecs import audio
from vocable.codecs.codec import Codec
from vocable.codecs.formats import dacfile, descript, ecdc
from vocable.codecs.formats.dacfile import DacFile
from vocable.codecs.formats.language_model import LanguageModel
from vocable.codecs.tokens import Tokens

SUFFIXES = (".voc", ".ecdc", ".dac")


def encode(
    codec: Codec,
    source: str | Path,
    target: str | Path,
    num_codebooks: int | None = None,
    lm: LanguageModel | None = None,
    pack: Literal["bits", "entropy"] = "bits",
) -> None:
    """Encode the audio file `source` to `target`; `lm` and `pack` code .ecdc and .voc in fewer bytes.

    ValueError where the suffix's format is not one for this codec.
    """
    suffix = Path(target).suffix.lower()
    if suffix == ".dac":
        dacfile.write(target, descript.compress(codec, *audio.read(source), num_codebooks))
        return
    tokens = codec.encode(source, num_codebooks=num_codebooks)
    if suffix == ".ecdc":
        ecdc.write(target, tokens, lm)
    else:
        tokens.save(target, pack)


def read(path: str | Path) -> Tokens | DacFile:
    """What the file holds, by its suffix; ValueError where it is damaged or not one."""
    suffix = Path(path).suffix.lower()
    if suffix == ".dac":
        return dacfile.read(path)
    return ecdc.read(path) if suffix == ".ecdc" else Tokens.load(path)


def decode(
    codec: Codec, held: Tokens | DacFile, at_source_rate: bool = True, any_weights: bool = False
) -> tuple[Tensor, int]:
    """The one signal that a file held, (C, T), and its rate in Hz: of what was encoded, or the codec's."""
    if isinstance(held, DacFile):
        if not at_source_rate:
            length = audio.resampled_length(held.original_length, held.sample_rate, codec.sample_rate)
            held = replace(held, original_length=length, sample_rate=codec.sample_rate)
        return descript.decompress(codec, held), held.sample_rate
    if len(held) != 1:
        raise ValueError(f"holds {len(held)} signals; accepted: 1")
    rate = held.source_rate if at_source_rate and held.source_rate else held.sample_rate
    return codec.decode(held, rate, any_weights)[0], rate


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
