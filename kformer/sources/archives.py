"""Unpacking archives that may be broken or hostile."""

import errno
import io
import lzma
import stat
import struct
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from kformer.io.compressed_files import DAMAGED, compression_of, opened
from kformer.io.file_kinds import COMPRESSED, PARQUET, START, ZIP, kind_of
from kformer.sources.tar_archives import is_tar, tar_members
from kformer.sources.unpacked_folder import BadArchive, UnpackedFolder, shown

# Limits beyond which an archive is refused as a bomb.
MAX_MEMBERS = 100_000
MAX_UNPACKED = 2**30  # bytes; a large archive may hold up to MAX_RATIO times its own size
MAX_RATIO = 200
MAX_DIRECTORY = 2**26  # bytes of the list of members in a zip
MAX_XZ_MEMORY = 2**28  # bytes; the largest of xz's presets needs a quarter of it

_Member = TypeVar("_Member")

# A plain file of such a name is not an archive but, say, the login page of a proxy.
_ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".xz", ".bz2")

# What the standard library is known to raise for broken bytes.
_DAMAGED = (
    *(*DAMAGED, zipfile.BadZipFile, tarfile.TarError, struct.error),
    *(ValueError, IndexError, OverflowError, NotImplementedError, RecursionError),
)


def unpack(archive: Path, name: str, out: Path) -> tuple[int, int]:
    """Unpacks by content: zip, tar, gzip, bzip2, xz; any other file is copied as ``name``.

    Returns:
        how many files were written into the folder ``out``, and how many bytes.

    Raises:
        BadArchive: it is truncated or damaged, or holds what should not be unpacked, or is not
            what its name says.
        KformerError: the disk has no room for what it holds.
    """
    folder = UnpackedFolder(out, max(MAX_UNPACKED, MAX_RATIO * archive.stat().st_size))
    try:
        _unpack(archive, name, folder)
    except _DAMAGED as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # the disk's own; gzip, bzip2 and zip have only these two
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise BadArchive(f"is truncated or damaged ({reason})") from None
    if not folder.files:
        raise BadArchive("holds no files")
    return folder.files, folder.bytes


def _unpack(archive: Path, name: str, folder: UnpackedFolder) -> None:
    with archive.open("rb") as file:
        start = file.read(START)
    if kind_of(start) == ZIP:
        _unpack_zip(archive, folder)
        return
    compression = compression_of(start)
    suffix = compression.suffix if compression else ""  # which is then no more true
    if suffix == ".xz":
        lzma.LZMADecompressor(memlimit=MAX_XZ_MEMORY).decompress(start, 1)
    with opened(archive, compression) as content:
        unpacked_start = content.read(START)
    with opened(archive, compression) as content:
        if is_tar(unpacked_start[: tarfile.BLOCKSIZE]):
            for member, inside in _counted(tar_members(content, folder.max_bytes)):
                if inside is not None:
                    folder.add(member, inside)
            return
        _check_plain(unpacked_start, name.removesuffix(suffix))
        folder.add(name.removesuffix(suffix), content)


def _check_plain(start: bytes, name: str) -> None:
    """Refuses what is meant to be an archive, or is none of the files that can be read."""
    if not start:
        raise BadArchive("is empty")
    # Without the zeros of UTF-16 and its byte-order mark.
    text = start.replace(b"\0", b"").removeprefix(b"\xff\xfe").removeprefix(b"\xfe\xff")
    kind = kind_of(start) or kind_of(text)
    if kind in (ZIP, COMPRESSED):
        raise BadArchive("holds another archive; unpack that one")
    if kind and kind != PARQUET:
        raise BadArchive(f"is {kind.what}; {kind.remedy}")
    if name.lower().endswith(_ARCHIVES):
        raise BadArchive("is not the archive that its name says")


class _ZipBytes(io.FileIO):
    """A zip file, of which `zipfile` reads the list of members in one piece, and makes objects."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MAX_DIRECTORY:
            raise BadArchive(f"has a list of members of {size} bytes; refused")
        content = super().read(size) or b""
        if content.count(b"PK\1\2") > MAX_MEMBERS:
            raise BadArchive(f"has more than {MAX_MEMBERS} members; refused")
        return content


def _unpack_zip(path: Path, folder: UnpackedFolder) -> None:
    with _ZipBytes(path) as file, zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if members and min(member.header_offset for member in members) > 0:
            raise zipfile.BadZipFile("its directory names only the last part of it")
        for info in _counted(members):
            if info.filename.endswith("/"):
                continue
            if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
                raise BadArchive(f"member {shown(info.filename)} is a link or a device; refused")
            # zipfile unpacks the others without a bound to its memory.
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise BadArchive(
                    f"member {shown(info.filename)} is packed in a way that few programs read "
                    f"(method {info.compress_type}); make it a usual zip"
                )
            try:
                content = archive.open(info)
            except RuntimeError as error:  # it has a password
                raise BadArchive(
                    f"member {shown(info.filename)} cannot be read: {error}"
                ) from error
            with content:
                folder.add(info.filename, content)


def _counted(members: Iterable[_Member]) -> Iterator[_Member]:
    """Folders count too: they are bytes of the archive and names in memory."""
    for count, member in enumerate(members, 1):
        if count > MAX_MEMBERS:
            raise BadArchive(f"has more than {MAX_MEMBERS} members; refused")
        yield member
