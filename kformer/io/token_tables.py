"""Tables of token ids, which training and evaluation map into memory.

They hold the tokens of texts, not of inputs: neither what an input consists of nor where it is cut
is decided here. Each is one record batch in an uncompressed Arrow file, so that its columns are
arrays in the file itself, whatever its size.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from kformer.io.file_writing import replacing
from kformer.io.ragged import Ragged
from kformer.io.sealed_files import seal
from kformer.io.table_files import open_table
from kformer.io.table_schemas import required

TokenTableName = Literal["question_tokens", "fact_tokens"]

_VERSION = "1"
_TOKENS = pa.large_list(pa.int32())


SCHEMAS: dict[TokenTableName, pa.Schema] = {
    "question_tokens": pa.schema(
        [
            required("question_id", pa.large_string()),
            required("split", pa.large_string()),
            pa.field("answer", pa.int8()),  # 0-based; null = unlabelled
            required("choices", pa.large_list(pa.large_string())),  # their texts
            required("context", _TOKENS),
            required("question", _TOKENS),  # of "Q: question"
            required("choice_tokens", pa.large_list(_TOKENS)),  # of each "A: choice"
        ]
    ),
    "fact_tokens": pa.schema([required("text", _TOKENS)]),  # the row number is the fact_id
}


@dataclass(frozen=True)
class TokenTable:
    """An open table of tokens.

    Attributes:
        path: its file.
        columns: all rows, mapped into memory.
        made_of: SHA-256 of the table of texts that it was made from.
        tokenizer: stands for the tokenizer, see `kformer.modeling.plain_text.PlainText.identity`.
    """

    path: Path
    columns: pa.RecordBatch
    made_of: str
    tokenizer: str

    def __len__(self) -> int:
        return int(self.columns.num_rows)

    def value(self, column: str, row: int) -> Any:
        """What a column has in a row, as Python has it."""
        return self.columns[column][int(row)].as_py()

    def tokens(self, column: str) -> Ragged:
        """A column of token ids."""
        return Ragged.of(self.columns[column])


def write_token_table(
    path: Path, name: TokenTableName, columns: Mapping[str, pa.Array], made_of: str, tokenizer: str
) -> None:
    """Writes a table of tokens, whole or not at all.

    Args:
        columns: all columns of the table.
        made_of: see `TokenTable`, as for ``tokenizer``.
    """
    metadata = {
        "kformer_table": name,
        "kformer_version": _VERSION,
        "kformer_made_of": json.dumps({"table_sha256": made_of, "tokenizer": tokenizer}),
    }
    schema = SCHEMAS[name].with_metadata(metadata)
    rows = pa.RecordBatch.from_arrays([columns[field.name] for field in schema], schema=schema)
    with replacing(path) as partial:
        # Into an open file, whose errors name it, while Arrow's do not.
        with partial.open("wb") as file, pa.ipc.new_file(file, schema) as writer:
            writer.write_batch(rows)
        seal(partial)


def open_token_table(path: Path, name: TokenTableName) -> TokenTable:
    """Maps a table of tokens into memory.

    Raises:
        KformerError: there is no such file, it is damaged, or it does not hold the table ``name``.
    """
    columns = open_table(path, name, SCHEMAS[name], _VERSION, "Arrow", _open_arrow)
    origin = json.loads(columns.schema.metadata[b"kformer_made_of"])
    return TokenTable(path, columns, origin["table_sha256"], origin["tokenizer"])


def _open_arrow(path: Path) -> tuple[pa.RecordBatch, pa.Schema]:
    file = pa.ipc.open_file(pa.memory_map(str(path)))
    return file.get_batch(0), file.schema
