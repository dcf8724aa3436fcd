"""What the command line says of codecs and tokens: names and values, as text."""

import re
from pathlib import Path

from torch import Tensor

from vocable.codecs import hub
from vocable.codecs.backbones.lookahead import goes_on
from vocable.codecs.backbones.pieces import has_way
from vocable.codecs.codec import Codec
from vocable.codecs.delay import codec_delay
from vocable.codecs.stream import Stream
from vocable.codecs.tokens import Tokens
from vocable.codecs.voc import TokenReader
from vocable.codecs.zoo import table
from vocable.codecs.zoo.semanticodec import SemantiCodec


def rates(tokens: Tokens) -> dict[str, str]:
    """Token rate and bit rate."""
    frames, books = tokens.frame_rate, tokens.num_codebooks
    return {
        "token rate": f"{tokens.token_rate:g} tokens/s ({frames:g} frames/s x {books})",
        "bit rate": f"{tokens.bit_rate / 1000:.2f} kbit/s",
    }


def reconstruction_rows(
    source: str, wav: Tensor, sample_rate: int, tokens: Tokens, took: dict[str, float]
) -> dict[str, str]:
    """What went in, (C, T), the tokens' rates, and the speed of each step that `took` some seconds."""
    seconds = wav.shape[-1] / sample_rate
    rows = {"audio": f"{source}, {seconds:.2f} s at {sample_rate} Hz", **rates(tokens)}
    for step, time in took.items():
        speed = f"{time / seconds:.4f} ({seconds / time:.0f} times faster than real time)"
        rows[f"{step}, real-time factor"] = speed
    return rows


def measure_rows(measures: dict[str, float | str]) -> dict[str, str]:
    """What `measure` found."""
    units = {"SI-SDR": " dB"}
    return {
        name: found if isinstance(found, str) else f"{found:.3f}{units.get(name, '')}"
        for name, found in measures.items()
    }


def file_rows(path: str | Path) -> dict[str, str]:
    """What a token file holds."""
    tokens, size = Tokens.load(path), Path(path).stat().st_size
    with TokenReader(path) as reader:
        header, chunks = reader.header, len(reader.chunks)
    lengths = [f"{length / tokens.sample_rate:.2f} s" for length in tokens.lengths.tolist()]
    shape = " x ".join(str(size) for size in tokens.codes.shape)
    coding = {"bits": "bit-packed", "entropy": "entropy-coded"}[header.packing]
    seconds = int(tokens.lengths.sum()) / tokens.sample_rate
    return {
        "codec": tokens.codec or "(not named)",
        "weights": tokens.weights or "(not known)",
        "length": ", ".join(lengths),
        "codes": f"{shape} (signals x codebooks x frames)",
        "sample rate": f"{tokens.sample_rate} Hz, encoded from {tokens.source_rate or tokens.sample_rate} Hz",
        **rates(tokens),
        "coding": f"{coding}, {chunks} chunks of up to {header.chunk_frames} frames",
        "file": f"{size} bytes, {8 * size / seconds / 1000:.2f} kbit/s with all around the codes",
    }


def codec_rows(codec: Codec, name: str) -> dict[str, str]:
    """What the codec that was loaded as `name` is."""
    sizes = sorted(set(codec.codebook_sizes))
    return {
        "codec": name,
        "sample rate": f"{codec.sample_rate} Hz, {codec.channels} channel{'s' if codec.channels > 1 else ''}",
        "frame rate": f"{codec.frame_rate:g} frames/s of {codec.hop_length} samples",
        "codebooks": f"{codec.num_codebooks} of {' or '.join(map(str, sizes))} entries",
        "token rate": f"{codec.token_rate(1):g} to {codec.token_rate():g} tokens/s",
        "bit rate": f"{codec.bit_rate(1) / 1000:.2f} to {codec.bit_rate() / 1000:.2f} kbit/s",
        "stream": streaming(codec),
        "parameters": f"{sum(weight.numel() for weight in codec.parameters()) / 1e6:.2f} M",
        "delay": delay_row(codec),
        "long signals": long_row(codec),
        "licence": licence(name),
    }


def delay_row(codec: Codec) -> str:
    """How much later than the original a reconstruction is, measured."""
    if isinstance(codec, SemantiCodec):
        return "2 ms more after each 9.6 s, as officially"
    found = codec_delay(codec)
    if found.likeness < 0.5:
        return f"can't be measured: the waveform is another's (correlation {found.likeness:.2f})"
    return f"{found.ms:z.2f} ms, measured on speech"


def streaming(codec: Codec) -> str:
    """How late a stream of the codec is, computing time aside, and how far it looks ahead."""
    if codec.needs_whole:
        return "none: the codec takes the whole signal, or segments of one length, at once"
    stream = codec.stream(context=1.0)
    late = f"{stream.latency:.4g} ms"
    if isinstance(stream, Stream):
        start = f"; {stream.first_latency:.4g} ms at the start" if stream.mirrors else ""
        return f"{late}: a frame, no look-ahead{start}"
    if not stream.exact:
        return f"by a window: {late} with stream(context=1.0), and not the whole signal's codes"
    frame, (encoder, decoder) = 1000 / codec.frame_rate, stream.lookahead
    ahead = f"a look-ahead of {encoder:.4g} ms to encode and {decoder:.4g} ms to decode"
    return f"{late}, exact: a frame of {frame:.4g} ms, {ahead}"


def long_row(codec: Codec) -> str:
    """What becomes of signals that are too long to be worked on at once."""
    found = []
    for word, part in (("encoded", codec.encoder), ("decoded", codec.decoder)):
        window = getattr(part, "window", False)
        if window:
            found.append(f"{word} in windows of {window / codec.frame_rate:.1f} s, where they are longer")
        elif window is None or not (goes_on(part) or has_way(part) or type(codec) is not Codec):
            found.append(f"{word} at once, however long")
    return "; ".join(found) or "in pieces, which give what the whole gives"


def licence(name: str) -> str:
    """A published codec's licence, or the one in the front matter of a codec's model card."""
    if name in (published := table.published()):
        return with_source(published[name].licence, published[name].licence_source)
    card = hub.find(name, None)[0] / "README.md"
    if not card.is_file():
        return "not stated: the codec has no README.md"
    parts = card.read_text(encoding="utf-8").split("---\n", 2)
    found = re.search(r"^license:\s*(.+?)\s*$", parts[1], re.MULTILINE) if len(parts) == 3 else None
    return found[1] if found and not parts[0] else "not stated in the codec's README.md"


def with_source(licence: str, source: str) -> str:
    """A licence, and where it stands if that is known."""
    return f"{licence} ({source})" if source else licence
