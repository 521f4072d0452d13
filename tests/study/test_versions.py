"""A stage whose result changes gets another version, so that its files get other keys.

`results_of_stages.json` has what each stage made of small fixed inputs, and at which version. When
a test here fails because you changed a result on purpose: raise the stage's version in
`kformer/study/stage_versions.py` and run ``RECORD=1 pytest tests/study/test_versions.py``.

Numbers that depend on how a processor rounds are compared with a tolerance, all else exactly.
"""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file

from kformer.cli import app
from kformer.io.output_names import ComparisonReport, RetrievalReport, RunFolder
from kformer.modeling.injections import INJECTIONS
from kformer.study.stage_versions import VERSIONS

RECORDED = Path(__file__).with_name("results_of_stages.json")
SOURCES = Path(__file__).with_name("small_sources.json")  # a few lines as their owners publish them
RECORDING = "RECORD" in os.environ
SIZE = {"train_questions": 48, "validation_questions": 24, "test_questions": 24}
TRAINING = {"max_steps": 4, "warmup_steps": 1, "evaluations": 1, "learning_rate": 1e-3}
TRAINING |= {"precision": "fp32"}
BOOST = {"relations": {"easy": ["pet", "job"], "hard": ["food"]}, "mode": "boost"}

pytestmark = pytest.mark.slow


def kformer(command: str, **options) -> None:
    """Runs a command; settings are JSON."""
    arguments = command.split()
    for name, value in options.items():
        arguments += [f"--{name}", json.dumps(value) if name == "settings" else str(value)]
    app(arguments, standalone_mode=False)


def read_all(command: str, out: Path) -> list[Path]:
    """The tables that a command makes of `small_sources.json`, one for each reader."""
    sources = json.loads(SOURCES.read_text("utf-8"))[command]
    tables = []
    for number, (settings, files) in enumerate(sources.items()):
        folder = out / f"{command}-{number}"
        for name, file in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            lines = file if isinstance(file, str) else "\n".join(map(json.dumps, file))
            (folder / name).write_text(lines, "utf-8")
        tables.append(out / f"{command}-{number}.parquet")
        arguments = [command, "--input", str(folder), "--out", str(tables[-1])]
        app([*arguments, "--settings", settings], standalone_mode=False)
    return tables


@pytest.fixture(scope="module")
def results(tmp_path_factory, tiny_encoder):
    """What every stage makes of a tiny demo world, by the name of the stage."""
    out = tmp_path_factory.mktemp("results")
    world, questions, facts, events = (out / name for name in ("world", "q", "f", "e"))
    kformer("demo-world", out=world, settings=SIZE)
    kformer("questions", input=world, out=questions, settings={"dataset": "demo"})
    kformer("facts", input=world, out=facts, settings=["demo"])
    kformer("events", facts=facts, out=events)

    encoder = {"encoder": str(tiny_encoder)}
    kformer("index words", facts=facts, out=out / "words")
    kformer("index words", facts=events, out=out / "event-words", settings={"events": 4})
    kformer("index embeddings", facts=facts, out=out / "vectors", settings=encoder)
    of = {"questions": questions, "facts": facts}
    by_words = [
        ("words", {"query": "choice", "top_k": 4}),
        ("words", {"query": "context", "top_k": 2, "match": BOOST}),
        ("event-words", {"events": 4, "match": BOOST | {"mode": "filter"}}),
        (None, {"method": "rank_bm25", "top_k": 2}),
    ]
    tables = [out / f"r{number}" for number in range(len(by_words))]
    for table, (index, settings) in zip(tables, by_words, strict=True):
        indexes = {"index": out / index} if index else {}
        kformer("retrieve", **of, **indexes, out=table, settings=settings)
    dense = {"method": "dense", "top_k": 2} | encoder
    kformer("retrieve", **of, index=out / "vectors", out=out / "dense", settings=dense)
    of["retrieval"] = tables[0]
    table = {"questions": questions, "retrieval": tables[0]}
    kformer("describe-retrieval", **of, out=out / "report")
    for control in ("shuffle", "random"):
        kformer(f"control {control}", **of, out=out / control)

    untrained, control = (
        RunFolder.of(out / "runs", name, None) for name in ("untrained", "control")
    )
    kformer("answer-by-retrieval", **table, out=untrained.predictions)
    table["retrieval"] = out / "shuffle"
    kformer("answer-by-retrieval", **table, out=control.predictions)
    compared = f"compare {untrained.path} {control.path}"
    kformer(compared, experiment="tiny", baseline="control", out=out / "comparison")
    reported = f"report {untrained.path} {control.path}"
    numbers = ComparisonReport(out / "comparison").numbers
    options = {"comparison": numbers, "questions": questions, "out": out / "page.html"}
    kformer(reported, **options, tables=out / "tables")
    question_tokens, fact_tokens = out / "question-tokens", out / "fact-tokens"
    kformer("featurize", table=questions, **encoder, out=question_tokens)
    kformer("featurize", table=facts, **encoder, out=fact_tokens)
    read = {"question-tokens": question_tokens, "fact-tokens": fact_tokens}
    read["retrieval"] = tables[0]
    runs = {name: RunFolder.of(out / "runs", name, 1) for name in INJECTIONS}
    for name, run in runs.items():
        model = {"injection": name, "key_init": "identity", "facts": 2} | encoder
        settings = {"model": model, "training": TRAINING}
        kformer("train", **read, out=run.path, checkpoints=out / "c", seed=1, settings=settings)
        kformer("evaluate", run=run.path, **read, out=run.predictions)
    reading = ("concat", "attention", "ffn")
    for run in (runs[name] for name in reading):
        texts = {"questions": questions, "facts": facts}
        kformer("use-of-facts", run=run.path, **read, **texts, sample=6, out=run.use_of_facts)

    frozen = {"encoder_layers": 1, "keep_states": True, "precision": "fp32"}
    settings = {"model": encoder, "training": frozen}
    kformer("states", **{"question-tokens": question_tokens}, out=out / "s", settings=settings)

    report, comparison = RetrievalReport(out / "report"), ComparisonReport(out / "comparison")
    return {
        "demo_world": digest(world),
        "questions": digest(questions, *read_all("questions", out)),
        "facts": digest(facts, *read_all("facts", out)),
        "events": digest(events),
        "index_words": digest(out / "words", out / "event-words"),
        "index_embeddings": embeddings(out / "vectors"),
        "retrieve": {"by words": digest(*tables), "by embeddings": scores(out / "dense")},
        "describe_retrieval": digest(report.page, report.numbers, report.sample),
        "control": digest(out / "shuffle", out / "random"),
        "featurize": digest(question_tokens, fact_tokens),
        "states": states(out / "s"),
        "train": {name: trained(run) for name, run in runs.items()},
        "evaluate": {name: answered(run.predictions) for name, run in runs.items()},
        "use_of_facts": {name: used(runs[name].use_of_facts) for name in reading},
        "answer_by_retrieval": digest(untrained.predictions),
        "compare": statistics(comparison.numbers),
        "report": digest(out / "tables"),
    }


def digest(*paths: Path) -> str:
    """Of the content of files and folders; which library version wrote a table plays no part."""
    files = [file for path in paths for file in (sorted(path.rglob("*")) or [path])]
    return hashlib.sha256("\n".join(map(content, files)).encode()).hexdigest()


def content(file: Path) -> str:
    """A table as its rows, an index's description without checksums of tables, else the bytes."""
    magic = file.read_bytes()[:4]
    if magic in (b"PAR1", b"ARRO"):
        table = pq.read_table(file) if magic == b"PAR1" else pa.ipc.open_file(file).read_all()
        metadata = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
        origin = json.loads(metadata.get("kformer_made_of", "{}"))
        kept = {key: value for key, value in origin.items() if "sha256" not in key}
        return json.dumps([str(table.schema.remove_metadata()), kept, table.to_pylist()])
    if file.name == "index.json":
        index = json.loads(file.read_text("utf-8"))
        kept = {key: value for key, value in index.items() if "sha256" not in key}
        return json.dumps(kept | {"table": None})
    return f"{file.name} {hashlib.sha256(file.read_bytes()).hexdigest()}"


def embeddings(folder: Path) -> list[float]:
    """The first ones, and what all add up to."""
    vectors = np.load(folder / "embeddings.npy").astype(float)
    return [*vectors[0, :8].tolist(), *vectors.sum(axis=0)[:8].tolist()]


def states(folder: Path) -> list[float]:
    """The first ones, and how many there are."""
    kept = np.fromfile(folder / "states.bin", np.float32).astype(float)
    return [*kept[:8].tolist(), float(np.linalg.norm(kept)), float(len(kept))]


def scores(table: Path) -> list[float]:
    """Of all facts that were found: which of two equally near ones is found depends on rounding."""
    return [score for row in pq.read_table(table).to_pylist() for score in row["scores"]]


def trained(run: RunFolder) -> dict[str, float]:
    """The length of every weight, and what training measured."""
    weights = load_file(run.model / "model.safetensors")
    summary = json.loads(run.summary.read_text("utf-8"))
    measured = ("steps", "train_questions", "inputs_cut", "parameters", "added_parameters")
    lengths = {name: float(np.linalg.norm(weight)) for name, weight in sorted(weights.items())}
    return lengths | {name: summary[name] for name in measured}


def answered(predictions: Path) -> list[float]:
    """All logits, and the facts that were injected."""
    rows = pq.read_table(predictions).to_pylist()
    facts = [fact for row in rows for ids in row["fact_ids"] for fact in ids]
    return [logit for row in rows for logit in row["logits"]] + facts


def used(use_of_facts: Path) -> list[float]:
    """All margins, what each fact adds, and where it fires; which facts were read, and gold."""
    rows = pq.read_table(use_of_facts).to_pylist()
    margins = [value for row in rows for name, value in row.items() if name.startswith("margin")]
    facts = [fact for row in rows for fact in row["facts"]]
    fired = [activation for fact in facts for activation in fact["activations"]]
    gains = [fact["margin_gain"] for fact in facts]
    return margins + gains + fired + [fact["fact_id"] + fact["is_gold"] / 2 for fact in facts]


def statistics(numbers: Path) -> dict[str, float]:
    """The statistics of each condition, where there are any; no times."""
    found = json.loads(numbers.read_text("utf-8"))
    names = ("accuracy_mean", "delta", "p_value", "p_holm", "p_guessing", "detectable")
    return {
        f"{each['condition']} {name}": each[name]
        for each in found["conditions"]
        for name in names
        if each[name] is not None
    }


def same(result, recorded) -> bool:
    if isinstance(result, dict) and isinstance(recorded, dict):
        return result.keys() == recorded.keys() and all(
            same(result[name], recorded[name]) for name in result
        )
    if recorded is None or isinstance(result, str):
        return result == recorded
    return result == pytest.approx(recorded, rel=2e-3, abs=2e-4)


@pytest.mark.parametrize("stage", VERSIONS)
def test_another_result_has_another_version(results, stage):
    recorded = json.loads(RECORDED.read_text("utf-8")) if RECORDED.is_file() else {}
    before = recorded.get(stage, {"version": None, "result": None})
    if same(results[stage], before["result"]):
        # Raised on purpose, where these inputs do not show what has changed.
        is_raised = RECORDING and before["version"] < VERSIONS[stage]
        assert is_raised or before["version"] == VERSIONS[stage], f"{stage}: record its version"
        if not is_raised:
            return
    assert before["version"] != VERSIONS[stage], (
        f"{stage}: its result has changed, so raise its version in kformer/study/stage_versions.py"
    )
    assert RECORDING, f"{stage}: run RECORD=1 pytest {Path(__file__).name}"
    recorded[stage] = {"version": VERSIONS[stage], "result": results[stage]}
    RECORDED.write_text(json.dumps(dict(sorted(recorded.items())), indent=1) + "\n", "utf-8")
