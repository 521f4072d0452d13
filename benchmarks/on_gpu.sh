#!/usr/bin/env bash
# Everything that needs a GPU, in a few minutes, on any machine with PyTorch and a CUDA device:
# the tests of the model there, then training's speed, memory and bits.
#
#     benchmarks/on_gpu.sh
#
# Python packages that are missing are installed into a folder that is removed in the end; without
# the internet from a folder of wheels: PIP_NO_INDEX=1 PIP_FIND_LINKS=wheels benchmarks/on_gpu.sh
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
# kformer looks up its own version.
mkdir "$site/kformer-0.dist-info"
printf 'Metadata-Version: 2.1\nName: kformer\nVersion: 0\n' > "$site/kformer-0.dist-info/METADATA"
export PYTHONPATH=$PWD:$site${PYTHONPATH:+:$PYTHONPATH}

missing=$("$python" - <<'PYTHON'
"""Of the packages that training and its tests import, those that are missing or too old."""
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

NEEDED = """accelerate annotated-types bm25s hypothesis numba numpy pyarrow pydantic pydantic-core
pytest pytest-xdist rich safetensors scipy transformers typer typing-inspection xxhash""".split()
project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
stated = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
ranges = {each.name: each.specifier for each in map(Requirement, stated)}
for name in NEEDED:
    try:
        fits = version(name) in ranges.get(name, SpecifierSet())
    except PackageNotFoundError:
        fits = False
    if not fits:
        print(name)
PYTHON
)
if [ -n "$missing" ]; then
    # Without what these need in turn: it is there, or in the list; PyTorch must stay as it is.
    # shellcheck disable=SC2086
    "$python" -m pip install --quiet --no-deps --no-compile --target "$site" \
        --constraint constraints.txt $missing
fi

device=$("$python" -c 'import torch; print("cuda" if torch.cuda.is_available() else "cpu")')
status=0
files=$(ls tests/modeling/test_*.py | grep -v test_processor)
# shellcheck disable=SC2086
"$python" -m pytest --quiet --numprocesses auto --maxprocesses 8 --device "$device" $files tests/training || status=1
"$python" benchmarks/training_on_device.py "$@" || status=1
exit $status
