"""Reading text files line by line, with errors that name the line."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kformer.errors import KformerError

_BOM = b"\xef\xbb\xbf"


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Streams the objects of a JSON-lines file, each with its 1-based line number.

    Raises:
        KformerError: a line is not UTF-8, not JSON or not an object.
    """
    for number, line in read_lines(path):
        value = parse_json(line, f"{path}:{number}")
        if not isinstance(value, dict):
            raise KformerError(f"{path}:{number}: not a JSON object; each line must be one {{…}}")
        yield number, value


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Streams the lines of a UTF-8 file that are not blank, stripped, with 1-based numbers.

    Raises:
        KformerError: there is no such file, or a line is not UTF-8.
    """
    if not path.is_file():
        raise KformerError(f"{path}: there is no such file; check the folder it should be in")
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                text = (line.removeprefix(_BOM) if number == 1 else line).decode().strip()
            except UnicodeDecodeError as error:
                raise KformerError(
                    f"{path}:{number}: not UTF-8 ({error.reason}); save the file as UTF-8"
                ) from None
            if text:
                yield number, text


def parse_json(text: str, where: str) -> Any:
    """Parses JSON that can also be written back as UTF-8.

    Raises:
        KformerError: it is malformed, or nested too deeply, or holds half of a surrogate pair;
            the message starts with ``where``.
    """
    try:
        value = json.loads(text)
        if "\\u" in text:  # the only way in for half of a pair, which no Parquet file can hold
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise KformerError(
            f"{where}: not valid JSON ({error}); mend it or download it again"
        ) from None
    return value
