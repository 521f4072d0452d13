"""Do two trees of the project make the same results? Compares what both have made.

    python benchmarks/same_results.py OLD NEW

OLD and NEW are folders with a `results/` each, made by the same config. Keys in paths may differ:
files are matched by what they hold. Prints for each kind of file how many are the same, byte for
byte, and names every one that is not; the exit status is 1 if any differs.
"""

import hashlib
import sys
from collections import Counter, defaultdict
from pathlib import Path

KINDS = {
    "questions": "shared/questions/*/questions.parquet",
    "facts": "shared/facts/*/facts.parquet",
    "events": "shared/facts/*/events.parquet",
    "index": "shared/index/*/*/*.npy",
    "retrieval": "shared/retrieval/*/retrieval.parquet",
    "controls": "shared/retrieval/*/*-*.parquet",
    "retrieval report": "shared/retrieval/*/retrieval.json",
    "tokens": "shared/tokens/*/tokens.arrow",
    "model": "*/runs/*/*/model/model.safetensors",
    "predictions": "*/runs/*/*/predictions.parquet",
}


def contents(tree: Path, pattern: str) -> dict[str, list[Path]]:
    """The files of a kind by their SHA-256; of a run's files, its name is part of it."""
    found = defaultdict(list)
    for path in sorted((tree / "results").glob(pattern)):
        run = "/".join(path.relative_to(tree).parts[1:5]) if "runs" in path.parts else ""
        found[f"{run} {hashlib.sha256(path.read_bytes()).hexdigest()}"].append(path)
    return found


def main(old: Path, new: Path) -> int:
    differences = Counter()
    for kind, pattern in KINDS.items():
        before, after = contents(old, pattern), contents(new, pattern)
        same = before.keys() & after.keys()
        print(f"{kind}: {len(same)} the same")
        for tree, files in (("OLD", before), ("NEW", after)):
            for digest in files.keys() - same:
                differences[kind] += 1
                print(f"  only in {tree}: {', '.join(map(str, files[digest]))}")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:3])))
