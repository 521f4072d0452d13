"""What a file is that is no plain text in UTF-8, by how its content begins."""

import codecs
import re
import zipfile
from pathlib import Path
from typing import NamedTuple

from kformer.errors import KformerError
from kformer.io.compressed_files import compression_of

START = 2**16  # bytes of a file that tell its kind

_UNPACK = "unpack it, or give it as url, which is unpacked"
_AS_CSV = "save its sheet as CSV in UTF-8"
_AS_TEXT = "save it as plain text in UTF-8"
_AS_PARQUET = "save it as Parquet"


class Kind(NamedTuple):
    """A kind of files, none of which is plain text."""

    what: str
    remedy: str


# What the members of a zip archive show it to be.
_DOCUMENTS = {
    "xl/": Kind("an Excel workbook", _AS_CSV),
    "word/": Kind("a Word document", _AS_TEXT),
    "ppt/": Kind("a PowerPoint presentation", _AS_TEXT),
    "content.xml": Kind("an OpenDocument file", "save its sheet as CSV, or its text as plain text"),
    "META-INF/container.xml": Kind("an e-book", _AS_TEXT),
}
ZIP = Kind("a zip archive", _UNPACK)
COMPRESSED = Kind("still compressed", "unpack it")
PARQUET = Kind("a Parquet file", "give it the suffix .parquet and read it with the format parquet")
LFS_POINTER = Kind("a Git LFS pointer, not the file itself", "get that with: git lfs pull")
_PROLOG = rb"(?s:\s|<!--.*?-->|<\?.*?\?>)*+"  # of a web page or another XML document
_KINDS = {
    rb"PK(?:\x03\x04|\x05\x06)": ZIP,
    rb"%PDF-": Kind("a PDF document", _AS_TEXT),
    rb"\{\\rtf": Kind("an RTF document", _AS_TEXT),
    rb"\xd0\xcf\x11\xe0": Kind("an old Word document or Excel workbook", "save it as text or CSV"),
    rb"PAR1": PARQUET,
    rb"ARROW1|\xff\xff\xff\xff|FEA1": Kind("an Arrow file", _AS_PARQUET),
    rb"SQLite format 3\0": Kind("an SQLite database", "export what you need as CSV"),
    rb"\x93NUMPY|\x89HDF|\x80[\2-\5]": Kind("a file of arrays or objects", _AS_PARQUET),
    rb"7z\xbc\xaf|Rar!\x1a": Kind("a 7z or rar archive", "unpack it"),
    rb"\x28\xb5\x2f\xfd|\x04\x22\x4d\x18|\x1f\x9d": Kind(
        "compressed in another way than gzip, bzip2 or xz", "unpack it"
    ),
    rb"(?s:.{257})ustar": Kind("a tar archive", _UNPACK),
    rb"\x89PNG|\xff\xd8\xff|GIF8": Kind("an image", "give its text"),
    rb"version https://git-lfs\.github\.com/spec/": LFS_POINTER,
    _PROLOG + rb"<(?i:!doctype\s+html|(?:html|head|body|title|meta|link|script|style)[\s/>])"
    rb"|404: Not Found\s*\Z": Kind(
        "a web page, not the file itself", "download it from the address of the raw file"
    ),
    rb"\s*<\?xml|" + _PROLOG + rb"<!(?i:doctype)\s": Kind("XML", "take its text out of it first"),
}
_PATTERNS = [(re.compile(pattern), kind) for pattern, kind in _KINDS.items()]
_IN_QUOTES = re.compile(rb'"[^"]*"')
_LONE_CR = re.compile(rb"\r(?!\n)")
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
    if _ends_lines_in_cr(start):
        raise KformerError(
            f"{path}: its lines end in CR, as on old Macs; save it with LF, such as with: "
            "tr '\\r' '\\n' < OLD > NEW"
        )


def refuse_known_kind(path: Path, start: bytes) -> None:
    """Raises KformerError as `refuse_unless_text` does, but only for the kinds that are listed."""
    kind = kind_of(start)
    if kind:
        what, remedy = _kind_of_zip(path) if kind == ZIP else kind
        raise KformerError(f"{path}: {what}; {remedy}")


def kind_of(start: bytes) -> Kind | None:
    """The listed kind of which a file is that begins so, unpacked if it is compressed."""
    text = start.removeprefix(codecs.BOM_UTF8)
    if compression_of(text):
        return COMPRESSED
    return next((kind for pattern, kind in _PATTERNS if pattern.match(text)), None)


def _ends_lines_in_cr(start: bytes) -> bool:
    """Whether more lines end in CR than in LF; those in quotes may be in the cells of a table."""
    text = _IN_QUOTES.sub(b"", start)
    return len(_LONE_CR.findall(text.strip())) > text.count(b"\n")


def _has_zeros_between(start: bytes) -> bool:
    """Whether it is UTF-16 without a byte-order mark, with mostly characters as in English."""
    few, many = sorted(half.count(0) for half in (start[::2], start[1::2]))
    return len(start) >= 8 and many > 0.4 * len(start) and few < 0.1 * len(start)


def _kind_of_zip(path: Path) -> Kind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, NotImplementedError, UnicodeDecodeError):
        names = []  # damaged, or itself compressed
    for member, kind in _DOCUMENTS.items():
        if any(name.startswith(member) for name in names):
            return kind
    return ZIP
