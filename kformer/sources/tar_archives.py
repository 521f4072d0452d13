"""The members of a tar archive that may be broken or hostile, in memory and time that are bounded.

`tarfile` reads headers into memory, however long, and takes a broken header for the end of the
archive. So it gets a stream that only goes forward and knows what is a header.
"""

import tarfile
from collections.abc import Iterator
from typing import Any, cast

from kformer.sources.unpacked_folder import CHUNK, BadArchive, Readable, shown

MAX_HEADER = 2**20  # bytes before the content of a member: its long name, its attributes
MAX_HEADERS = 2**26  # bytes of all of them
MAX_GLOBALS = 100  # attributes that hold for every member, and are copied for each


class _Stream:
    """The unpacked bytes of an archive, as `tarfile` reads them."""

    def __init__(self, content: Readable, max_bytes: int) -> None:
        self._content = content
        self._max_bytes = max_bytes
        self._at = 0
        self._left_of_header = 0
        self._left_of_headers = MAX_HEADERS
        self._is_in_header = False

    def begin_header(self) -> None:
        """What is read next is a header."""
        self._is_in_header = True
        self._left_of_header = MAX_HEADER

    def begin_content(self) -> None:
        """What is read next is the content of a member."""
        self._is_in_header = False

    def tell(self) -> int:
        return self._at

    def seek(self, position: int) -> None:
        if not 0 <= position - self._at <= tarfile.BLOCKSIZE:  # the rest of a block
            raise tarfile.ReadError("a member ends where none can end")
        self.read(position - self._at)

    def read(self, size: int, /) -> bytes:
        if size < 0:
            raise tarfile.ReadError("a member has a negative size")
        if self._is_in_header:
            self._left_of_header -= size
            self._left_of_headers -= size
            if self._left_of_header < 0 or self._left_of_headers < 0:
                raise BadArchive("has headers that would fill the memory; refused")
        chunk = self._content.read(size)
        self._at += len(chunk)
        if self._at > self._max_bytes:
            raise BadArchive(f"unpacks to more than {self._max_bytes} bytes; refused")
        return chunk


class _TarInfo(tarfile.TarInfo):
    """A header; where it is broken, it is not the end."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_TarInfo":
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if _is_end(buf):
                raise
            raise tarfile.ReadError(str(error)) from None


def _is_end(block: bytes | bytearray) -> bool:
    return len(block) == tarfile.BLOCKSIZE and not any(block)


def is_tar(start: bytes) -> bool:
    """Whether the first 512 unpacked bytes of a file are those of a tar archive."""
    try:
        tarfile.TarInfo.frombuf(start, tarfile.ENCODING, "surrogateescape")
    except tarfile.HeaderError:
        return _is_end(start)
    return True


def tar_members(content: Readable, max_bytes: int) -> Iterator[tuple[str, Readable | None]]:
    """The members in their order, each with its name and its content, None for a folder.

    The content has to be read before the next member is asked for.

    Raises:
        BadArchive: it unpacks to more than ``max_bytes``, headers are too large, or a member is
            neither a file nor a folder.
        tarfile.TarError: the archive is damaged; `tarfile` has other exceptions for that as well.
    """
    stream = _Stream(content, max_bytes)
    stream.begin_header()
    with tarfile.TarFile(fileobj=cast(Any, stream), tarinfo=_TarInfo) as archive:
        while member := archive.next():
            archive.members = []  # type: ignore[attr-defined]  # tarfile would keep them all
            if len(archive.pax_headers) > MAX_GLOBALS:
                raise BadArchive("has headers that would fill the memory; refused")
            stream.begin_content()
            yield member.name, None if member.isdir() else _content(archive, member)
            stream.begin_header()
    stream.begin_content()
    while chunk := stream.read(CHUNK):  # to the very end, where gzip has its checksum
        if any(chunk):
            raise tarfile.ReadError("there is more behind its end")


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Readable:
    content = archive.extractfile(member) if member.isreg() else None
    if content is None:
        raise BadArchive(f"member {shown(member.name)} is a link or a device; refused")
    if member.issparse():
        raise BadArchive(f"member {shown(member.name)} has holes; pack it again without --sparse")
    return content
