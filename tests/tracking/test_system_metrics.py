"""What a run takes of its machine, as curves beside its own."""

import threading
import time

import pytest

from kformer.tracking import measuring_system, system_metrics, tracked
from kformer.tracking.run import TrackedRun


@pytest.mark.slow  # for the store
def test_a_resumed_run_continues_its_curves_and_the_end_is_always_measured(
    client, memory, monkeypatch
):
    monkeypatch.setattr(system_metrics, "_SECONDS_BETWEEN_MEASUREMENTS", 60.0)
    for _ in range(2):
        with tracked("run", memory, {}, {}, "always") as run, measuring_system(run):
            run.log({"loss": 1.0}, 1)
    (found,) = client.search_runs(["1"], f"tags.`mlflow.runName` = 'run' and metrics.`{CPU}` >= 0")
    for name in (CPU, "system/process_memory_usage_megabytes"):
        history = client.get_metric_history(found.info.run_id, name)
        assert [each.step for each in history] == [0, 1]
    assert all(each.value > 10 for each in history)


CPU = "system/cpu_utilization_percentage"


def test_now_and_then_while_the_run_works_and_no_more_after_it(memory, monkeypatch):
    monkeypatch.setattr(system_metrics, "_SECONDS_BETWEEN_MEASUREMENTS", 0.01)
    measured = []

    class Run(TrackedRun):
        is_tracked = True

        def log_next(self, metrics):
            measured.append(metrics)

    with measuring_system(Run()):
        while len(measured) < 3:
            time.sleep(0.01)
    before = len(measured)
    assert threading.active_count() == 1 or before == len(measured)
    assert CPU in measured[0]


def test_without_tracking_nothing_is_measured():
    before = threading.active_count()
    with measuring_system(TrackedRun()):
        assert threading.active_count() == before
