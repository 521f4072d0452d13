"""A stage whose result changes gets another version, so that its files get other keys.

`results_of_stages.json` has what each stage made of small fixed inputs, and at which version. When
a test here fails because you changed a result on purpose: raise the stage's version in
`kformer/study/keys.py` and run ``RECORD=1 pytest tests/study/test_versions.py``.

Numbers that depend on how a processor rounds are compared with a tolerance, all else exactly.
"""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file

from kformer.cli import app
from kformer.io.output_names import ComparisonReport, RetrievalReport, RunFolder
from kformer.study.keys import VERSIONS

RECORDED = Path(__file__).with_name("results_of_stages.json")
RECORDING = "RECORD" in os.environ
SIZE = {"train_questions": 48, "validation_questions": 24, "test_questions": 24}
TRAINING = {"max_steps": 4, "warmup_steps": 1, "evaluations": 2, "learning_rate": 1e-3}
MODEL = {"injection": "ffn", "key_init": "identity", "facts": 2}

pytestmark = pytest.mark.slow


def kformer(command: str, **options) -> None:
    """Runs a command; settings are JSON."""
    arguments = command.split()
    for name, value in options.items():
        arguments += [f"--{name}", json.dumps(value) if name == "settings" else str(value)]
    app(arguments, standalone_mode=False)


@pytest.fixture(scope="module")
def results(tmp_path_factory, tiny_encoder):
    """What every stage makes of a tiny demo world, by the name of the stage."""
    out = tmp_path_factory.mktemp("results")
    world, questions, facts = out / "world", out / "questions", out / "facts"
    training = {"model": MODEL | {"encoder": str(tiny_encoder)}}
    training["training"] = TRAINING | {"precision": "fp32"}
    run, untrained = (
        RunFolder.of(out / "runs", name, seed) for name, seed in (("a", 1), ("b", None))
    )
    kformer("demo-world", out=world, settings=SIZE)
    kformer("questions", input=world, out=questions, settings={"dataset": "demo"})
    kformer("facts", input=world, out=facts, settings=["demo"])
    kformer("events", facts=facts, out=out / "events")
    kformer("index words", facts=facts, out=out / "words")
    dense = {"method": "dense", "encoder": str(tiny_encoder)}
    kformer("index embeddings", facts=facts, out=out / "embeddings", settings=dense)
    of = {"questions": questions, "facts": facts}
    settings = {"query": "choice", "top_k": 4}
    kformer("retrieve", **of, index=out / "words", out=out / "retrieval", settings=settings)
    of["retrieval"] = out / "retrieval"
    kformer("describe-retrieval", **of, out=out / "report")
    kformer("shuffle", questions=questions, retrieval=out / "retrieval", out=out / "shuffled")
    kformer("train", **of, out=run.path, checkpoints=out / "c", seed=1, settings=training)
    kformer("evaluate", run=run.path, **of, out=run.predictions)
    table = {"questions": questions, "retrieval": out / "retrieval"}
    kformer("answer-by-retrieval", **table, out=untrained.predictions)
    runs = f"compare {run.path} {untrained.path}"
    kformer(runs, experiment="tiny", baseline="b", out=out / "comparison")

    report, comparison = RetrievalReport(out / "report"), ComparisonReport(out / "comparison")
    return {
        "demo_world": digest(world),
        "questions": digest(questions),
        "facts": digest(facts),
        "events": digest(out / "events"),
        "index_words": digest(out / "words"),
        "index_embeddings": embeddings(out / "embeddings"),
        "retrieve": digest(out / "retrieval"),
        "describe_retrieval": digest(report.page, report.numbers, report.sample),
        "shuffle": digest(out / "shuffled"),
        "train": trained(run),
        "evaluate": answered(run.predictions),
        "answer_by_retrieval": digest(untrained.predictions),
        "compare": compared(comparison.numbers),
    }


def digest(*paths: Path) -> str:
    """Of the content of files and folders; which library version wrote a table plays no part."""
    files = [file for path in paths for file in (sorted(path.rglob("*")) or [path])]
    return hashlib.sha256("\n".join(map(content, files)).encode()).hexdigest()


def content(file: Path) -> str:
    """A table as its rows, an index's description without checksums of tables, else the bytes."""
    magic = file.read_bytes()[:4]
    if magic == b"PAR1":
        table = pq.read_table(file)
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


def trained(run: RunFolder) -> dict[str, float]:
    """The length of every weight, and what training measured."""
    weights = load_file(run.model / "model.safetensors")
    summary = json.loads(run.summary.read_text("utf-8"))
    measured = ("steps", "best_step", "validation_accuracy", "inputs_cut", "parameters")
    lengths = {name: float(np.linalg.norm(weight)) for name, weight in sorted(weights.items())}
    return lengths | {name: summary[name] for name in measured}


def answered(predictions: Path) -> list[float]:
    """All logits, and the facts that were injected."""
    rows = pq.read_table(predictions).to_pylist()
    facts = [fact for row in rows for ids in row["fact_ids"] for fact in ids]
    return [logit for row in rows for logit in row["logits"]] + facts


def compared(numbers: Path) -> dict[str, float]:
    """The statistics of each condition, where there are any; no times."""
    found = json.loads(numbers.read_text("utf-8"))
    names = ("accuracy_mean", "delta", "p_value", "p_holm", "p_chance")
    return {
        f"{each['condition']} {name}": each[name]
        for each in found["conditions"]
        for name in names
        if each[name] is not None
    }


def same(result, recorded) -> bool:
    if recorded is None or isinstance(result, str):
        return result == recorded
    return result == pytest.approx(recorded, rel=2e-3, abs=2e-4)


@pytest.mark.parametrize("stage", VERSIONS)
def test_another_result_has_another_version(results, stage):
    recorded = json.loads(RECORDED.read_text("utf-8")) if RECORDED.is_file() else {}
    before = recorded.get(stage, {"version": None, "result": None})
    if same(results[stage], before["result"]):
        assert before["version"] == VERSIONS[stage], f"{stage}: record its version"
        return
    assert before["version"] != VERSIONS[stage], (
        f"{stage}: its result has changed, so raise its version in kformer/study/keys.py"
    )
    assert RECORDING, f"{stage}: run RECORD=1 pytest {Path(__file__).name}"
    recorded[stage] = {"version": VERSIONS[stage], "result": results[stage]}
    RECORDED.write_text(json.dumps(dict(sorted(recorded.items())), indent=1) + "\n", "utf-8")
