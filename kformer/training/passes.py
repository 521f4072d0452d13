"""How the questions of a step share the memory: passes of limited size, smaller where it is short.

A pass is one forward (and backward) computation. Its size is what it computes, padding included:
choices × longest input × questions, in tokens.
"""

import gc
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch

from kformer.errors import KformerError
from kformer.modeling.question_features import Example
from kformer.training.display import say

Result = TypeVar("Result")

# In errors that have no type of their own: of the allocator of CPUs; of oneDNN, which says no more
# (seen where address space was limited); of CUDA itself; of cuBLAS and cuDNN.
_SIGNS_OF_SHORT_MEMORY = (
    "DefaultCPUAllocator: ",
    "could not create a primitive",
    "could not create a memory",
    "CUDA error: out of memory",
    "ALLOC_FAILED",
)


def tokens_of(examples: Sequence[Example]) -> int:
    """The size of a pass with these questions, of which there is at least one."""
    choices = max(len(each.choices) for each in examples)
    return choices * max(each.features.length for each in examples) * len(examples)


def split(examples: Sequence[Example], most: int | None) -> list[list[int]]:
    """Positions of the questions of each pass: the longest first, at most ``most`` tokens a pass.

    A pass of a single question may have more. Without a limit all are one pass, in their order.
    """
    if most is None:
        return [list(range(len(examples)))]
    passes: list[list[int]] = []
    for position in sorted(range(len(examples)), key=lambda i: -examples[i].features.length):
        if passes and tokens_of([examples[i] for i in (*passes[-1], position)]) <= most:
            passes[-1].append(position)
        else:
            passes.append([position])
    return passes


class TokenLimit:
    """The most tokens of a pass; it is halved wherever the memory turns out to be short."""

    def __init__(self, most: int | None, work: str) -> None:
        """Begins with a limit, None = no limit; ``work`` is what the passes do, for messages."""
        self.most, self._work = most, work

    def compute(
        self,
        examples: Sequence[Example],
        compute: Callable[[list[Example]], Result],
        step: int,
        begin_again: Callable[[], Any] = lambda: None,
    ) -> list[tuple[list[int], Result]]:
        """Computes all questions, pass by pass.

        Args:
            examples: the questions.
            compute: computes the questions of one pass.
            step: of training, for messages.
            begin_again: called after a pass did not fit, before all is computed anew.

        Returns:
            for each pass the positions of its questions, and what was computed.

        Raises:
            KformerError: a single question does not fit the memory.
        """
        while True:
            try:
                passes = split(examples, self.most)
                return [(each, _fitting(compute, [examples[i] for i in each])) for each in passes]
            except _DoesNotFit as short:
                self._halve(short, step)
            begin_again()

    def _halve(self, short: "_DoesNotFit", step: int) -> None:
        """Halves the size of a pass that did not fit."""
        examples, tokens = short.examples, tokens_of(short.examples)
        if len(examples) == 1:
            raise KformerError(
                f"question {examples[0].question_id!r} at step {step}: too long for the memory, "
                f"even alone ({tokens:,} tokens, {self._work}; {short.reason}); lower "
                "model.max_tokens or model.facts, or set training.gradient_checkpointing: true"
            )
        self.most = tokens // 2
        what = f"out of memory at step {step} ({self._work}, {tokens:,} tokens at once)"
        say(f"{what}: from now on at most {self.most:,}")


class _DoesNotFit(Exception):
    """Which questions did not fit, and the error in words."""

    def __init__(self, examples: list[Example], reason: str) -> None:
        self.examples, self.reason = examples, reason


def _fitting(compute: Callable[[list[Example]], Result], examples: list[Example]) -> Result:
    try:
        return compute(examples)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        reason = str(error).partition("\n")[0] or type(error).__name__
    # Only here: the error has gone, and with it all that its traceback held on to.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    raise _DoesNotFit(examples, reason)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the memory of the GPU, or the computer's, was too short for something."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return any(sign in str(error) for sign in _SIGNS_OF_SHORT_MEMORY)
