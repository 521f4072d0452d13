"""Documents in the order of their relations, so that a search reads only the relations it needs."""

import json
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kformer.retrieval.matching_relations import Relations


class ByRelation:
    """The order in which an index holds its documents: by relation, then by id.

    Attributes:
        ids: the document in each row, (documents,).
        names: the relations in their order; None = no relation.
        bounds: the first row of each relation, and the end of the last one, (relations + 1,).
    """

    def __init__(
        self, ids: NDArray[np.int64], names: list[str | None], bounds: NDArray[np.int64]
    ) -> None:
        self.ids, self.names, self.bounds = ids, names, bounds

    @classmethod
    def of(cls, relations: pa.ChunkedArray, first_id: int = 0) -> Self:
        """Orders documents that are numbered from ``first_id``."""
        names = sorted(relations.unique().to_pylist(), key=lambda name: (name is not None, name))
        numbers = {name: number for number, name in enumerate(names)}
        of_document = np.fromiter(
            (numbers[name] for name in relations.to_pylist()), np.int64, len(relations)
        )
        ids = np.argsort(of_document, kind="stable")
        counts = np.bincount(of_document, minlength=len(names))
        bounds = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return cls(ids + first_id, names, bounds)

    @property
    def first_id(self) -> int:
        """The least id; the others follow without a gap."""
        return int(self.ids.min()) if len(self.ids) else 0

    def spans(self, relations: Relations | None) -> NDArray[np.int64]:
        """The rows of documents with one of these relations, as spans [start, end), (spans, 2)."""
        if relations is None:
            return np.array([[0, len(self.ids)]])
        spans: list[list[int]] = []
        for number, name in enumerate(self.names):
            if name in relations:
                start, end = int(self.bounds[number]), int(self.bounds[number + 1])
                if spans and spans[-1][1] == start:
                    spans[-1][1] = end
                else:
                    spans.append([start, end])
        return np.array(spans, dtype=np.int64).reshape(-1, 2)

    def rows(self, relations: Relations | None) -> NDArray[np.int64]:
        """The same rows as `spans`, one by one."""
        parts = (np.arange(start, end) for start, end in self.spans(relations))
        return np.concatenate([np.arange(0), *parts])

    def save(self, folder: Path) -> None:
        """Writes ``ids.npy`` and ``relations.json``."""
        np.save(folder / "ids.npy", self.ids)
        relations = {"relations": self.names, "bounds": self.bounds.tolist()}
        (folder / "relations.json").write_text(json.dumps(relations), "utf-8")

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Opens what `save` wrote; raises ValueError if the files do not belong together."""
        content = json.loads((folder / "relations.json").read_text("utf-8"))
        ids = np.load(folder / "ids.npy", mmap_mode="r")
        bounds = np.array(content["bounds"], dtype=np.int64)
        if len(bounds) != len(content["relations"]) + 1 or bounds[-1] != len(ids):
            raise ValueError("its files do not belong together")
        return cls(ids, content["relations"], bounds)
