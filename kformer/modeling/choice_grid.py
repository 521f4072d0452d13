"""The choices of a batch: which are computed, and where their results belong.

Questions with fewer choices than others of their batch are padded; padding is not computed.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ChoiceGrid:
    """Where the rows that are computed lie among all B·C choices, padding included.

    Attributes:
        computed: these rows (R,); None = all.
    """

    batch: int
    choices: int
    computed: Tensor | None

    def rows(self, values: Tensor) -> Tensor:
        """What belongs to the computed rows, (R, …), of (B, C, …)."""
        rows = values.flatten(0, 1)
        return rows if self.computed is None else rows[self.computed]

    def whole(self, rows: Tensor, fill: float) -> Tensor:
        """Rows (R, …) as (B, C, …), with ``fill`` where nothing was computed."""
        if self.computed is not None:
            whole = rows.new_full((self.batch * self.choices, *rows.shape[1:]), fill)
            rows = whole.index_copy(0, self.computed, rows)
        return rows.unflatten(0, (self.batch, self.choices))

    def groups(self, groups: int, device: torch.device) -> Tensor:
        """The group (R,) of each row, of so many that share their candidates."""
        rows = self.computed
        if rows is None:
            rows = torch.arange(self.batch * self.choices, device=device)
        return rows // (self.batch * self.choices // groups)
