"""Memory does not grow with a recording: twenty minutes take less than the recording itself."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SECONDS = 1200


@pytest.mark.full
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak is counted by Linux")
def test_twenty_minutes_in_less_memory_than_they_take() -> None:
    command = [sys.executable, "-m", "vocable.benchmarks.long", "--one", "--codecs", "small:vocable-16khz"]
    done = subprocess.run(
        [*command, "--seconds", str(SECONDS)], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    signal = SECONDS * 16000 * 4 / 1e6  # MB of float32; one layer's activations are 16 times as much
    assert json.loads(done.stdout)["memory"] < signal
