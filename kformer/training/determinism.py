"""The same bits every time: what a GPU needs for it, a CPU does by itself, and random states."""

import os
import random
from typing import Any

import numpy as np
import torch


def use_deterministic_kernels() -> None:
    """Lets a GPU add numbers up in the same order every time, in this process from now on.

    Must be called before the GPU multiplies matrices for the first time: cuBLAS reads its setting
    then.
    """
    if not torch.cuda.is_available():
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    # Nobody reads memory before it is written; filling it would only take time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def random_states() -> dict[str, Any]:
    """All states that `Trainer._load_rng_state` restores, under its names."""
    states = {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "cpu": torch.random.get_rng_state(),
    }
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.random.get_rng_state()
    return states


def restore_random_states(states: dict[str, Any]) -> None:
    """Goes back to what `random_states` returned."""
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    torch.random.set_rng_state(states["cpu"])
    if "cuda" in states:
        torch.cuda.random.set_rng_state(states["cuda"])
