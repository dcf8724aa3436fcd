"""Import time of vocable.codecs beyond torch's own: python -m vocable.benchmarks.import_time."""

import subprocess
import sys
from statistics import median


def seconds(statement: str, runs: int = 7) -> float:
    """The median time of `statement` in that many new interpreters."""
    clock = f"import time; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)"
    return median(float(subprocess.check_output([sys.executable, "-c", clock])) for _ in range(runs))


def main() -> None:
    torch, codecs = seconds("import torch"), seconds("import torch; from vocable import codecs")
    print(f"torch {torch:.2f} s, vocable.codecs {codecs:.2f} s, difference {codecs - torch:.2f} s")


if __name__ == "__main__":
    main()
