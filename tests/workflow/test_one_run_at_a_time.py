"""Two runs in one folder, and jobs that outlive theirs: all of them real processes."""

import os
import signal
import subprocess
import time

import pytest

from .tiny_study import CONDITIONS, ROOT, command, snakemake, tiny_config

pytestmark = pytest.mark.slow

RUN = "results/tiny/runs/kformer/seed-1"


@pytest.fixture
def config(tiny_encoder):
    training = {"max_steps": 60, "evaluations": 30, "warmup_steps": 2, "learning_rate": 0.001}
    kformer = {"kformer": CONDITIONS["kformer"]}
    return tiny_config(tiny_encoder, conditions=kformer, baseline="kformer", training=training)


@pytest.fixture
def start(tmp_path, config):
    """Starts the study in a folder, as a process group of its own, which is killed in the end."""
    started = []

    def run(name="study"):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        call, environment = command(folder, config, "all")
        with (folder / "output.txt").open("a") as output:
            process = subprocess.Popen(
                call,
                env=environment,
                cwd=ROOT,
                start_new_session=True,
                # As in a terminal: what a script runs in the background ignores Ctrl-C.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
                stdout=output,
                stderr=output,
            )
        started.append(process)
        return folder, process

    yield run
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(process, folder, pattern):
    while process.poll() is None and not list(folder.glob(pattern)):
        time.sleep(0.01)
    assert process.poll() is None, f"ended before {pattern}"


def test_a_second_run_ends_with_one_line_and_the_first_is_unharmed(start, config):
    folder, first = start()
    for moment, change in (
        ("results/.lock", {}),
        ("results/tiny/checkpoints/*/*", {"seeds": [2]}),
        ("results/tiny/logs/evaluate/*", {}),
    ):
        wait_for(first, folder, moment)
        second = snakemake(folder, {**config, **change}, "all")
        assert second.returncode != 0
        (line,) = [text for text in second.stderr.splitlines() if text.startswith("error:")]
        assert f"another run is using this folder (process {first.pid} on " in line
        assert "Traceback" not in second.stderr
    assert first.wait() == 0
    assert (folder / RUN / "predictions.parquet").is_file()


@pytest.mark.parametrize("moment", ["training", "evaluation"])
def test_a_run_waits_for_jobs_that_a_killed_one_has_left(start, moment):
    calm, process = start("undisturbed")
    assert process.wait() == 0

    folder, first = start()
    patterns = {"training": "tiny/checkpoints/*/*", "evaluation": "tiny/logs/evaluate/*"}
    wait_for(first, folder, f"results/{patterns[moment]}")
    first.send_signal(signal.SIGKILL)  # and not its jobs
    first.wait()
    _, second = start()
    assert second.wait() == 0
    for name in ("model/model.safetensors", "predictions.parquet"):
        assert (folder / RUN / name).read_bytes() == (calm / RUN / name).read_bytes()
    if moment == "training":
        said = (folder / "output.txt").read_text()
        assert "for jobs that a killed run has left: kformer train (process " in said


def test_ctrl_c_before_the_first_job_leaves_no_traceback(start):
    folder, process = start()
    wait_for(process, folder, "results/.lock")  # encoders are checked now
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait() == 130
    said = (folder / "output.txt").read_text()
    assert "Traceback" not in said and "KeyboardInterrupt" not in said
    assert not list(folder.glob("results/shared/*"))


def test_a_config_that_cannot_be_noted_is_one_line(tmp_path, config):
    (tmp_path / "results/tiny/config.json/more").mkdir(parents=True)
    ended = snakemake(tmp_path, config, "all")
    assert ended.returncode != 0
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("error: ") and "config.json: this folder is there already" in last
    assert "common.smk" not in ended.stderr and "Traceback" not in ended.stderr
