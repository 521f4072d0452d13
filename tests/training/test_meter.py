"""What a run took and computed, also over kills."""

import json
from types import SimpleNamespace

import pytest

from kformer.training import meter as meter_module
from kformer.training.meter import Meter, Work


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""
    now = SimpleNamespace(seconds=0.0)
    clocks = {"monotonic": lambda: now.seconds, "process_time": lambda: 2 * now.seconds}
    monkeypatch.setattr(meter_module, "time", SimpleNamespace(**clocks))
    return now


def steps_of(meter, clock, *steps):
    for begin, end in steps:
        clock.seconds = begin
        meter.on_step_begin()
        clock.seconds = end
        meter.on_step_end()


def test_the_measured_time_is_that_of_training_steps(clock):
    meter = Meter()
    assert meter.seconds_per_step is None
    steps_of(meter, clock, (0.0, 1.0), (10.0, 12.0), (20.0, 120.0))
    assert (meter.seconds_per_step, meter.seconds) == (2.0, 120.0)
    assert meter.summary()["cpu_seconds"] == 206.0  # two threads; nothing between the steps


def test_a_resumed_meter_counts_what_came_before(clock):
    meter = Meter()
    steps_of(meter, clock, (10.0, 14.0), (20.0, 22.0))
    kept = json.loads(json.dumps(meter.state()))
    clock.seconds = 1000.0
    again = Meter()
    again.resume(kept)
    steps_of(again, clock, (1003.0, 1006.0))
    assert (again.seconds_per_step, again.seconds) == (3.0, 28.0)
    assert again.summary()["cpu_seconds"] == 18.0


def test_of_a_checkpoint_that_has_no_cpu_seconds_the_whole_is_unknown(clock):
    kept = Meter().state()
    del kept["cpu_seconds"]
    for _ in range(2):  # also when it is resumed once more
        meter = Meter()
        meter.resume(json.loads(json.dumps(kept)))
        steps_of(meter, clock, (10.0, 14.0))
        kept = meter.state()
        assert meter.summary()["cpu_seconds"] is None


def test_speeds_and_padding_are_those_of_all_steps_also_before_a_kill(clock):
    def step(meter, end, work):
        meter.on_step_begin()
        meter.count(work, loss=1.5)
        clock.seconds = end
        meter.on_step_end()

    meter = Meter()
    assert (meter.speed, meter.recent_speed, meter.recent_loss) == (None, None, None)
    assert meter.summary()["padding_share"] is None
    step(meter, 2.0, Work(questions=16, tokens=300, positions=400))
    again = Meter()
    again.resume(json.loads(json.dumps(meter.state())))
    clock.seconds = 50.0  # a validation
    step(again, 51.0, Work(questions=8, tokens=150, positions=200))
    summary = again.summary()
    assert (summary["questions_per_second"], summary["tokens_per_second"]) == (8.0, 150.0)
    assert summary["padding_share"] == 0.25
    assert (again.recent_speed.questions_per_second, again.recent_loss) == (8.0, 1.5)
