"""What a file is that is no plain text in UTF-8, by how its content begins."""

import re
import zipfile
from pathlib import Path

from kformer.errors import KformerError

START = 2**16  # bytes of a file that tell its kind

_ZIP = (b"PK\3\4", b"PK\5\6")
_UNPACK = "unpack it, or give it as url, which is unpacked"
_AS_CSV = "save its sheet as CSV in UTF-8"
_AS_TEXT = "save it as plain text in UTF-8"
_AS_PARQUET = "save it as Parquet"
# What the members of a zip archive show it to be.
_DOCUMENTS = {
    "xl/": ("an Excel workbook", _AS_CSV),
    "word/": ("a Word document", _AS_TEXT),
    "ppt/": ("a PowerPoint presentation", _AS_TEXT),
    "content.xml": ("an OpenDocument file", "save its sheet as CSV, or its text as plain text"),
    "META-INF/container.xml": ("an e-book", _AS_TEXT),
}
_KINDS: dict[bytes, tuple[str, str]] = {
    rb"%PDF-": ("a PDF document", _AS_TEXT),
    rb"\{\\rtf": ("an RTF document", _AS_TEXT),
    rb"\xd0\xcf\x11\xe0": ("an old Word document or Excel workbook", "save it as text or CSV"),
    rb"PAR1": ("a Parquet file", "give it the suffix .parquet and read it with the format parquet"),
    rb"ARROW1|\xff\xff\xff\xff|FEA1": ("an Arrow file", _AS_PARQUET),
    rb"SQLite format 3\0": ("an SQLite database", "export what you need as CSV"),
    rb"\x93NUMPY|\x89HDF|\x80[\2-\5]": ("a file of arrays or objects", _AS_PARQUET),
    rb"7z\xbc\xaf|Rar!\x1a": ("an archive", "unpack it"),
    rb"\x28\xb5\x2f\xfd|\x04\x22\x4d\x18|\x1f\x9d": (
        "compressed in another way than gzip, bzip2 or xz",
        "unpack it",
    ),
    rb"\x1f\x8b\x08|BZh[1-9]1AY&SY|\xfd7zXZ\0": ("still compressed", "unpack it"),
    rb"(?s:.{257})ustar": ("a tar archive", _UNPACK),
    rb"\x89PNG|\xff\xd8\xff|GIF8": ("an image", "give its text"),
    rb"version https://git-lfs\.github\.com/spec/": (
        "a Git LFS pointer, not the file itself",
        "get that with: git lfs pull",
    ),
    rb"(?i:\s*<!doctype html|\s*<html[\s>])": (
        "a web page, not the file itself",
        "download it from the address of the raw file",
    ),
    rb"\s*<\?xml": ("XML", "take its text out of it first"),
}
_PATTERNS = [(re.compile(pattern), kind) for pattern, kind in _KINDS.items()]
_BOM = b"\xef\xbb\xbf"
_UTF16_OR_32 = (b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")


def refuse_unless_text(path: Path, start: bytes) -> None:
    """Raises KformerError, which says what it is and what to do, for a file that is no text.

    Args:
        path: the file, which may be compressed.
        start: its first `START` bytes, unpacked.
    """
    refuse_known_kind(path, start)
    if start.startswith(_UTF16_OR_32) or _has_zeros_between(start):
        raise KformerError(f"{path}: UTF-16 text, not UTF-8; save the file as UTF-8")
    if b"\0" in start:  # as git and grep tell
        raise KformerError(f"{path}: a binary file, not text; save its text in UTF-8")
    if b"\r" in start.strip() and b"\n" not in start:
        raise KformerError(
            f"{path}: its lines end in CR, as on old Macs; save it with LF, such as with: "
            "tr '\\r' '\\n' < OLD > NEW"
        )


def refuse_known_kind(path: Path, start: bytes) -> None:
    """Raises KformerError as `refuse_unless_text` does, but only for the kinds that are listed."""
    kind = None
    if start.startswith(_ZIP):
        kind = _kind_of_zip(path)
    else:
        text = start.removeprefix(_BOM)
        kind = next((kind for pattern, kind in _PATTERNS if pattern.match(text)), None)
    if kind:
        what, remedy = kind
        raise KformerError(f"{path}: {what}; {remedy}")


def _has_zeros_between(start: bytes) -> bool:
    """Whether it is UTF-16 without a byte-order mark, with mostly characters as in English."""
    few, many = sorted(half.count(0) for half in (start[::2], start[1::2]))
    return len(start) >= 8 and many > 0.4 * len(start) and few < 0.1 * len(start)


def _kind_of_zip(path: Path) -> tuple[str, str]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, NotImplementedError, UnicodeDecodeError):
        names = []  # damaged, or itself compressed
    for member, kind in _DOCUMENTS.items():
        if any(name.startswith(member) for name in names):
            return kind
    return "a zip archive", _UNPACK
