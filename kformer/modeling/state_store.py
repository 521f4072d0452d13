"""Kept states on disk: one folder with the states of many inputs, mapped into memory.

``states.bin`` holds them one after the other, without padding, in bf16 or single precision.
``inputs.parquet`` says of which inputs they are, and has checksums: of each input's tokens and of
its states, which are compared whenever they are read, and of itself.

Shapes: B batch, C choices, L tokens, D width.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor
from xxhash import xxh3_64_intdigest

from kformer.compute_precision import device_kind
from kformer.errors import KformerError
from kformer.io.checksums import checksum_of
from kformer.io.file_writing import replacing, synced
from kformer.io.sealed_files import is_whole, seal
from kformer.modeling import Features, KformerForMultipleChoice
from kformer.modeling.input_form import Tokens
from kformer.sources.disk_space import spare_bytes

_VERSION = 1
_STATES, _INPUTS = "states.bin", "inputs.parquet"
_AGAIN = "delete the folder and compute them again"
_ITEMS: dict[str, tuple[torch.dtype, Any]] = {
    "bf16": (torch.bfloat16, np.int16),  # NumPy has no bf16: the same bits
    "fp32": (torch.float32, np.float32),
}


@dataclass(frozen=True)
class StatesOrigin:
    """What states were computed by, all but their inputs.

    Attributes:
        encoder: a checksum of its configuration.
        encoder_weights: SHA-256 of its weights.
        layer: the layer that the states enter.
        width: D.
        precision: what they were computed in and are kept in.
        device: the kind of device that computed them.
    """

    encoder: str
    encoder_weights: str
    layer: int
    width: int
    precision: Literal["bf16", "fp32"]
    device: str

    @classmethod
    def of(
        cls,
        model: KformerForMultipleChoice,
        layer: int,
        precision: Literal["bf16", "fp32"],
        encoder_weights: str,
    ) -> "StatesOrigin":
        """What this process computes states by.

        Args:
            model: has the encoder.
            layer: the layer that the states enter.
            precision: what is computed in.
            encoder_weights: the checksum of the encoder's weights before training.
        """
        config = model.config.encoder
        about = {key: value for key, value in config.to_dict().items() if not key.startswith("_")}
        width, device = config.hidden_size, device_kind()
        return cls(checksum_of(about), encoder_weights, layer, width, precision, device)

    @property
    def identity(self) -> str:
        """A checksum of all of it."""
        return checksum_of(asdict(self))


class Question(Protocol):
    """One question whose inputs have states."""

    @property
    def question_id(self) -> str: ...

    @property
    def features(self) -> Features: ...


def write_states(
    folder: Path,
    origin: StatesOrigin,
    questions: Sequence[Question],
    computed: Iterable[tuple[int, list[Tensor]]],
) -> int:
    """Writes a folder of states, whole or not at all, and returns how many bytes they have.

    Args:
        folder: it must not be there yet.
        origin: what computes the states.
        questions: all of them.
        computed: their positions in ``questions``, in any order, each with the states (L, D) of
            its C inputs.

    Raises:
        KformerError: there is no room for them, or something else is in that place.
    """
    dtype, _ = _ITEMS[origin.precision]
    row = origin.width * dtype.itemsize
    lengths = [[len(ids) for ids in each.features.choices] for each in questions]
    starts = np.cumsum([0, *(sum(each) for each in lengths)]) * row
    with replacing(folder) as partial:
        _check_room(folder, int(starts[-1]))
        partial.mkdir()
        checksums: list[list[int]] = [[] for _ in questions]
        with (partial / _STATES).open("wb") as file:
            for position, states in computed:
                file.seek(starts[position])
                checksums[position] = [_write(file, each.to(dtype)) for each in states]
        synced(partial / _STATES)
        _write_inputs(partial / _INPUTS, origin, questions, lengths, checksums)
    return int(starts[-1])


def _check_room(folder: Path, needed: int) -> None:
    if (spare := spare_bytes(folder.parent)) < needed:
        raise KformerError(
            f"{folder}: no room for the states: they need {needed / 1e9:.1f} GB, and "
            f"{spare / 1e9:.1f} GB can be spared there; make room, train on fewer questions, or "
            "set training.keep_states to false"
        )


def _write(file: BinaryIO, states: Tensor) -> int:
    content = states.contiguous().view(torch.uint8).numpy().tobytes()
    file.write(content)
    return xxh3_64_intdigest(content)


def _write_inputs(
    path: Path,
    origin: StatesOrigin,
    questions: Sequence[Question],
    lengths: list[list[int]],
    checksums: list[list[int]],
) -> None:
    columns = {
        "question_id": pa.array([each.question_id for each in questions], pa.string()),
        "lengths": pa.array(lengths, pa.list_(pa.int32())),
        "tokens": pa.array(
            [list(map(_checksum_of_tokens, each.features.choices)) for each in questions],
            pa.list_(pa.uint64()),
        ),
        "states": pa.array(checksums, pa.list_(pa.uint64())),
    }
    description = {"version": _VERSION, **asdict(origin)}
    table = pa.table(columns).replace_schema_metadata({"states": json.dumps(description)})
    with path.open("wb") as file:
        pq.write_table(table, file)
    seal(path)
    synced(path)


def _checksum_of_tokens(ids: Tokens) -> int:
    return xxh3_64_intdigest(np.asarray(ids, np.int64).tobytes())


class KeptStates:
    """The states in a folder.

    Attributes:
        origin: what computed them.
    """

    def __init__(self, folder: Path) -> None:
        """Maps them into memory.

        Raises:
            KformerError: there are none, or they are damaged or of another version.
        """
        self.folder = folder
        table, self.origin = _read_inputs(folder)
        self._dtype, stored = _ITEMS[self.origin.precision]
        counts = table["lengths"].combine_chunks().value_lengths().to_numpy()
        first = np.cumsum([0, *counts])
        # Of each question the number of its first input, and how many there are.
        ids = table["question_id"].to_pylist()
        self._inputs = dict(zip(ids, zip(first, counts, strict=False), strict=True))
        self._tokens, self._checksums, lengths = (
            table[name].combine_chunks().flatten().to_numpy()
            for name in ("tokens", "states", "lengths")
        )
        self._starts = np.cumsum([0, *lengths], dtype=np.int64)
        self._states = _mapped(folder / _STATES, stored, (self._starts[-1], self.origin.width))

    def check_origin(self, expected: StatesOrigin) -> None:
        """Raises KformerError unless the states are those of this origin."""
        found, wanted = asdict(self.origin), asdict(expected)
        differing = [name for name in found if found[name] != wanted[name]]
        if differing:
            name = differing[0]
            raise KformerError(
                f"{self.folder}: the {name} of these states is {found[name]}, that of this run "
                f"{wanted[name]}; {_AGAIN}"
            )

    def check_questions(self, question_ids: Iterable[str]) -> None:
        """Raises KformerError unless there are states for all these questions."""
        for question_id in question_ids:
            if question_id not in self._inputs:
                raise self._other_inputs(question_id)

    def padded(self, batch: Sequence[Question]) -> Tensor:
        """The states (B, C, L, D) of all inputs of a batch; padding is zero.

        Raises:
            KformerError: some are of other inputs, or damaged.
        """
        choices = max(len(each.features.choices) for each in batch)
        longest = max(each.features.length for each in batch)
        padded = torch.zeros(len(batch), choices, longest, self.origin.width, dtype=self._dtype)
        for of_question, each in zip(padded, batch, strict=True):
            for row, states in zip(of_question, self._of(each), strict=False):
                row[: len(states)] = states
        return padded

    def _of(self, question: Question) -> Iterator[Tensor]:
        """The states (L, D) of each input of a question."""
        inputs = question.features.choices
        first, count = self._inputs.get(question.question_id, (0, 0))
        if count != len(inputs):
            raise self._other_inputs(question.question_id)
        for number, ids in enumerate(inputs, start=first):
            start, end = self._starts[number : number + 2]
            if end - start != len(ids) or _checksum_of_tokens(ids) != self._tokens[number]:
                raise self._other_inputs(question.question_id)
            states = self._states[start:end]
            if xxh3_64_intdigest(states.tobytes()) != self._checksums[number]:
                raise _damaged(self.folder, f"the states of {question.question_id!r} differ")
            yield torch.from_numpy(states).view(self._dtype)

    def _other_inputs(self, question_id: str) -> KformerError:
        return KformerError(
            f"{self.folder}: these states are of other inputs, or have no question "
            f"{question_id!r} as this run reads it; {_AGAIN}"
        )


def _read_inputs(folder: Path) -> tuple[pa.Table, StatesOrigin]:
    path = folder / _INPUTS
    if not path.is_file() or not (folder / _STATES).is_file():
        raise KformerError(f"{folder}: there are no kept states; run `kformer states` first")
    if not is_whole(path):
        raise _damaged(folder, f"the checksum of {_INPUTS} differs")
    table = pq.read_table(path)
    description = json.loads(table.schema.metadata[b"states"])
    if description.pop("version") != _VERSION:
        raise KformerError(f"{folder}: states of another version; {_AGAIN}")
    return table, StatesOrigin(**description)


def _mapped(path: Path, stored: Any, shape: tuple[int, int]) -> NDArray[Any]:
    """Copy-on-write, since Torch expects arrays to be writable; nothing is written."""
    expected = shape[0] * shape[1] * np.dtype(stored).itemsize
    if (found := path.stat().st_size) != expected:
        raise _damaged(path.parent, f"{path.name} has {found:,} bytes instead of {expected:,}")
    return np.memmap(path, stored, "c", shape=shape)


def _damaged(folder: Path, reason: str) -> KformerError:
    return KformerError(f"{folder}: damaged ({reason}); {_AGAIN}")
