"""Unpacking archives that may be broken or hostile."""

import errno
import gzip
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PureWindowsPath
from typing import IO, Protocol, TypeVar

# Limits beyond which an archive is refused as a bomb.
MAX_MEMBERS = 100_000
MAX_UNPACKED = 2**30  # bytes; a large archive may hold up to MAX_RATIO times its own size
MAX_RATIO = 200
MAX_TAR_HEADER = 2**20  # bytes; tarfile reads long names and attributes into memory

_CHUNK = 2**20
_Member = TypeVar("_Member")


class BadArchive(Exception):
    """What is wrong with an archive; the message follows the archive's name."""


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Folder:
    """The folder to unpack to: counts members, writes plain files only, and only inside itself."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self.files = 0
        self.bytes = 0

    def add(self, name: str, content: _Readable) -> None:
        # Windows paths know both slashes, drives and shares.
        path = PureWindowsPath(name)
        if path.anchor or not path.parts or ".." in path.parts or "\0" in name:
            raise BadArchive(f"member {name!r} would be written outside its folder; refused")
        if path.parts[0] == "__MACOSX":
            return
        self.files += 1
        target = self.path.joinpath(*path.parts)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                self._copy(content, file)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise BadArchive(f"member {name[:80]!r}… has too long a name; refused") from error
            if not isinstance(error, FileExistsError | NotADirectoryError | IsADirectoryError):
                raise
            raise BadArchive(f"member {name!r} is both a file and a folder; refused") from error

    def _copy(self, content: _Readable, file: IO[bytes]) -> None:
        while chunk := content.read(_CHUNK):
            self.bytes += len(chunk)  # the real bytes: sizes in headers may lie
            if self.bytes > self.max_bytes:
                raise BadArchive(f"unpacks to more than {self.max_bytes} bytes; refused")
            file.write(chunk)


# A plain file of such a name is not an archive but, say, the login page of a proxy.
_ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".xz", ".bz2")

# What the standard library is known to raise for broken bytes.
_DAMAGED = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError),
    *(EOFError, UnicodeDecodeError, NotImplementedError),
)


def unpack(archive: Path, name: str, out: Path) -> tuple[int, int]:
    """Unpacks by content: zip, tar, gzip; any other file is copied as ``name``.

    Returns:
        how many files were written into the folder ``out``, and how many bytes.

    Raises:
        BadArchive: it is truncated or damaged, or holds what should not be unpacked.
    """
    folder = _Folder(out, max(MAX_UNPACKED, MAX_RATIO * archive.stat().st_size))
    with archive.open("rb") as file:
        magic = file.read(4)
    try:
        if magic in (b"PK\3\4", b"PK\5\6"):
            _unpack_zip(archive, folder)
        elif _is_tar(archive):
            _unpack_tar(archive, folder)
        elif magic.startswith(b"\x1f\x8b"):
            with gzip.open(archive) as content:
                folder.add(name.removesuffix(".gz"), content)
        else:
            _check_plain(magic, name)
            with archive.open("rb") as content:
                folder.add(name, content)
    except (OSError, *_DAMAGED) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # the disk's own; gzip, bzip2 and zip have only these two
        raise BadArchive(f"is truncated or damaged ({error or type(error).__name__})") from None
    if not folder.files:
        raise BadArchive("holds no files")
    return folder.files, folder.bytes


def _check_plain(magic: bytes, name: str) -> None:
    """Refuses what is meant to be an archive, or is one that cannot be unpacked."""
    if not magic:
        raise BadArchive("is empty")
    if magic in (b"Rar!", b"7z\xbc\xaf"):
        raise BadArchive("is a rar or 7z archive, which cannot be unpacked; make it a zip")
    if name.lower().endswith(_ARCHIVES):
        raise BadArchive("is no archive, whatever its name says")


def _unpack_zip(path: Path, folder: _Folder) -> None:
    with zipfile.ZipFile(path) as archive:
        for info in _counted(archive.infolist()):
            if info.filename.endswith("/"):
                continue
            if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
                raise BadArchive(f"member {info.filename!r} is a link or a device; refused")
            try:
                content = archive.open(info)
            except RuntimeError as error:  # it has a password, or an unknown compression
                raise BadArchive(f"member {info.filename!r} cannot be read: {error}") from error
            with content:
                folder.add(info.filename, content)


class _TarInfo(tarfile.TarInfo):
    """Refuses headers that would fill the memory before the first member is read."""

    _IN_MEMORY = (
        *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
        *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    )

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_TarInfo":
        info = super().frombuf(buf, encoding, errors)
        if info.type in cls._IN_MEMORY and info.size > MAX_TAR_HEADER:
            raise BadArchive(f"has a header of {info.size} bytes; refused")
        return info


def _is_tar(path: Path) -> bool:
    try:
        with tarfile.open(path, tarinfo=_TarInfo):
            return True
    except tarfile.TarError:
        return False


def _unpack_tar(path: Path, folder: _Folder) -> None:
    with tarfile.open(path, tarinfo=_TarInfo) as archive:
        for info in _counted(archive):
            if info.isdir():
                continue
            content = archive.extractfile(info) if info.isreg() else None
            if content is None:
                raise BadArchive(f"member {info.name!r} is a link or a device; refused")
            folder.add(info.name, content)
        _check_end(archive)


def _counted(members: Iterable[_Member]) -> Iterator[_Member]:
    """Folders count too: they are bytes of the archive and names in memory."""
    for count, member in enumerate(members, 1):
        if count > MAX_MEMBERS:
            raise BadArchive(f"has more than {MAX_MEMBERS} members; refused")
        yield member


def _check_end(archive: tarfile.TarFile) -> None:
    """tarfile takes a broken header for the end, and gzip checks its sum only at the very end."""
    stream = archive.fileobj
    assert stream is not None
    stream.seek(archive.offset)
    if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("no end mark")
    while stream.read(_CHUNK):
        pass
