"""How fast `kformer facts` reads, and in how much memory: one core, files of a gigabyte.

    python benchmarks/facts.py                       # 1 GB of text; 200 MB of triples and JSON
    python benchmarks/facts.py --megabytes 100

The text is made up: words of a Zipf distribution in sentences, paragraphs and sections with
headings, as in the textbooks of MedQA. No passage occurs twice, which is the most that the search
for duplicates has to remember. Each run is a process of its own on one core; wall and CPU time and
peak resident memory are the operating system's. Since machines are shared, a yardstick runs
before and after: Python reading the same text and splitting it into words, which does a part of the
same work. Its MB/s says how fast the core was at the time.
"""

import argparse
import itertools
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

YARDSTICK = "import sys\nfor line in open(sys.argv[1], encoding='utf-8'): line.split()"
SMALL = 5  # triples and JSON are this many times smaller than the text


class Words:
    """Draws words as a natural text would."""

    def __init__(self) -> None:
        self.rng = random.Random(0)
        letters = "etaoinshrdlucmfwypvbgkjqxz"
        # Frequent words are short: with their spaces 6.3 characters a word, as in MedQuAD.
        lengths = [self.rng.randint(2, 5) for _ in range(200)]
        lengths += [self.rng.randint(3, 11) for _ in range(19_800)]
        self.vocabulary = ["".join(self.rng.choices(letters, k=length)) for length in lengths]
        self.weights = list(itertools.accumulate(1 / rank for rank in range(1, 20_001)))

    def draw(self, count: int) -> list[str]:
        return self.rng.choices(self.vocabulary, cum_weights=self.weights, k=count)


def sections(words: Words) -> Iterator[str]:
    """Sections of a book: a heading and a few paragraphs, with blank lines between them."""
    rng = words.rng
    while True:
        paragraphs = [" ".join(words.draw(3)).capitalize()]
        for _ in range(rng.randint(3, 12)):
            sentences = [" ".join(words.draw(rng.randint(6, 30))) for _ in range(rng.randint(3, 9))]
            paragraphs.append(" ".join(f"{each.capitalize()}." for each in sentences))
        yield "\n\n".join(paragraphs) + "\n\n"


def triples(words: Words) -> Iterator[str]:
    while True:
        yield f"{' '.join(words.draw(4))}\txWant\t{' '.join(words.draw(5))}\n"


def objects(words: Words) -> Iterator[str]:
    while True:
        yield json.dumps({"text": " ".join(words.draw(15)), "relation": "IsA"}) + "\n"


def write(path: Path, pieces: Iterator[str], size: int) -> None:
    written = 0
    with path.open("w", encoding="utf-8") as file:
        while written < size:
            written += file.write(next(pieces))


class Cost(NamedTuple):
    wall: float
    cpu: float
    peak_mb: float


def run(arguments: list[str]) -> Cost:
    """Runs a command on the first core that this process may use."""
    core = min(os.sched_getaffinity(0))
    began = time.perf_counter()
    process = os.fork()
    if process == 0:
        os.sched_setaffinity(0, {core})
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.execv(arguments[0], arguments)
    _, status, usage = os.wait4(process, 0)
    if status:
        sys.exit(f"error: {' '.join(arguments)}: exit status {os.waitstatus_to_exitcode(status)}")
    wall = time.perf_counter() - began
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000)


def facts_command(path: Path, source: str) -> list[str]:
    settings = json.dumps([{"source": source, "path": str(path)}])
    out = str(path.with_suffix(".parquet"))
    options = ["facts", "--input", str(path), "--out", out, "--settings", settings]
    return [str(Path(sys.executable).with_name("kformer")), *options]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=1000, help="of text")
    megabytes = parser.parse_args().megabytes
    kinds: list[tuple[str, Callable[[Words], Iterator[str]], int]] = [
        ("txt", sections, megabytes),
        ("tsv", triples, megabytes // SMALL),
        ("jsonl", objects, megabytes // SMALL),
    ]
    table = Table("what", "MB", "wall s", "CPU s", "MB/s", "MB per CPU s", "peak MB")

    def add(what: str, size: int, cost: Cost) -> None:
        speeds = (f"{size / cost.wall:.1f}", f"{size / cost.cpu:.1f}")
        seconds = (f"{cost.wall:.1f}", f"{cost.cpu:.1f}")
        table.add_row(what, str(size), *seconds, *speeds, f"{cost.peak_mb:,.0f}")

    with tempfile.TemporaryDirectory() as folder:
        for name, pieces, size in kinds:
            path = Path(folder, f"facts.{name}")
            print(f"writing {size} MB: {path}", file=sys.stderr)
            write(path, pieces(Words()), size * 1_000_000)
            yardstick = [sys.executable, "-c", YARDSTICK, str(path)]
            add(f"yardstick ({name})", size, run(yardstick))
            add(f"facts of {name}", size, run(facts_command(path, name)))
            add(f"yardstick ({name})", size, run(yardstick))
            path.unlink()
    Console().print(table)


if __name__ == "__main__":
    main()
