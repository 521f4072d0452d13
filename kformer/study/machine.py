"""The machine: what it is, and how its cores and memory are divided among trainings."""

import math
import os
import platform
from pathlib import Path
from typing import Any

_GAIN = 0.65  # of t threads, a training is t ** 0.65 times as fast: 1.57 times with two


def threads_of_a_training(trainings: int, cores: int, memory_mb: int, needed_mb: int) -> int:
    """The threads with which so many trainings alike take the least time.

    As long as there are trainings enough, one core each is best, for two threads do less than twice
    the work of one (benchmarks/README.md). Where memory holds fewer trainings than there are
    cores, or few are left over for the last turn, each gets more.

    Args:
        trainings: how many there are in all, one or more.
        cores: of the machine.
        memory_mb: of the machine.
        needed_mb: by one of them.
    """
    most = max(1, min(trainings, cores, memory_mb // needed_mb))

    def time(at_once: int) -> float:
        return math.ceil(trainings / at_once) / (cores // at_once) ** _GAIN

    # The last one is the fewest threads: what else the machine does then slows a training least.
    at_once = min(range(most, 0, -1), key=time)
    return cores // at_once


def memory_of_this_machine() -> int:
    """In MB; what a container or a job of a batch system may use, if that is less."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            with open(limit) as file:  # noqa: PTH123 (a file of the kernel)
                memory = min(memory, int(file.read()))
        except (OSError, ValueError):  # no such group, or "max"
            continue
    return memory // 2**20


def describe_machine() -> dict[str, Any]:
    """The machine that this process runs on."""
    import torch  # slow to import

    gpus = [torch.cuda.get_device_name(each) for each in range(torch.cuda.device_count())]
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mb": memory_of_this_machine(),
        "gpus": gpus,
    }


def _processor() -> str:
    """Its model, where the kernel tells; else its kind, such as ``aarch64``."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())
