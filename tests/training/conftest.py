"""Training runs on the tiny world."""

import multiprocessing
import sys
import threading
import time
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from kformer import cli
from kformer.modeling.injections import find_injection
from kformer.modeling.settings import Model
from kformer.training.run import train, training_lock
from kformer.training.settings import Training, TrainSettings


class Killed(BaseException):
    """What stops a run in the middle, as no handler of errors would."""


@pytest.fixture(autouse=True, scope="module")
def always_one_thread():
    """The same run has the same bits, also one that tests share.

    Set anew for each file: tests of other folders, which may run in between, leave several threads.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def start_forked(target, *arguments):
    """Starts a process that goes on from here, and returns it.

    It is forked from a thread of its own: OpenMP's threads, which other tests may have left to this
    one, do not survive a fork, and the process would wait for them for ever.
    """
    process = multiprocessing.get_context("fork").Process(target=target, args=arguments)
    thread = threading.Thread(target=process.start)
    thread.start()
    thread.join()
    return process


@pytest.fixture(scope="session")
def settings(tiny_encoder):
    """Makes settings of a short training: three steps an epoch, a validation every second step."""

    def make(injection="ffn", model=None, **training):
        defaults = {
            "learning_rate": 1e-3,
            "warmup_steps": 2,
            "batch_size": 16,
            "max_steps": 8,
            "evaluations": 4,
            "precision": "fp32",
        }
        model = {"encoder": str(tiny_encoder), "max_tokens": 64, **(model or {})}
        return TrainSettings(
            model=Model(injection=injection, **model), training=Training(**defaults | training)
        )

    return make


@pytest.fixture(scope="session")
def train_into(tiny_tables, tiny_tokens):
    """Trains into the folder ``out``; returns the folder, the summary and all that was logged.

    Without others, the questions are those of the tiny world.
    """

    def start(settings, out, seed=1, log=None, version="1", questions=tiny_tokens[0]):
        logged = []

        class Remembering:
            def log(self, metrics, step):
                logged.append((step, dict(metrics)))
                if log:
                    log(metrics, step)

            def flush(self):
                pass

        knowledge = (tiny_tokens[1], tiny_tables / "question.parquet")
        reads_facts = find_injection(settings.model.injection).fact_input != "none"
        checkpoints = out.with_name(f"{out.name}-checkpoints")
        with training_lock(out, checkpoints) as lock:
            summary = train(
                settings,
                seed,
                questions,
                knowledge if reads_facts else None,
                out,
                checkpoints,
                lock,
                Remembering(),
                version,
            )
        return SimpleNamespace(out=out, summary=summary, logged=logged)

    return start


@pytest.fixture
def run(train_into, tmp_path):
    """Trains into the folder ``name`` of the test."""

    def start(settings, name="run", seed=1, **options):
        return train_into(settings, tmp_path / name, seed, **options)

    return start


@pytest.fixture
def kformer_train(tiny_tables, tiny_tokens, tmp_path):
    """Starts `kformer train`, as a process of its own that writes what it says into a file."""
    processes = []

    def main(said, prepare, options):
        sys.stdout = sys.stderr = said.open("a", buffering=1)
        prepare()
        arguments = [str(each) for pair in options.items() for each in pair]
        sys.argv = ["kformer", "train", *arguments]
        cli.main()

    def start(section, name, prepare=lambda: None, out="none/seed-1", checkpoints="unfinished"):
        """Returns the process, and the file; ``prepare`` is called in the process, first."""
        options = {
            "--question-tokens": tiny_tokens[0],
            "--out": tmp_path / out,
            "--checkpoints": tmp_path / checkpoints,
            "--seed": 1,
            "--settings": section.model_dump_json(),
        }
        if find_injection(section.model.injection).fact_input != "none":
            options["--fact-tokens"] = tiny_tokens[1]
            options["--retrieval"] = tiny_tables / "question.parquet"
        said = tmp_path / f"{name}.txt"
        process = start_forked(main, said, prepare, options)
        processes.append(process)
        return process, said

    yield start
    for process in processes:
        process.kill()
        process.join()


@pytest.fixture(scope="session")
def whole_run(settings, train_into, tmp_path_factory):
    """The run of an injection with the settings as they are; each is trained once."""
    runs = {}

    def trained(injection="ffn"):
        if injection not in runs:
            out = tmp_path_factory.mktemp("runs") / injection
            runs[injection] = train_into(settings(injection), out)
        return runs[injection]

    return trained


def weights(out):
    return load_file(out / "model" / "model.safetensors")


def assert_same_weights(one, other):
    assert one.keys() == other.keys()
    assert not [name for name in one if not torch.equal(one[name], other[name])]


def of_steps(logged, metric):
    """The values of a metric by step; ``train_loss`` is logged at every step that is computed."""
    return {step: metrics[metric] for step, metrics in logged if metric in metrics}


def wait_for(condition):
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def is_said(line, said):
    return said.exists() and line in said.read_text()
