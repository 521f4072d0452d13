"""A small share of what `benchmarks/damage.py` tries in earnest."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).parents[1] / "benchmarks" / "damage.py"


def test_damage_is_never_taken_for_data():
    few = ["--inputs", "600", "--files", "60", "--seed", "2", "--processes", "1"]
    done = subprocess.run([sys.executable, SCRIPT, *few], text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "660 trials, 0 wrong" in done.stdout
