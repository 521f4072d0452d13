"""How fast BM25 finds facts, compared with rank_bm25 and bm25s, and in how much memory.

    python benchmarks/retrieval.py --triples atomic_triples.tsv.gz --medquad MedQuAD.zip \\
        --social-iqa socialiqa-train-dev.zip --med-qa med_qa_sample.zip
    python benchmarks/retrieval.py --only social_iqa --questions 500 \\
        --triples atomic_triples.tsv.gz --social-iqa socialiqa-train-dev.zip

Without --only, all parts run whose data are given:

    social_iqa  ATOMIC's triples, a query per question
    med_qa      passages of MedQuAD, a query per choice
    end_to_end  `kformer index words`, `retrieve` and `gather`, from Parquet to Parquet
    growth      from 10,000 to a million facts, ATOMIC's and variations of them
    matching    only facts with a relation that fits the question's type, and all

All systems tokenise texts by the same function, whose time counts, and read the same tables. Each
is a process of its own, and they take turns, so that a busy machine slows all of them: a ratio is
the median over the turns. A first search, which compiles, is not counted. The reference, rank_bm25,
searches for only a few of the queries. On these the others are compared with it: how often they
find the same facts in the same order, ties by id, and the greatest difference of a score from that
of the same rank in rank_bm25's list. Of the variants of bm25s, the one nearest to rank_bm25 is
taken: a word in more than half of the facts has no weight instead of a small one, and ties are in
no order. Peak memory is resident memory, including what a process compiled; `kformer` maps its
index from a file, of which the part that was read counts. End to end, nothing is tracked.
"""

import argparse
import itertools
import multiprocessing
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

from kformer.io.formatting import markdown_table
from kformer.io.table_schemas import SCHEMAS
from kformer.io.tables import (
    ROWS_PER_BATCH,
    count_rows,
    read_column,
    read_rows,
    read_table,
    write_batches,
    write_table,
)
from kformer.knowledge.build import build_facts
from kformer.knowledge.medquad import MedQuad
from kformer.knowledge.user_files import TsvFacts
from kformer.questions.med_qa import MedQa
from kformer.questions.social_iqa import SocialIqa
from kformer.retrieval.query import Hits, Query, query_of
from kformer.retrieval.settings import Match, Retrieval, Words
from kformer.retrieval.words.tokenizer import tokenizer
from kformer.sources.archives import unpack

TOP_K = 30
WARM_UP = 200  # questions
GROWTH_QUESTIONS = 5_000
TOKENISE = tokenizer(Words())

# What each part needs.
PARTS = {
    "social_iqa": ("triples", "social_iqa"),
    "med_qa": ("medquad", "med_qa"),
    "end_to_end": ("triples", "social_iqa"),
    "growth": ("triples", "social_iqa"),
    "matching": ("triples", "social_iqa"),
}
# At least so many times as fast as another system, and at most so many seconds and megabytes.
OVER_RANK_BM25, OVER_BM25S, OVER_BM25S_PER_CHOICE = 1_000, 1.0, 2.5
SECONDS, MEGABYTES = 90, 2_000


class Task(NamedTuple):
    """Questions, and the facts that are searched for them."""

    facts: Path
    questions: Path
    per_choice: bool = False
    match: bool = False

    def queries(self) -> list[Query]:
        settings = Retrieval(
            query="choice" if self.per_choice else "question",
            match=Match() if self.match else None,
        )
        return [query_of(row, settings) for row in read_rows(self.questions, "questions")]


class System(Protocol):
    """A way to search, which builds its index when it is made."""

    def __init__(self, facts: Path, folder: Path, threads: int) -> None: ...

    def search(self, queries: Sequence[Query]) -> list[Hits]: ...


class RankBm25:
    def __init__(self, facts: Path, folder: Path, threads: int) -> None:
        from kformer.retrieval.words import rank_bm25_reference

        texts = read_column(facts, "text").to_pylist()
        self._searcher = rank_bm25_reference.RankBm25(
            texts, read_column(facts, "relation"), TOKENISE
        )

    def search(self, queries: Sequence[Query]) -> list[Hits]:
        return list(itertools.chain.from_iterable(self._searcher.search(queries, TOP_K)))


class Bm25s:
    def __init__(self, facts: Path, folder: Path, threads: int) -> None:
        import bm25s

        self._threads = threads
        # Of its variants the one that is nearest to rank_bm25.
        variant = {"method": "atire", "idf_method": "robertson", "k1": 1.5, "b": 0.75}
        self._index = bm25s.BM25(**variant, backend="numba")
        words = [TOKENISE(text) for text in read_column(facts, "text").to_pylist()]
        self._index.index(words, show_progress=False)

    def search(self, queries: Sequence[Query]) -> list[Hits]:
        words = [TOKENISE(text) for query in queries for text in query.texts]
        found = self._index.retrieve(words, k=TOP_K, n_threads=self._threads, show_progress=False)
        return list(itertools.starmap(Hits, zip(found.documents, found.scores, strict=True)))


class Kformer:
    def __init__(self, facts: Path, folder: Path, threads: int) -> None:
        from kformer.retrieval.index import index_words
        from kformer.retrieval.searchers import open_searcher

        settings = Retrieval(method="bm25", top_k=TOP_K)
        index_words(settings, facts, folder)
        self._searcher = open_searcher(settings, facts, [folder], threads)

    def search(self, queries: Sequence[Query]) -> list[Hits]:
        return list(itertools.chain.from_iterable(self._searcher.search(queries, TOP_K)))


SYSTEMS: dict[str, type[System]] = {"rank_bm25": RankBm25, "bm25s": Bm25s, "kformer": Kformer}


class Worker:
    """A system in a process of its own."""

    def __init__(self, system: str, task: Task, threads: int, few: int = 0) -> None:
        """Starts a process for a task; it takes all queries, or a ``few``, evenly spread."""
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        arguments = (other, system, task, threads, few)
        self._process = context.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        other.close()

    def ask(self, order: str, *arguments: Any) -> Any:
        """Has the process call a method of `_Served`."""
        self._connection.send((order, arguments))
        try:
            return self._connection.recv()
        except EOFError:
            sys.exit(f"error: a process has ended during {order}; its message is above")

    def close(self) -> float:
        """Ends the process, and returns its peak memory in MB."""
        peak = self.ask("peak")
        self._connection.close()
        self._process.join()
        return peak


class _Served:
    """The methods that a `Worker` calls in its process."""

    def __init__(self, system: str, task: Task, threads: int, few: int) -> None:
        self._kind, self._facts, self._threads = SYSTEMS[system], task.facts, threads
        self._queries, self._few = task.queries(), few
        self._found: list[Hits | None] = [None] * few
        if few:
            texts = [text for query in self._queries for text in query.texts]
            self._queries = [Query(texts[i * len(texts) // few]) for i in range(few)]

    def index(self) -> float:
        """Builds the index and searches once; returns the seconds that building takes."""
        with tempfile.TemporaryDirectory() as folder:
            # What has to be compiled or imported is not counted.
            tiny = Path(folder, "tiny.parquet")
            rows = itertools.islice(read_rows(self._facts, "facts"), 2 * TOP_K)
            write_table(tiny, "facts", rows)
            self._kind(tiny, Path(folder, "tiny"), self._threads).search(self._queries[:1])
            began = time.perf_counter()
            self._system = self._kind(self._facts, Path(folder, "index"), self._threads)
            seconds = time.perf_counter() - began
        if not self._few:
            self._system.search(self._queries[:WARM_UP])
        return seconds

    def rate(self, turn: int, turns: int) -> float:
        """Queries per second; of only a few, each turn takes some."""
        chosen = slice(turn, None, turns) if self._few else slice(None)
        began = time.perf_counter()
        found = self._system.search(self._queries[chosen])
        seconds = time.perf_counter() - began
        self._found[chosen] = found
        return len(found) / seconds

    def hits(self, few: int) -> list[tuple[list[int], list[float]]]:
        """What was found by so many queries, evenly spread."""
        hits = [self._found[i * len(self._found) // few] for i in range(few)]
        return [
            (each.ids[each.scores > 0].tolist(), each.scores[each.scores > 0].tolist())
            for each in hits
        ]

    def peak(self) -> float:
        # Not from getrusage, where a process inherits the peak of the one that started it.
        lines = Path("/proc/self/status").read_text("utf-8").splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1000


def _serve(connection: Connection, system: str, task: Task, threads: int, few: int) -> None:
    served = _Served(system, task, threads, few)
    while True:
        try:
            order, arguments = connection.recv()
        except EOFError:
            return
        connection.send(getattr(served, order)(*arguments))


def in_a_process(function: Callable[..., None], *arguments: Any) -> None:
    """Keeps this process small: its size would count as that of those which it starts."""
    process = multiprocessing.get_context("spawn").Process(target=function, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        sys.exit(f"error: {function.__name__} has failed; its message is above")


def make_social_iqa(triples: Path, archive: Path, limit: int | None, folder: Path) -> None:
    build_facts([TsvFacts(path=str(triples))], [triples], folder / "facts.parquet")
    unpack(archive, archive.name, folder / "archive")
    rows = SocialIqa().read(folder / "archive")
    write_table(folder / "questions.parquet", "questions", itertools.islice(rows, limit))


def make_med_qa(medquad: Path, archive: Path, limit: int | None, folder: Path) -> None:
    unpack(medquad, medquad.name, folder / "medquad")
    build_facts([MedQuad()], [folder / "medquad"], folder / "facts.parquet")
    unpack(archive, archive.name, folder / "archive")
    rows = MedQa().read(folder / "archive")
    write_table(folder / "questions.parquet", "questions", itertools.islice(rows, limit))


def make_varied(facts: Path, count: int, out: Path) -> None:
    """Writes so many different facts: those of a table in any order, then variations of them.

    A variation has another word in place of one, or a word more at its end. New words are drawn
    from the facts' own, the frequent ones more often.
    """
    rng = random.Random(0)
    columns = read_table(facts, "facts").select(["text", "relation"]).to_pydict()
    rows = list(zip(columns["text"], columns["relation"], strict=True))
    rng.shuffle(rows)
    words = [word for text, _ in rows for word in text.split()]
    seen = {text for text, _ in rows}

    def varied() -> Iterator[tuple[str, str | None]]:
        yield from rows
        for text, relation in itertools.cycle(rows):
            changed = text.split()
            position = rng.randint(0, len(changed))
            changed[position : position + 1] = [rng.choice(words)]
            new = " ".join(changed)
            if new not in seen:
                seen.add(new)
                yield new, relation

    def tables() -> Iterator[pa.Table]:
        chosen = itertools.islice(varied(), count)
        first = 0
        while batch := list(itertools.islice(chosen, ROWS_PER_BATCH)):
            texts, relations = zip(*batch, strict=True)
            ids = range(first, first + len(batch))
            constant = ["varied"] * len(batch)
            columns = [ids, texts, relations, constant, constant]
            yield pa.table([list(column) for column in columns], schema=SCHEMAS["facts"])
            first += len(batch)

    write_batches(out, "facts", tables())


def take_evenly(questions: Path, count: int, out: Path) -> None:
    total = count_rows(questions, "questions")
    chosen = {i * total // count for i in range(count)}
    rows = read_rows(questions, "questions")
    write_table(out, "questions", (row for i, row in enumerate(rows) if i in chosen))


def say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def take_turns(workers: dict[str, Worker], turns: int) -> dict[str, list[float]]:
    """Queries per second of each worker in each turn."""
    rates: dict[str, list[float]] = {name: [] for name in workers}
    for turn in range(turns):
        for name, worker in workers.items():
            rates[name].append(worker.ask("rate", turn, turns))
            say(f"  {name}: {rates[name][-1]:,.1f} queries/s")
    return rates


Rows = list[Sequence[str]]


def print_table(header: Sequence[str], rows: Rows) -> None:
    print(f"{markdown_table(header, rows)}\n", flush=True)


class Report:
    """Which targets were met."""

    def __init__(self) -> None:
        self._targets: Rows = []

    def ratio(self, what: str, over: list[float], under: list[float], target: float | None) -> None:
        """Adds the ratios of two systems in the turns, and a target that they should reach."""
        ratios = [a / b for a, b in zip(over, under, strict=True)]
        shown = [_short(ratio) for ratio in (statistics.median(ratios), *ratios)]
        wanted = "" if target is None else f"≥ {_short(target)}"
        met = target is None or statistics.median(ratios) >= target
        verdict = "" if target is None else _verdict(met)
        self._targets.append((what, shown[0], ", ".join(shown[1:]), wanted, verdict))

    def limit(self, what: str, value: float, target: float) -> None:
        """Adds a value, and a target below which it should be."""
        self._targets.append(
            (what, _short(value), "", f"< {_short(target)}", _verdict(value < target))
        )

    def targets(self) -> None:
        if self._targets:
            print_table(("what", "median", "each turn", "target", "verdict"), self._targets)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def _verdict(met: bool) -> str:
    return "met" if met else "missed"


class Settings(NamedTuple):
    turns: int
    threads: int
    rank_bm25_queries: int
    growth: list[int]


def compare(report: Report, name: str, task: Task, target: float, settings: Settings) -> None:
    """Compares the systems on a task."""
    few = settings.rank_bm25_queries
    workers = {
        system: Worker(system, task, settings.threads, few if system == "rank_bm25" else 0)
        for system in SYSTEMS
    }
    index_seconds = {}
    for system, worker in workers.items():
        index_seconds[system] = worker.ask("index")
        say(f"  {system}: index in {index_seconds[system]:.1f} s")
    rates = take_turns(workers, settings.turns)
    hits = {system: worker.ask("hits", few) for system, worker in workers.items()}
    peaks = {system: worker.close() for system, worker in workers.items()}
    rows: Rows = []
    for system in SYSTEMS:
        same, difference = agreement(hits[system], hits["rank_bm25"])
        rate = statistics.median(rates[system])
        rows.append(
            (
                system,
                f"{index_seconds[system]:.1f}",
                f"{rate:.2f}" if rate < 100 else f"{rate:,.0f}",
                f"{peaks[system]:,.0f}",
                *((f"{same:.0%}", f"{difference:.1e}") if system != "rank_bm25" else ("", "")),
            )
        )
    queries = sum(len(query.suffixes) for query in task.queries())
    facts = count_rows(task.facts, "facts")
    print(f"{name}: {queries:,} queries, {facts:,} facts\n")
    header = ("", "index s", "queries/s", "peak MB", f"same {TOP_K} facts", "scores differ by")
    print_table(header, rows)
    ours = rates["kformer"]
    report.ratio(f"{name}: kformer ÷ rank_bm25", ours, rates["rank_bm25"], OVER_RANK_BM25)
    report.ratio(f"{name}: kformer ÷ bm25s", ours, rates["bm25s"], target)


def agreement(
    found: list[tuple[list[int], list[float]]], expected: list[tuple[list[int], list[float]]]
) -> tuple[float, float]:
    """How many of the lists are the same, and the greatest relative difference of scores."""
    pairs = list(zip(found, expected, strict=True))
    same = statistics.mean(ids == right_ids for (ids, _), (right_ids, _) in pairs)
    differences = [
        abs(score - right) / right
        for (_, scores), (_, right_scores) in pairs
        for score, right in zip(scores, right_scores, strict=False)
    ]
    return same, max(differences)


def run_end_to_end(report: Report, task: Task, folder: Path, threads: int) -> None:
    """Twice: with nothing compiled yet, and with what the first time has compiled."""
    tables = ["--questions", str(task.questions), "--facts", str(task.facts)]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")},
        "NUMBA_CACHE_DIR": str(folder / "numba"),
    }
    rows: Rows = []
    for compiled in ("no", "yes"):
        index, part, out = (folder / f"{compiled}-{name}" for name in ("index", "part", "all"))
        find = [*tables, "--index", str(index), "--out", str(part), "--threads", str(threads)]
        gather = [str(part), "--questions", str(task.questions), "--out", str(out)]
        costs = {
            "index words": run(["index", "words", *tables[2:], "--out", str(index)], environment),
            "retrieve": run(["retrieve", *find], environment),
            "gather": run(["gather", *gather], environment),
        }
        costs["all"] = Cost(
            sum(cost.wall for cost in costs.values()),
            sum(cost.cpu for cost in costs.values()),
            max(cost.peak_mb for cost in costs.values()),
        )
        for step, cost in costs.items():
            numbers = (f"{cost.wall:.1f}", f"{cost.cpu:.1f}", f"{cost.peak_mb:,.0f}")
            rows.append((step, compiled, *numbers))
        what = f"end to end, {'compiled' if compiled == 'yes' else 'compiling'}"
        report.limit(f"{what}: seconds", costs["all"].wall, SECONDS)
        report.limit(f"{what}: peak MB", costs["all"].peak_mb, MEGABYTES)
    questions, facts = count_rows(task.questions, "questions"), count_rows(task.facts, "facts")
    print(f"End to end: {questions:,} questions, {facts:,} facts\n")
    print_table(("`kformer` …", "compiled before", "wall s", "CPU s", "peak MB"), rows)


class Cost(NamedTuple):
    wall: float
    cpu: float
    peak_mb: float


def run(arguments: Sequence[str], environment: dict[str, str]) -> Cost:
    command = [str(Path(sys.executable).with_name("kformer")), *arguments]
    say(f"  {' '.join(command)}")
    began = time.perf_counter()
    process = os.posix_spawn(command[0], command, environment)
    _, status, usage = os.wait4(process, 0)
    if status:
        sys.exit(f"error: {' '.join(command)}: exit status {os.waitstatus_to_exitcode(status)}")
    wall = time.perf_counter() - began
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000)


def measure_growth(task: Task, folder: Path, settings: Settings) -> None:
    questions = folder / "some_questions.parquet"
    count = min(GROWTH_QUESTIONS, count_rows(task.questions, "questions"))
    in_a_process(take_evenly, task.questions, count, questions)
    rows: Rows = []
    for size in settings.growth:
        facts = folder / f"{size}.parquet"
        in_a_process(make_varied, task.facts, size, facts)
        worker = Worker("kformer", Task(facts, questions), settings.threads)
        seconds = worker.ask("index")
        say(f"  {size:,} facts: index in {seconds:.1f} s")
        rate = statistics.median(take_turns({"kformer": worker}, settings.turns)["kformer"])
        nanoseconds = 1e9 / rate / size
        numbers = (f"{seconds:.2f}", f"{1e6 * seconds / size:.1f}", f"{rate:,.0f}")
        rows.append((f"{size:,}", *numbers, f"{nanoseconds:.2f}", f"{worker.close():,.0f}"))
    print(f"Growth: {count:,} questions of Social IQA\n")
    per_fact = ("index µs a fact", "queries/s", "ns a query and fact", "peak MB")
    print_table(("facts", "index s", *per_fact), rows)


def measure_matching(report: Report, task: Task, settings: Settings) -> None:
    tasks = {"none": task, "filter": task._replace(match=True)}
    workers = {name: Worker("kformer", each, settings.threads) for name, each in tasks.items()}
    for worker in workers.values():
        worker.ask("index")
    rates = take_turns(workers, settings.turns)
    for worker in workers.values():
        worker.close()
    print("Matching of relations, Social IQA\n")
    rows: Rows = [(name, f"{statistics.median(each):,.0f}") for name, each in rates.items()]
    print_table(("match", "queries/s"), rows)
    report.ratio("matching: filter ÷ none", rates["filter"], rates["none"], None)


def machine(threads: int) -> str:
    """What all of it was measured on, and with which versions."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    packages = ", ".join(f"{name} {version(name)}" for name in ("numba", "bm25s", "rank-bm25"))
    return (
        f"{threads} threads on {threads} of {os.cpu_count()} cores, "
        f"{names[0] if names else platform.machine()}; load at the start {os.getloadavg()[0]:.1f}\n"
        f"Python {platform.python_version()}, {packages}; commit {commit()}\n"
    )


def commit() -> str:
    here = Path(__file__).parent
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=here, capture_output=True, text=True
    )
    return described.stdout.strip() or "unknown"


def parse() -> argparse.Namespace:
    title, _, rest = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(
        description=title, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--triples", type=Path, help="head, relation and tail: a .tsv or .tsv.gz")
    parser.add_argument("--social-iqa", type=Path, help="the official archive")
    parser.add_argument("--medquad", type=Path, help="the official archive")
    parser.add_argument("--med-qa", type=Path, help="the official archive, or a part of it")
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART", help="see below")
    parser.add_argument("--questions", type=int, help="take only so many; not for results")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rank-bm25-queries", type=int, default=21)
    parser.add_argument("--growth", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    options = parser.parse_args()
    given = {name for name in ("triples", "social_iqa", "medquad", "med_qa") if vars(options)[name]}
    if options.only is None:
        options.only = [part for part, needed in PARTS.items() if given.issuperset(needed)]
    missing = sorted({name for part in options.only for name in PARTS[part]} - given)
    if missing or not options.only:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in missing)
        parser.error(f"data are missing; give {names or 'the files of at least one part'}")
    return options


def main() -> None:
    options = parse()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < options.threads:
        sys.exit(f"error: --threads: {options.threads}, but there are {len(cores)} cores")
    os.sched_setaffinity(0, cores[: options.threads])
    turns, few = options.turns, options.rank_bm25_queries
    settings = Settings(turns, options.threads, few, options.growth)
    report = Report()
    print(machine(options.threads), flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        social_iqa, med_qa = (
            Task(folder / part / "facts.parquet", folder / part / "questions.parquet", per_choice)
            for part, per_choice in (("social_iqa", False), ("med_qa", True))
        )
        if set(options.only) - {"med_qa"}:
            say("reading Social IQA and its facts")
            out = folder / "social_iqa"
            data = (options.triples, options.social_iqa, options.questions, out)
            in_a_process(make_social_iqa, *data)
        if "med_qa" in options.only:
            say("reading MedQA and its facts")
            data = (options.medquad, options.med_qa, options.questions, folder / "med_qa")
            in_a_process(make_med_qa, *data)
        for part in options.only:
            say(part)
            if part == "social_iqa":
                compare(report, "Social IQA", social_iqa, OVER_BM25S, settings)
            elif part == "med_qa":
                compare(report, "MedQA", med_qa, OVER_BM25S_PER_CHOICE, settings)
            elif part == "end_to_end":
                run_end_to_end(report, social_iqa, folder, options.threads)
            elif part == "growth":
                measure_growth(social_iqa, folder, settings)
            else:
                measure_matching(report, social_iqa, settings)
    report.targets()


if __name__ == "__main__":
    main()
