"""Reading text files line by line, compressed or not, with errors that name the line."""

import codecs
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from kformer.errors import KformerError
from kformer.io.compressed_files import DAMAGED, SUFFIXES, compression_of, opened
from kformer.io.file_kinds import START, refuse_unless_text
from kformer.io.visible_files import refuse_odd_name, visible_paths

MAX_LINE = 16 * 2**20  # bytes; so a file without line ends cannot fill the memory

_PIECE = 2**18  # bytes
_JSONL = (".jsonl", ".ndjson")
_PACKED = (".zip", ".tar", ".tgz", ".7z", ".rar", ".zst", ".zstd", ".lz4", ".lz", ".lzma", ".z")


def files_below(path: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """The files of a folder with one of these suffixes, in the order of their paths.

    A compressed file may have a further suffix, as in ``facts.tsv.gz``. Hidden files are left out,
    and beside JSON lines files with the suffix ``.json``, which describe the others. For a file it
    is the file itself, whatever its name.

    Raises:
        KformerError: ``path`` does not exist, is a folder without such a file, or has one that
            cannot be read where it is.
    """
    refuse_odd_name(path)
    if path.is_file():
        return [path]
    paths = visible_paths(path)
    if any(is_kind(file, *_JSONL) for file in paths if is_kind(file, *suffixes)):
        suffixes = tuple(suffix for suffix in suffixes if suffix != ".json")
    for file in paths:
        _refuse_unreadable(file, suffixes)
    found = [file for file in paths if is_kind(file, *suffixes) and file.is_file()]
    if not found:
        state = f"no {' or '.join(suffixes)} file below it" if path.is_dir() else "does not exist"
        raise KformerError(f"{path}: {state}; name a file or a folder with such files")
    return found


def _refuse_unreadable(file: Path, suffixes: tuple[str, ...]) -> None:
    """Raises KformerError for what would be read, were it there or packed in another way."""
    if is_kind(file, *suffixes):
        if not file.exists():
            raise KformerError(
                f"{file}: a link that leads nowhere; get the file that it names, or remove it"
            )
        return
    unpacked = file
    while unpacked.suffix.lower() in (*SUFFIXES, *_PACKED):
        unpacked = unpacked.with_suffix("")
    if is_kind(unpacked, *suffixes) and not unpacked.exists():
        raise KformerError(
            f"{file}: packed in a way that is not read in a folder; unpack it there, or move it "
            "out of the folder"
        )


def is_kind(file: Path, *suffixes: str) -> bool:
    """Whether a file has one of these suffixes, before that of a compressed file if any."""
    names = tuple(f"{suffix}{more}" for suffix in suffixes for more in ("", *SUFFIXES))
    return file.name.lower().endswith(names)


def suffix_of(file: Path) -> str:
    """The suffix of a file, with that of a compressed file if any: ``.tsv.gz``."""
    if file.suffix.lower() in SUFFIXES:
        return file.with_suffix("").suffix + file.suffix
    return file.suffix


def name_below(path: Path, file: Path) -> str:
    """What a file of a folder is called there, without its suffixes: ``a/b`` for ``a/b.tsv.gz``.

    Where ``path`` is the file itself, it is just the file's name.
    """
    name = file.relative_to(path) if path.is_dir() else Path(file.name)
    return name.as_posix().removesuffix(suffix_of(name))


def find_files(folder: Path, names: tuple[str, ...], archive: str) -> list[Path]:
    """Those of an archive's files that are there, in the order of ``names``.

    Raises:
        KformerError: none of them is below ``folder``.
    """
    found = [path for name in names for path in sorted(folder.rglob(name))]
    if not found:
        raise KformerError(f"{folder}: no {' or '.join(names)} below it; unpack {archive} there")
    return found


def find_file(folder: Path, name: str, archive: str) -> Path:
    """The one file of an archive with this name, which may have folders in front.

    Raises:
        KformerError: there is none below ``folder``, or several.
    """
    found = sorted(folder.rglob(name))
    if len(found) != 1:
        raise KformerError(
            f"{folder}: {len(found)} files called {name} below it, expected one; unpack {archive} "
            "there"
        )
    return found[0]


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Streams the objects of a JSON-lines file, each with its 1-based line number.

    Raises:
        KformerError: a line is not UTF-8, not JSON or not an object.
    """
    for number, line in read_lines(path):
        yield number, parse_object(line, f"{path}:{number}")


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Streams the lines of a UTF-8 file that are not blank, stripped, with 1-based numbers.

    Raises:
        KformerError: there is no such file, it is damaged, or a line is not UTF-8.
    """
    for number, line in raw_lines(path):
        if text := decoded(line, f"{path}:{number}").strip():
            yield number, text


def raw_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Streams all lines of a file without a byte-order mark, with 1-based numbers.

    gzip, bzip2 and xz are recognised by content.

    Raises:
        KformerError: there is no such file, it is damaged or no text, or a line is longer than
            `MAX_LINE`.
    """
    number = 0
    with _opened(path, lambda: number) as file:
        while line := file.readline(MAX_LINE + 1):
            number += 1
            if len(line) > MAX_LINE:
                raise KformerError(
                    f"{path}:{number}: the line is longer than {MAX_LINE:,} bytes; "
                    "is this a text file?"
                )
            yield number, line.removeprefix(codecs.BOM_UTF8) if number == 1 else line


def read_pieces(path: Path) -> Iterator[str]:
    """Streams a UTF-8 file in pieces that end anywhere, which is faster than by the line.

    Raises:
        KformerError: there is no such file, it is damaged, or not UTF-8.
    """
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    lines = 0  # that have ended
    with _opened(path, lambda: lines) as file:
        while True:
            piece = file.read(_PIECE)
            try:
                text = decoder.decode(piece, final=not piece)
            except UnicodeDecodeError as error:
                line = lines + 1 + error.object.count(b"\n", 0, error.start)
                raise _not_utf8(f"{path}:{line}", error) from None
            lines += piece.count(b"\n")
            yield text
            if not piece:
                return


def decoded(line: bytes, where: str) -> str:
    """The text of a line.

    Raises:
        KformerError: it is not UTF-8; the message starts with ``where``.
    """
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise _not_utf8(where, error) from None


def parse_object(text: str, where: str) -> dict[str, Any]:
    """Parses a JSON object; raises as `parse_json` does, also for anything but an object."""
    value = parse_json(text, where)
    if not isinstance(value, dict):
        raise KformerError(f"{where}: not a JSON object; each must be one {{…}}")
    return value


def parse_json(text: str, where: str) -> Any:
    """Parses JSON that can also be written back as UTF-8.

    Raises:
        KformerError: it is malformed, or nested too deeply, or has half of a surrogate pair, or an
            object has a key twice; the message starts with ``where``.
    """
    try:
        value = _decoder.decode(text)
        if "\\u" in text:  # the only way in for half of a pair, which no Parquet file can hold
            json.dumps(value, ensure_ascii=False).encode()
    except RepeatedKeyError as error:
        raise KformerError(f"{where}: {error}; keep the right one") from None
    except (ValueError, RecursionError) as error:
        raise KformerError(
            f"{where}: not valid JSON ({error}); correct it or download it again"
        ) from None
    return value


class RepeatedKeyError(ValueError):
    """An object has a key twice: which value is meant, nobody knows."""


def each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Makes an object of JSON, as ``object_pairs_hook``; raises `RepeatedKeyError`."""
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise RepeatedKeyError(f"the key {twice!r:.60} is there twice")
    return content


_decoder = json.JSONDecoder(object_pairs_hook=each_key_once)


def _open(path: Path) -> IO[bytes]:
    """Opens a file to be read from its start, unpacked; refuses one that is no text."""
    with path.open("rb") as file:
        compression = compression_of(file.read(10))
    with suppress(*DAMAGED), opened(path, compression) as file:
        refuse_unless_text(path, file.read(START))
    return opened(path, compression)


@contextmanager
def _opened(path: Path, line: Callable[[], int]) -> Iterator[IO[bytes]]:
    """Opens a file; an error of a damaged one names the last line that could be read."""
    if not path.is_file():
        raise KformerError(f"{path}: there is no such file; check the folder it should be in")
    try:
        with _open(path) as file:
            yield file
    except DAMAGED as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's own; gzip and bzip2 have only these without a number
        reason = str(error) or type(error).__name__
        raise KformerError(
            f"{path}: damaged after line {line()} ({reason}); get the file again"
        ) from None


def _not_utf8(where: str, error: UnicodeDecodeError) -> KformerError:
    return KformerError(f"{where}: not UTF-8 ({error.reason}); save the file as UTF-8")
