"""A training that is killed again and again ends with the bits of one that was left in peace."""

import os
import random
import signal
from pathlib import Path

import pytest

from kformer.evaluation.predict import predict
from kformer.io.tables import read_rows
from kformer.io.training_summary import TrainingSummary
from kformer.study.stage_versions import train_version
from kformer.training import checkpoints, finished
from kformer.training.interruption import STATUS
from kformer.training.resumable_trainer import ResumableTrainer
from kformer.training.trainer import PassTrainer

from .conftest import assert_same_weights, weights

SIGNALS = [*[signal.SIGKILL] * 5, signal.SIGTERM]
# Where a signal may come: in a step, in a validation, while a checkpoint is written or renamed.
MOMENTS = [
    (PassTrainer, "_forward_backward"),
    (PassTrainer, "_scores"),
    (ResumableTrainer, "write_state"),
    (checkpoints, "write_checksums"),
    (finished, "write_checksums"),
]


def sending(number, countdown):
    """Sends this process a signal at a moment: when so many others have passed."""
    left = [countdown]

    def counted(original):
        def wrapped(*arguments, **options):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), number)
            return original(*arguments, **options)

        return wrapped

    for owner, name in MOMENTS:
        setattr(owner, name, counted(getattr(owner, name)))


def damage_newest(folder: Path, chance: random.Random) -> None:
    """Changes a byte, cuts a file or removes it, in the newest checkpoint if there is one."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    if not found:
        return
    file = chance.choice(sorted(found[-1].iterdir()))
    content = bytearray(file.read_bytes())
    match chance.choice(["change", "cut", "remove"]):
        case "change":
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
            file.write_bytes(content)
        case "cut":
            file.write_bytes(content[: len(content) // 2])
        case "remove":
            file.unlink()


@pytest.fixture(scope="module")
def section(settings):
    """Uneven passes, a smaller last batch, dropout, clipping: all that a step may have."""
    return settings(
        model={"head_dropout": 0.3},
        max_steps=18,
        batch_size=20,
        evaluations=4,
        max_tokens_per_pass=900,
        max_grad_norm=1.0,
        checkpoint_minutes=1e-9,
    )


@pytest.fixture(scope="module")
def undisturbed(section, train_into, tiny_tables, tiny_tokens, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "ffn" / "seed-1"
    train_into(section, out, version=train_version("ffn"))
    return reported(out, tiny_tables, tiny_tokens)


def reported(out, tables, tokens):
    """Predictions, numbers and weights of a run."""
    questions, facts = tokens
    knowledge = (facts, tables / "question.parquet")
    measured = predict(out, questions, knowledge, out / "predictions.parquet")
    summary = TrainingSummary.read(out / "training.json").model_dump()
    numbers = {**measured, **summary}
    return (
        list(read_rows(out / "predictions.parquet", "predictions")),
        {key: n for key, n in numbers.items() if "second" not in key and not key.endswith("_mb")},
        weights(out),
    )


@pytest.mark.slow
@pytest.mark.parametrize("damaged", [False, True], ids=["whole", "damaged"])
@pytest.mark.parametrize("seed", [1, 2])
def test_killed_five_times_and_told_to_end_once_it_comes_to_the_same(
    seed, damaged, section, kformer_train, undisturbed, tiny_tables, tiny_tokens, tmp_path
):
    chance = random.Random(seed)
    ended = []
    for number in chance.sample(SIGNALS, len(SIGNALS)):
        moment = chance.randint(4, 14)
        process, said = kformer_train(
            section, "disturbed", lambda n=number, m=moment: sending(n, m), out="ffn/seed-1"
        )
        process.join()
        ended.append(process.exitcode)
        assert process.exitcode == (STATUS if number == signal.SIGTERM else -number)
        if damaged:
            damage_newest(tmp_path / "unfinished", chance)
    process, said = kformer_train(section, "disturbed", out="ffn/seed-1")
    process.join()
    assert process.exitcode == 0, said.read_text()
    assert sorted(ended) == [-signal.SIGKILL] * 5 + [STATUS]
    assert ("not resumed, removed" in said.read_text()) == damaged

    predictions, numbers, last = reported(tmp_path / "ffn/seed-1", tiny_tables, tiny_tokens)
    expected_predictions, expected_numbers, expected = undisturbed
    assert_same_weights(last, expected)
    assert predictions == expected_predictions
    assert numbers == expected_numbers
