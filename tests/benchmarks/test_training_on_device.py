"""The script for GPUs also runs here, with tiny sizes."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_script_for_gpus_measures_and_checks_with_tiny_sizes():
    command = [sys.executable, ROOT / "benchmarks/training_on_device.py", "--tiny"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for row in ("none", "ffn", "attention", "concat", "none, layers compiled", "ffn, CUDA graphs"):
        assert f"│ {row} " in done.stdout, row
    checks = [line for line in done.stdout.splitlines() if line.startswith(("ok", "FAILED"))]
    assert len(checks) == 2 and all(line.startswith("ok") for line in checks)
