"""Is damage ever taken for data? Mutates inputs and damages results, and reads them.

    python benchmarks/damage.py --inputs 300000 --files 10000 --seed 1

*Inputs* are small files of every format that a reader reads, and configs; one to three places of
one file are mutated, then questions or facts are read, and checked. *Files* are what stages wrote:
tables, indexes, checkpoints, finished runs; one file is damaged, then the stage that reads it runs.

What must come out is a result or one error that the user can correct: one line, no traceback, no
end that does not come (60 seconds). Of files the result must also be that of undamaged ones, byte
for byte: noticing no damage is fine where it changes nothing. The exit status is 1 if anything
else comes out; it is then named with its number, which alone repeats it: `--only NUMBER`.
"""

import argparse
import contextlib
import io
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from kformer.checking.check import check
from kformer.config_section import load_section
from kformer.errors import KformerError
from kformer.knowledge import KnowledgeSource
from kformer.knowledge.build import build_facts
from kformer.questions import QuestionSource
from kformer.questions.build import build_questions
from kformer.retrieval.settings import Retrieval
from kformer.study.experiment import load_experiment

ROOT = Path(__file__).parents[1]
LONGEST = 60.0  # seconds for one trial, on a busy machine
TOKENS = (
    *(b'"', b"'", b"\0", b"\r", b"\n", b"\r\n", b"\t", b",", b";", b":", b"{", b"}", b"[", b"]"),
    *(b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\\ud800", b"\\u0000", b"</s>"),
    *(
        b"null",
        b"NaN",
        b"Infinity",
        b"-1",
        b"1e999",
        b"9" * 400,
        b"true",
        b"0x10",
        b"A",
        b"[" * 3000,
    ),
    *(
        "\u00ad\u200b\u2028é".encode(),
        "胰岛素".encode(),
        b"<html>",
        b"PK\x03\x04",
        b"<!ENTITY a 'b'>",
    ),
    *(
        b"&a;",
        b"*a",
        b"!!python/object:os.system",
        b"../..",
        b"test",
        b"train",
        b"answer",
        b"question",
    ),
)


def json_lines(*rows: dict) -> bytes:
    return "\n".join(json.dumps(row) for row in rows).encode()


def parquet(*rows: dict) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows)), file)
    return file.getvalue()


def asked(number: int) -> dict:
    """A question as users write it."""
    return {"question": f"What is {number}?", "choices": ["one", "two", "three"], "answer": "two"}


QUESTIONS = [
    asked(number) | {"split": split}
    for number, split in enumerate(["train", "train", "train", "validation", "test", "test"])
]
CSV = b"question,A,B,answer,split\n" + b"".join(
    f'"What, {row["question"]}",yes,no,A,{row["split"]}\n'.encode() for row in QUESTIONS
)
TSV = b"question\tA\tB\tanswer\tsplit\n" + b"".join(
    f"{row['question']}\tyes\tno\tA\t{row['split']}\n".encode() for row in QUESTIONS
)
MED_QA = {
    "question": "Which one?",
    "answer": "x",
    "options": dict.fromkeys("ABCD", "x") | {"B": "y", "C": "z", "D": "w"},
    "answer_idx": "A",
    "meta_info": "step1",
}
SOCIAL_IQA = {"context": "Dana ran.", "question": "Why?"} | {f"answer{c}": c for c in "ABC"}
MED_QA_FILE = "questions/US/4_options/phrases_no_exclude_{}.jsonl"
ATOMIC = (
    "event,oEffect,oReact,oWant,xAttr,xEffect,xIntent,xNeed,xReact,xWant,prefix,split\n"
    'PersonX runs,[],[],[],"[""fast""]",[],[],[],"[""glad"", ""none""]",[],"[""runs""]",trn\n'
)
MEDQUAD = (
    '<?xml version="1.0" encoding="UTF-8"?><Document id="1" source="NIH" url="https://a.org">'
    '<Focus>Gout</Focus><QAPairs><QAPair pid="1"><Question qid="1" qtype="symptoms">What is gout?'
    "</Question><Answer>A kind of arthritis. It hurts.</Answer></QAPair></QAPairs></Document>"
)

# Name: the settings of a reader, and the files that it reads. The first file is mutated.
READERS: dict[str, tuple[dict, dict[str, bytes]]] = {
    "questions jsonl": ({"dataset": "jsonl", "path": "."}, {"q.jsonl": json_lines(*QUESTIONS)}),
    "questions csv": ({"dataset": "csv", "path": "."}, {"q.csv": CSV}),
    "questions tsv": ({"dataset": "csv", "path": "."}, {"q.tsv": TSV}),
    "questions parquet": ({"dataset": "parquet", "path": "."}, {"q.parquet": parquet(*QUESTIONS)}),
    "med_qa": (
        {"dataset": "med_qa"},
        {MED_QA_FILE.format(name): json_lines(MED_QA, MED_QA) for name in ("train", "dev", "test")},
    ),
    "social_iqa": (
        {"dataset": "social_iqa", "validation_share": 0.4},
        {
            "train.jsonl": json_lines(
                *[SOCIAL_IQA | {"context": f"Dana ran {n}."} for n in range(5)]
            ),
            **{"train-labels.lst": b"1\n2\n3\n1\n2", "dev.jsonl": json_lines(SOCIAL_IQA)},
            "dev-labels.lst": b"1",
        },
    ),
    "facts jsonl": (
        {"source": "jsonl", "path": "."},
        {
            "f.jsonl": json_lines(
                {"text": "Cats purr."}, {"head": "cat", "relation": "IsA", "tail": "pet"}
            )
        },
    ),
    "facts csv": (
        {"source": "csv", "path": "."},
        {"f.csv": b'head,relation,tail\ncat,IsA,pet\n"big, old dog",Desires,"a ""bone"""\n'},
    ),
    "facts tsv": (
        {"source": "tsv", "path": "."},
        {"f.tsv": b"cat\tIsA\tpet\ndog\tDesires\tbone\n"},
    ),
    "facts txt": (
        {"source": "txt", "path": "."},
        {"f.txt": b"Cats purr.\n\nDogs bark. They run.\n"},
    ),
    "facts parquet": (
        {"source": "parquet", "path": "."},
        {"f.parquet": parquet({"text": "Cats purr."}, {"text": "Dogs bark."})},
    ),
    "atomic": ({"source": "atomic"}, {"v4_atomic_trn.csv": ATOMIC.encode()}),
    "atomic2020": (
        {"source": "atomic2020"},
        {
            f"{name}.tsv": b"PersonX runs\txReact\tglad\ndog\tIsA\tpet\n"
            for name in ("train", "dev", "test")
        },
    ),
    "conceptnet": (
        {"source": "conceptnet"},
        {"train.txt": b"IsA\tcat\tpet\t1.0\nHasA\tcat\ttail\t1.0\n"},
    ),
    "medquad": ({"source": "medquad"}, {"1_a/1.xml": MEDQUAD.encode()}),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=300_000)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="the number of one trial")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    given = parser.parse_args()
    total = given.inputs + given.files
    numbers = range(total) if given.only is None else [given.only]
    tasks = ((given.seed, number, number < given.inputs) for number in numbers)
    base = Path(tempfile.mkdtemp(prefix="damage-"))
    _RESULTS.append(base / "results")
    if given.files:
        make_results(base / "results")
    began, outcomes, wrong = time.monotonic(), Counter(), 0
    with multiprocessing.Pool(given.processes) as pool:
        for done, found in enumerate(pool.imap_unordered(tried, tasks, chunksize=20), start=1):
            outcomes[found.kind, found.outcome] += 1
            if found.problem:
                wrong += 1
                print(f"{found.number} {found.kind}: {found.problem}", flush=True)
            if done % 2_000 == 0:
                print(f"{done:,} of {total:,}, {time.monotonic() - began:.0f} s", flush=True)
    kinds = sorted({kind for kind, _ in outcomes})
    for kind in kinds:
        counts = (f"{outcomes[kind, name]:,} {name}" for name in ("read", "refused", "wrong"))
        print(f"{kind}: {', '.join(counts)}")
    print(f"{total:,} trials, {wrong} wrong ({(time.monotonic() - began) / 60:.0f} min)")
    shutil.rmtree(base)
    return 1 if wrong else 0


@dataclass(frozen=True)
class Trial:
    """What came out of one trial; ``problem`` says what is wrong with it, if anything is."""

    number: int
    kind: str
    outcome: str
    problem: str | None = None


class Endless(BaseException):
    """Nothing came out in time."""


def tried(task: tuple[int, int, bool]) -> Trial:
    """One trial, repeatable from its number and the seed."""
    seed, number, is_input = task
    chance = random.Random(f"{seed} {number}")
    kinds = [*READERS, "config"] if is_input else list(damaged_kinds())
    # To go on from a checkpoint takes seconds, the others a moment.
    (kind,) = chance.choices(kinds, [0.3 if each == "checkpoints" else 1 for each in kinds])
    signal.signal(signal.SIGALRM, _end)
    signal.setitimer(signal.ITIMER_REAL, LONGEST)
    silence = contextlib.redirect_stderr(io.StringIO())
    try:
        with tempfile.TemporaryDirectory(dir=scratch()) as folder, silence:
            problem = (read_input if is_input else read_damaged)(kind, Path(folder), chance)
    except KformerError as refusal:
        message = str(refusal)
        if "\n" in message or not message.strip():
            return Trial(number, kind, "wrong", f"message of several lines: {message!r}")
        return Trial(number, kind, "refused")
    except Endless:
        return Trial(number, kind, "wrong", f"no end within {LONGEST:.0f} s")
    except OSError as error:
        if error.filename and error.strerror:  # the command line makes one line of it
            return Trial(number, kind, "refused")
        return Trial(number, kind, "wrong", repr(error))
    except Exception as error:  # noqa: BLE001 (whatever it is, it is what is looked for)
        return Trial(number, kind, "wrong", f"{type(error).__name__}: {error}"[:300])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return Trial(number, kind, "wrong" if problem else "read", problem)


def _end(*_: object) -> None:
    raise Endless


@cache
def scratch() -> str | None:
    """A folder in memory, where there is one: most trials are over in milliseconds."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


# Inputs


def read_input(kind: str, folder: Path, chance: random.Random) -> str | None:
    """Reads what was mutated, as a stage and as `kformer check` do."""
    if kind == "config":
        return read_config(chance)
    settings, files = READERS[kind]
    name, content = next(iter(files.items()))
    for path, unchanged in {**files, name: mutated(content, chance)}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(unchanged)
    out = folder.with_name(f"{folder.name}.parquet")
    try:
        reader = reader_of(kind)
        if "dataset" in settings:
            if chance.random() < 0.2:
                check(folder, "questions", lambda line: None)
            build_questions(reader, folder, out)
        else:
            if chance.random() < 0.2:
                check(folder, "facts", lambda line: None)
            build_facts([reader], [folder], out)
        pq.read_table(out)
    finally:
        out.unlink(missing_ok=True)
    return None


@cache
def reader_of(kind: str) -> QuestionSource | KnowledgeSource:
    settings, _ = READERS[kind]
    source = QuestionSource if "dataset" in settings else KnowledgeSource
    return load_section(source, json.dumps(settings))


def read_config(chance: random.Random) -> None:
    """Half of the configs are mutated as text, half in their values and keys."""
    path = chance.choice(whole_configs())
    text = path.read_bytes()
    as_text = chance.random() < 0.5
    try:
        content = yaml.safe_load(mutated(text, chance) if as_text else text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise KformerError(f"not YAML: {type(error).__name__}") from None  # Snakemake says so
    if not as_text:
        content = changed_values(content, chance)
    load_experiment(content if isinstance(content, dict) else {}, str(path.name))


@cache
def whole_configs() -> list[Path]:
    """Those that are no overlay over another one, which alone would always be refused."""
    files = sorted((ROOT / "config").glob("*.yaml"))
    return [file for file in files if "experiment" in yaml.safe_load(file.read_bytes())]


def mutated(content: bytes, chance: random.Random) -> bytes:
    """One to three places are changed."""
    for _ in range(chance.randint(1, 3)):
        start = chance.randrange(len(content) + 1)
        end = min(len(content), start + int(chance.paretovariate(0.7)))
        piece = content[start:end]
        kind = chance.randrange(9)
        if kind == 0 and piece:
            content = (
                content[:start]
                + bytes([piece[0] ^ (1 << chance.randrange(8))])
                + content[start + 1 :]
            )
        elif kind == 1:
            content = content[:start] + content[end:]
        elif kind == 2:
            content = content[:end] + piece * chance.randint(1, 3) + content[end:]
        elif kind in (3, 4, 5):
            content = content[:start] + chance.choice(TOKENS) + content[start:]
        elif kind == 6:
            content = content[:start]
        elif kind == 7:
            lines = content.split(b"\n")
            chance.shuffle(lines)
            content = b"\n".join(lines)
        else:
            content = changed_encoding(content, chance)
    return content


def changed_encoding(content: bytes, chance: random.Random) -> bytes:
    text = content.decode("utf-8", "replace")
    kind = chance.randrange(4)
    if kind == 0:
        return text.encode("utf-16")
    if kind == 1:
        return text.encode("latin-1", "replace")
    return content.replace(b"\n", b"\r" if kind == 2 else b"\r\n")


def changed_values(content: object, chance: random.Random) -> object:
    """A config with a value replaced, or a key left out, doubled or misspelt."""
    odd = [None, True, -1, 0, 1.5, float("nan"), float("inf"), 10**30, "", " ", "x" * 5000, "a\nb"]
    odd += ["\ud800", [], {}, [[]], {"a": 1}, "none", "ffn", "../..", "1e-5", "[1, 2]", [1, 1]]
    for _ in range(chance.randint(1, 3)):
        at = content
        while isinstance(at, dict) and at:
            key = chance.choice(list(at))
            if isinstance(at[key], dict) and at[key] and chance.random() < 0.8:
                at = at[key]
                continue
            kind = chance.randrange(4)
            if kind == 0:
                del at[key]
            elif kind == 1:
                at[f"{key}x" if isinstance(key, str) else key] = at.pop(key)
            else:
                at[key] = chance.choice(odd)
            break
    return content


# Files


@dataclass(frozen=True)
class Damaged:
    """How a kind of result is damaged, and read.

    Attributes:
        below: the folder whose files are damaged, in the folder of all results.
        read: reads all results in a folder, and says what came out, as bytes.
    """

    below: str
    read: Callable[[Path], bytes]


@cache
def damaged_kinds() -> dict[str, Damaged]:
    return {
        **{f"table {name}": Damaged(f"tables/{name}.parquet", read_tables) for name in TABLES},
        **{f"tokens of {name}": Damaged(f"tokens/{name}.arrow", predicted) for name in TOKENISED},
        "index of words": Damaged("words", lambda folder: retrieved(folder, "bm25", "words")),
        "index of embeddings": Damaged(
            "embeddings", lambda folder: retrieved(folder, "dense", "embeddings")
        ),
        "finished run": Damaged("runs/ffn/seed-1", predicted),
        "comparison": Damaged("comparison", compared),
        "checkpoints": Damaged("unfinished", trained),
    }


def read_damaged(kind: str, folder: Path, chance: random.Random) -> str | None:
    """Reads results of which one file was damaged; says if what comes out is something else."""
    damaged = damaged_kinds()[kind]
    copy = folder / "results"
    shutil.copytree(results(), copy)
    at = copy / damaged.below
    file = (
        at
        if at.is_file()
        else chance.choice(sorted(path for path in at.rglob("*") if path.is_file()))
    )
    what = damage(file, chance)
    if damaged.read(copy) != undamaged(kind):
        return f"{file.relative_to(copy)} {what}: something else was read"
    return None


def damage(file: Path, chance: random.Random) -> str:
    content = file.read_bytes()
    kind = chance.choice(
        ["flipped", "flipped", "truncated", "emptied", "deleted", "extended", "replaced"]
    )
    if kind == "deleted":
        file.unlink()
        return kind
    if kind == "replaced":
        others = sorted(path for path in file.parent.iterdir() if path.is_file() and path != file)
        content = chance.choice(others).read_bytes() if others else b"\0" * len(content)
    elif kind == "flipped":
        changed = bytearray(content)
        for _ in range(chance.randint(1, 20) if content else 0):
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        content = bytes(changed)
    else:
        shorter = content[: chance.randrange(len(content) + 1)]
        content = {"truncated": shorter, "emptied": b"", "extended": content + b"\0" * 9}[kind]
    file.write_bytes(content)
    return kind


@cache
def undamaged(kind: str) -> bytes:
    with tempfile.TemporaryDirectory(dir=scratch()) as folder:
        copy = Path(folder) / "results"
        shutil.copytree(results(), copy)
        return damaged_kinds()[kind].read(copy)


TABLES = ("questions", "facts", "retrieval")
TOKENISED = ("questions", "facts")


def tables(folder: Path) -> list[Path]:
    return [folder / "tables" / f"{name}.parquet" for name in TABLES]


def tables_of_training(folder: Path, injection: str) -> tuple[Path, tuple[Path, Path] | None]:
    questions, facts = (folder / "tokens" / f"{name}.arrow" for name in TOKENISED)
    found = folder / "tables" / "retrieval.parquet"
    return questions, (facts, found) if injection == "ffn" else None


def read_tables(folder: Path) -> bytes:
    from kformer.io.tables import read_rows

    rows = {name: list(read_rows(folder / "tables" / f"{name}.parquet", name)) for name in TABLES}
    return repr(rows).encode()


def retrieved(folder: Path, method: str, index: str) -> bytes:
    from kformer.retrieval.retrieve import retrieve

    questions, facts, _ = tables(folder)
    out = folder / "found.parquet"
    retrieve(retrieval_settings(method), questions, facts, [folder / index], out)
    return (
        pq.read_table(out, columns=["question_id", "fact_ids", "scores"])
        .to_pandas()
        .to_csv()
        .encode()
    )


def predicted(folder: Path) -> bytes:
    from kformer.evaluation.predict import predict

    questions, knowledge = tables_of_training(folder, "ffn")
    predict(folder / "runs/ffn/seed-1", questions, knowledge, folder / "p.parquet")
    return repr(pq.read_table(folder / "p.parquet").to_pylist()).encode()


def compared(folder: Path) -> bytes:
    """Both runs of the comparison are read; what is measured differs from run to run."""
    from kformer.evaluation.compare import compare

    runs = sorted((folder / "comparison").glob("*/*"))
    return repr(compare("x", runs, "none", folder / "out")).encode()


def trained(folder: Path) -> bytes:
    """Goes on from checkpoints, to the end."""
    train_run(folder, "ffn", 1, folder / "again", folder / "unfinished")
    return (folder / "again/model/model.safetensors").read_bytes()


WORLD = {"train_questions": 48, "validation_questions": 24, "test_questions": 24}
_RESULTS: list[Path] = []  # set before workers are forked


def results() -> Path:
    return _RESULTS[0]


def make_results(folder: Path) -> None:
    """A tiny study's results, and a training that was stopped just before its end."""
    from tiny_encoder import write_tiny_encoder

    from kformer.demo_world import DemoWorld, write_world
    from kformer.evaluation.predict import predict
    from kformer.modeling.featurize import featurize
    from kformer.retrieval.index import index_embeddings, index_words
    from kformer.retrieval.retrieve import retrieve

    world = DemoWorld(**WORLD)
    write_world(world, folder / "world")
    write_tiny_encoder(encoder(), world)
    (folder / "tables").mkdir()
    questions, facts, found = tables(folder)
    build_questions(
        load_section(QuestionSource, '{"dataset": "demo"}'), folder / "world", questions
    )
    build_facts([load_section(KnowledgeSource, '"demo"')], [folder / "world"], facts)
    index_words(retrieval_settings("bm25"), facts, folder / "words")
    index_embeddings(retrieval_settings("dense"), facts, folder / "embeddings")
    retrieve(retrieval_settings("bm25"), questions, facts, [folder / "words"], found)
    for table in (questions, facts):
        featurize(table, str(encoder()), folder / "tokens" / f"{table.stem}.arrow")
    for injection in ("none", "ffn"):
        run = folder / "runs" / injection / "seed-1"
        train_run(folder, injection, 1, run, folder / "unfinished")
        read = tables_of_training(folder, injection)
        predict(run, *read, run / "predictions.parquet")
        kept = folder / "comparison" / injection / "seed-1"
        kept.mkdir(parents=True)
        for name in ("training.json", "predictions.parquet"):
            shutil.copy(run / name, kept / name)
    with contextlib.suppress(StoppedShortly):
        train_run(folder, "ffn", 1, folder / "again", folder / "unfinished", stop_at=MAX_STEPS - 1)


MAX_STEPS = 8


class StoppedShortly(Exception):
    """Stands for a kill."""


def encoder() -> Path:
    return results().with_name("encoder")


def retrieval_settings(method: str) -> Retrieval:

    return Retrieval(method=method, top_k=4, encoder=str(encoder()))


def train_run(
    folder: Path,
    injection: str,
    seed: int,
    out: Path,
    checkpoints: Path,
    stop_at: int | None = None,
) -> None:
    import torch

    from kformer.modeling.settings import Model
    from kformer.training.run import train, training_lock
    from kformer.training.settings import Training, TrainSettings

    class Log:
        def log(self, _: object, step: int) -> None:
            if step == stop_at:
                raise StoppedShortly

        def flush(self) -> None:
            pass

    torch.set_num_threads(1)
    questions, knowledge = tables_of_training(folder, injection)
    settings = TrainSettings(
        model=Model(encoder=str(encoder()), injection=injection, facts=3, max_tokens=64),
        training=Training(max_steps=MAX_STEPS, evaluations=8, warmup_steps=1, precision="fp32"),
    )
    with training_lock(out, checkpoints) as lock:
        train(settings, seed, questions, knowledge, out, checkpoints, lock, Log(), "1")


if __name__ == "__main__":
    sys.exit(main())
