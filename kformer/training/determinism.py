"""The same bits every time: what a GPU needs for it, and a CPU does by itself."""

import os

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
