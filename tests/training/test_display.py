"""What a training shows: one live line in a terminal, plain lines in a log."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from types import SimpleNamespace

import pytest
from transformers import TrainerState

from kformer.training import display as display_module
from kformer.training import meter as meter_module
from kformer.training.display import Display, Reporter, say
from kformer.training.meter import Meter, Work

CODE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
ARGUMENTS = SimpleNamespace(eval_steps=10)


@pytest.fixture
def training(monkeypatch):
    """A training of 40 steps with 60 validation questions, whose clock the test sets."""
    now = SimpleNamespace(seconds=0.0)
    clock = SimpleNamespace(monotonic=lambda: now.seconds, process_time=lambda: now.seconds)
    for module in (display_module, meter_module):
        monkeypatch.setattr(module, "time", clock)
    meter, state = Meter(), TrainerState(max_steps=40)
    display = Display("kformer/seed-1", meter, 60)
    display.on_train_begin(ARGUMENTS, state, None)

    def step(seconds, loss=1.5):
        meter.on_step_begin()
        meter.count(Work(questions=16, tokens=1600, positions=2000), loss)
        now.seconds += seconds
        meter.on_step_end()
        state.global_step += 1
        display.on_step_end()

    def validate(seconds, accuracy):
        for answered in range(0, 60, 20):
            display.validating(answered)
            now.seconds += seconds / 3
        display.on_evaluate(ARGUMENTS, state, None, metrics={"eval_accuracy": accuracy})

    return SimpleNamespace(step=step, validate=validate, display=display, now=now)


def test_in_a_log_there_is_a_line_every_ten_seconds_and_at_validations(training, capsys):
    for _ in range(10):
        training.step(3.0)
    training.validate(3.0, accuracy=0.5)
    lines = capsys.readouterr().err.splitlines()
    # 36 steps of 3 s, and 4 validations, of 60 questions at three times 16/3 s
    assert lines[0] == (
        "kformer/seed-1: step 4/40, loss 1.5000, 0:02:03 left, 5.3 questions/s, 533 tokens/s"
    )
    assert [line.partition(",")[0] for line in lines] == [
        f"kformer/seed-1: step {step}/40" for step in (4, 8, 10)
    ]
    # 30 steps of 3 s, and 3 validations of 3 s
    assert lines[-1].endswith(
        "best accuracy 0.5000, 0:01:39 left, 5.3 questions/s, 533 tokens/s"
        "; validation accuracy 0.5000"
    )


def test_a_long_validation_is_shown_and_counted(training, capsys):
    for _ in range(10):
        training.step(1.0)
    training.validate(60.0, accuracy=0.25)
    lines = capsys.readouterr().err.splitlines()
    assert "step 10/40 (validating 20/60), loss" in lines[1]
    # 30 steps of 1 s, two thirds of this validation of 60 s, and three to come
    assert "0:04:10 left" in lines[1]
    training.validate(3.0, accuracy=0.125)
    assert "best accuracy 0.2500" in capsys.readouterr().err.splitlines()[-1]


def test_a_reader_that_is_gone_does_not_matter(monkeypatch):
    def broken(_):
        raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", SimpleNamespace(write=broken, flush=lambda: None))
    say("nobody reads this")


def test_metrics_go_to_the_log_under_our_names():
    logged = []
    log = SimpleNamespace(log=lambda metrics, step: logged.append((step, metrics)))
    state = TrainerState(global_step=3)
    Reporter(log).on_log(None, state, None, logs={"loss": 1.0, "eval_loss": 2.0, "epoch": 1.0})
    Reporter(log).on_log(None, state, None, logs={"train_runtime": 1.0})
    assert logged == [(3, {"train_loss": 1.0, "validation_loss": 2.0})]


SHOWING = """
import sys, time
from types import SimpleNamespace
from transformers import TrainerState
from kformer.training.display import Display
from kformer.training.meter import Meter, Work
meter, state = Meter(), TrainerState(max_steps=4)
with Display("kformer/seed-1", meter, 60) as display:
    display.on_train_begin(SimpleNamespace(eval_steps=2), state, None)
    for _ in range(4):
        meter.on_step_begin()
        meter.count(Work(16, 1600, 2000), 1.5)
        time.sleep(0.3)
        meter.on_step_end()
        state.global_step += 1
        display.on_step_end()
        print("said in between", file=sys.stderr) if state.global_step == 1 else None
    display.validating(0)
    display.on_evaluate(None, state, None, metrics={"eval_accuracy": 0.5})
"""


@pytest.mark.slow
@pytest.mark.parametrize("width", [60, 160])
def test_in_a_terminal_one_line_is_shown_live(width):
    """It never wraps, what others say stays, and in the end it is gone."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    environment = dict(os.environ, TERM="xterm-256color") | {"COLUMNS": str(width)}
    process = subprocess.Popen(
        [sys.executable, "-c", SHOWING], stdout=slave, stderr=slave, env=environment
    )
    os.close(slave)
    shown = b""
    try:
        while piece := os.read(master, 4096):
            shown += piece
    except OSError:  # the terminal is closed
        pass
    assert process.wait() == 0
    rows = [row for row in CODE.sub("", shown.decode()).replace("\r", "\n").split("\n") if row]
    live = [row for row in rows if row.startswith("kformer/seed-1") and "validation" not in row]
    steps = {row.partition("step ")[2].partition(",")[0] for row in live}
    assert {"1/4", "2/4", "3/4"} <= steps
    assert max(map(len, live)) <= width and all("step " in row for row in live)
    assert ("tokens/s" in live[-1]) == (width == 160)
    assert "said in between" in rows
    assert re.search(r"validation\s+accuracy\s+0.5000", "\n".join(rows))
