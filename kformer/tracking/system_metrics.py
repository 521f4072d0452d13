"""What a run takes of its machine, measured while it works: MLflow shows it as system metrics."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from kformer.tracking.connection import reporting_failures
from kformer.tracking.run import TrackedRun

_SECONDS_BETWEEN_MEASUREMENTS = 10.0


@contextmanager
def measuring_system(run: TrackedRun) -> Iterator[None]:
    """Measures processors and memory now and then while the block runs, and at its end.

    The names are those of MLflow's own monitor, which would load all of MLflow.
    """
    if not run.is_tracked:
        yield
        return
    is_over = threading.Event()
    measuring = threading.Thread(target=_measure, args=(run, is_over), daemon=True)
    measuring.start()
    try:
        yield
    finally:
        is_over.set()
        measuring.join()


def _measure(run: TrackedRun, is_over: threading.Event) -> None:
    with reporting_failures():
        import psutil

        process = psutil.Process()
        psutil.cpu_percent(), process.cpu_percent()  # both count from here on
        is_last = False
        while not is_last:
            is_last = is_over.wait(_SECONDS_BETWEEN_MEASUREMENTS)
            memory = psutil.virtual_memory()
            measured = {
                "cpu_utilization_percentage": psutil.cpu_percent(),
                "system_memory_usage_megabytes": memory.used / 1e6,
                "system_memory_usage_percentage": memory.percent,
                "process_cpu_utilization_percentage": process.cpu_percent(),
                "process_memory_usage_megabytes": process.memory_info().rss / 1e6,
            }
            run.log_next({f"system/{name}": value for name, value in measured.items()})
