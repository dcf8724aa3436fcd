"""Hours of audio: the time and the memory that a codec takes, from file to file.

    python -m vocable.benchmarks.long --codecs vocable-16khz --seconds 10,100,1000,7200

Speech, over and over, is encoded to a token file and decoded from it to audio, each length in a process of
its own. Memory is the most that the process held above what it held with the codec loaded.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from vocable.benchmarks.cost import machine
from vocable.benchmarks.small import NAMES, small_codec
from vocable.codecs import audio
from vocable.codecs.backbones.conv import fold_weight_norm
from vocable.codecs.cli import clip
from vocable.codecs.codec import Codec

SMALL = "small:"  # before a name: that codec at reduced size


def main(argv: list[str] | None = None) -> None:
    """Print a table, a row a codec and length."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--codecs", default="vocable-16khz", help="names; small: before one, or small:all")
    parser.add_argument("--seconds", default="10,100,1000,7200", help="lengths of the recording")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    names = [SMALL + name for name in NAMES] if args.codecs == f"{SMALL}all" else args.codecs.split(",")
    lengths = [int(length) for length in args.seconds.split(",")]
    if args.one:
        print(json.dumps(measure(names[0], lengths[0], args.threads)))
        return
    print(machine(args.threads), "\n")
    print("| codec | audio, s | encode, s | decode, s | memory, MB |")
    print("|---|---|---|---|---|")
    for name in names:
        for length in lengths:
            print(f"| {name} | {length} | {' | '.join(_alone(name, length, args.threads))} |", flush=True)


def measure(name: str, seconds: int, threads: int) -> dict[str, float]:
    """Seconds of `encode_file` and `decode_file`, and the megabytes that both took; Linux's count of them."""
    torch.set_num_threads(threads)
    codec = made(name)
    _ = codec.weights  # their hash, which a loaded codec knows
    with tempfile.TemporaryDirectory() as folder:
        source, tokens, back = (Path(folder) / file for file in ("in.wav", "a.voc", "out.wav"))
        talk(source, seconds, codec.sample_rate, codec.channels)
        Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
        loaded, start = _held("VmRSS"), time.perf_counter()
        codec.encode_file(source, tokens)
        middle = time.perf_counter()
        codec.decode_file(tokens, back)
        end, peak = time.perf_counter(), _held("VmHWM")
        found, wanted = audio.info(back).frames, audio.info(source).frames
        if found != wanted:
            raise RuntimeError(f"{found} samples came back of {wanted}")
    return {"encode": middle - start, "decode": end - middle, "memory": peak - loaded}


def made(name: str) -> Codec:
    """The codec `name`, with random weights where it has none at hand."""
    from vocable.codecs.hub import builtin, load
    from vocable.codecs.zoo import table

    if name.startswith(SMALL):
        return small_codec(name.removeprefix(SMALL))
    if name in builtin() or Path(name).is_dir():
        return load(name)
    codec = table.codec(name).eval()
    fold_weight_norm(codec)
    return codec


def talk(path: Path, seconds: int, sample_rate: int, channels: int) -> None:
    """A recording of so many seconds: the clip that ships with the package, again and again."""
    wav, rate = audio.read(clip())
    wav = audio.to_channels(audio.resample(wav, rate, sample_rate), channels)
    left = seconds * sample_rate
    with audio.writing(path, channels, sample_rate) as write:
        while left:
            write(wav[:, :left])
            left -= min(left, wav.shape[-1])


def _held(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024 / 1e6


def _alone(name: str, seconds: int, threads: int) -> list[str]:
    """The cells of a row, measured in a process of its own."""
    command = [sys.executable, "-m", "vocable.benchmarks.long", "--one", "--codecs", name]
    command += ["--seconds", str(seconds), "--threads", str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["killed"])[-1]
        return [f"not run: {reason}", "", ""]
    found = json.loads(done.stdout.splitlines()[-1])
    return [f"{found['encode']:.1f}", f"{found['decode']:.1f}", f"{found['memory']:.0f}"]


if __name__ == "__main__":
    main()
