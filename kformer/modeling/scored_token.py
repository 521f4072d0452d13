"""A last layer that is computed for the token alone whose state is scored.

The score of a choice is made from the state of its first token, so what the last layer computes for
all others, behind its attention, would be thrown away: of an encoder with six layers an eighth of
all matrix products.

Shapes: R rows, L tokens, D width.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

FIRST_TOKEN_ONLY = "first_token_only"
"""What is set on an attention module of whose result the first token's alone is read."""


class ScoredTokenOnly(nn.Module):
    """Cuts the states of a layer to the first token, behind its attention.

    It has no parameters, and is a module for the sake of its hooks: a deep copy of a model then
    cuts states of its own.
    """

    def __init__(self, attended: nn.Module | None, residual: nn.Module | None) -> None:
        """Attaches to a layer; nothing is cut yet.

        Args:
            attended: the module that returns the attention's result (R, L, D) first; None where
                nothing can be cut.
            residual: the module that adds its second argument, the layer's input, to it; None
                where the layer itself takes what it needs of that.
        """
        super().__init__()
        self.active = False
        if attended is not None:
            attended.register_forward_pre_hook(self._tell)
            attended.register_forward_hook(self._cut_result)
        if residual is not None:
            residual.register_forward_pre_hook(self._cut_residual)

    @contextmanager
    def cutting(self, active: bool) -> Iterator[None]:
        """Cuts inside the block, if ``active``."""
        before, self.active = self.active, active
        try:
            yield
        finally:
            self.active = before

    def _tell(self, module: nn.Module, args: Any) -> None:
        setattr(module, FIRST_TOKEN_ONLY, self.active)

    def _cut_result(self, module: nn.Module, args: Any, result: tuple[Tensor, Any]) -> Any:
        return (result[0][:, :1], *result[1:]) if self.active else None

    def _cut_residual(self, module: nn.Module, args: tuple[Tensor, Tensor]) -> Any:
        return (args[0], args[1][:, :1]) if self.active else None
