"""Which split a file of the user's holds, by its name and those of its folders."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from kformer.errors import KformerError
from kformer.io.records import JSONL, PARQUET
from kformer.io.text_files import is_kind, name_below, suffix_of
from kformer.io.visible_files import visible_files
from kformer.questions.split_words import (
    SPLIT_OF,
    is_test_alone,
    is_unclear,
    plain_splits,
    sounding_like_split,
    splits_in_like_names,
    words_of,
)

# Old files of the Hugging Face hub have a checksum behind it.
_PART = re.compile(r"[-_. ]?(\d+)[-_. ]?of[-_. ]?(\d+)(-[0-9a-f]{16})?$", re.IGNORECASE)
_FORMATS = (*JSONL, ".csv", ".tsv", *PARQUET)  # of files of questions

_WHAT_TO_DO = "name it train, validation or test, or set `split` in each question"


class SplitNames:
    """The splits that the files at a path are named after."""

    def __init__(self, path: Path, files: Sequence[Path]) -> None:
        """Takes the file or folder, and all files that are read of it."""
        self.path = path
        self.files = files
        self._names = [name_below(path, file) for file in files]

    def plain_split_of(self, file: Path) -> str | None:
        """The one split that words of a file's path say; None where they say none, or several."""
        found = self._splits_in(name_below(self.path, file))
        return next(iter(found)) if len(found) == 1 else None

    def split_of(self, file: Path) -> str | None:
        """The split that a file is named after, as in ``medqa_test.jsonl``, ``dev/part-1.csv``,
        ``train-00000-of-00002.parquet``; None where no word of its path is that of a split.

        Its path below the folder counts or, where no file there is named after a split, the name of
        the folder; or that the folders around are a test set.

        Raises:
            KformerError: what it means is not plain.
        """
        name = name_below(self.path, file)
        if split := _only(self._splits_in(name), file):
            return split
        if any(is_unclear(_words_in(part)) for part in name.split("/")):
            raise _not_plain(file)
        if twin := self._twins.get(name):
            raise KformerError(
                f"{file}: which split? it differs from {twin} by what may be its split; "
                f"{_WHAT_TO_DO} (in a name, the split must be a word of its own)"
            )
        if len(self._names) > 1 and (word := _word_like_split(name)):
            raise KformerError(
                f"{file}: which split? {word!r:.60} may mean one; {_WHAT_TO_DO} (in a name, the "
                "split must be a word of its own)"
            )
        return self._split_of_all

    def in_other_formats(self) -> dict[str, Path]:
        """The splits that files of questions in other formats are named after, each with one."""
        if not self.path.is_dir():
            return {}
        files = (file for file in visible_files(self.path) if is_kind(file, *_FORMATS))
        read = set(self.files)
        others = [file for file in files if file not in read]
        names = SplitNames(self.path, others)
        found: dict[str, Path] = {}
        for file in others:
            if split := names.plain_split_of(file):
                found.setdefault(split, file)
        return found

    def _splits_in(self, name: str) -> set[str]:
        """The splits that a path names: ``{"test"}`` for ``data/medqa_test_v2``.

        A folder that names several, such as ``train-dev``, says nothing of a file in it that names
        one.
        """
        parts = name.split("/")
        *folders, last = (
            self._splits_in_part("/".join(parts[:depth]), part) for depth, part in enumerate(parts)
        )
        plain = {split for splits in folders if len(splits) == 1 for split in splits} | last
        return plain or set().union(*folders)

    def _splits_in_part(self, parent: str, part: str) -> set[str]:
        words = _words_in(part)
        like = self._like_names.get(parent, {}).get(tuple(words))
        return plain_splits(words) or ({like} if like else set())

    @cached_property
    def _like_names(self) -> dict[str, Mapping[tuple[str, ...], str]]:
        """By each folder the words of names in it that others make plain, with their splits."""
        names: dict[str, dict[tuple[str, ...], None]] = {}
        for parts in (name.split("/") for name in self._names):
            for depth, part in enumerate(parts):
                there = names.setdefault("/".join(parts[:depth]), {})
                there[tuple(_words_in(part))] = None
        return {parent: splits_in_like_names(there) for parent, there in names.items()}

    @cached_property
    def _split_of_all(self) -> str | None:
        """The split that the folder itself is called, unless files in it are named after some.

        The folders around what is given are named for much else: ``~/dev/project``. They only count
        where they say nothing but test, since nobody is to train on that.
        """
        if any(map(self._splits_in, self._names)):
            return None
        name = self.path.absolute().name if self.path.is_dir() else ""
        if split := _only(plain_splits(_words_in(name)), self.path):
            return split
        if is_unclear(_words_in(name)):
            raise _not_plain(self.path)
        around = [_words_in(folder.name) for folder in self.path.parents[:2]]
        return "test" if any(map(is_test_alone, around)) else None

    @cached_property
    def _twins(self) -> dict[str, str]:
        """Names that differ only by splits in the middle of words, each with another such name.

        As ``medqatrain`` and ``medqatest``. One alone means nothing: ``latest``, ``developer``.
        """
        alike: dict[str, dict[str, str]] = {}
        for name in self._names:
            for word, split in SPLIT_OF.items():
                if word in name.lower():
                    alike.setdefault(name.lower().replace(word, "*"), {})[split] = name
        return {
            name: next(other for other in by_split.values() if other != name)
            for by_split in alike.values()
            if len(by_split) > 1
            for name in by_split.values()
        }


def _only(found: set[str], path: Path) -> str | None:
    """The one split that was found for a path, if any; raises KformerError for several."""
    if len(found) > 1:
        raise KformerError(
            f"{path}: which split? its path says {' and '.join(sorted(found))}; {_WHAT_TO_DO}"
        )
    return next(iter(found), None)


def _not_plain(path: Path) -> KformerError:
    return KformerError(f"{path}: which split? {_WHAT_TO_DO}")


def _words_in(part: str) -> list[str]:
    return words_of(_PART.sub("", part))


def _word_like_split(name: str) -> str | None:
    """A word of a path that may be meant as a split's."""
    return next(filter(None, map(sounding_like_split, map(_words_in, name.split("/")))), None)


def check_parts(files: Iterable[Path]) -> None:
    """Refuses files of which a numbered part (``train-00000-of-00002``) is missing, or there twice.

    Raises:
        KformerError: it names the part.
    """
    first_of_name: dict[tuple[Path, str], Path] = {}
    sets: dict[tuple[Path, str], list[_Part]] = {}
    for file in files:
        stem = file.name.removesuffix(suffix_of(file))
        first = first_of_name.setdefault((file.parent, stem), file)
        if first != file:
            raise KformerError(
                f"{first} and {file}: two files of one name, perhaps with the same questions; "
                "remove or rename one"
            )
        if match := _PART.search(stem):
            start = stem[: match.start()]
            sets.setdefault((file.parent, start), []).append(_Part(file, match))
    for parts in sets.values():
        _check_complete(parts)


class _Part(NamedTuple):
    file: Path
    match: re.Match[str]
    """Of `_PART`, in the file's name."""

    @property
    def number(self) -> int:
        return int(self.match[1])

    @property
    def total(self) -> int:
        return int(self.match[2])

    def name_of(self, number: int) -> str:
        """What another part of the set is called."""
        start, end = self.match.span(1)
        digits, name = str(number).zfill(end - start), self.file.name
        checksum = "-…" if self.match[3] else ""
        rest = f"{name[end : self.match.end(2)]}{checksum}{name[self.match.end() :]}"
        return f"{name[:start]}{digits}{rest}"


def _check_complete(parts: Sequence[_Part]) -> None:
    """Raises KformerError unless these are all parts of one set."""
    by_number: dict[int, _Part] = {}
    total = parts[0].total
    for part in parts:
        other = by_number.setdefault(part.number, part)
        other = parts[0] if part.total != total else other
        if other is not part:
            raise KformerError(
                f"{other.file} and {part.file}: parts of two sets; keep those of one"
            )
    is_from_zero = 0 in by_number or (total not in by_number and len(parts[0].match[1]) == 5)
    expected = range(total) if is_from_zero else range(1, total + 1)
    if stray := next((part for part in parts if part.number not in expected), None):
        raise KformerError(f"{stray.file}: no part of {total:,}; keep the parts of one set")
    if lacking := total - len(parts):
        name = parts[0].name_of(next(each for each in expected if each not in by_number))
        raise KformerError(
            f"{parts[0].file}: {lacking:,} of {total:,} parts {'is' if lacking == 1 else 'are'} "
            f"missing, such as {name}; give the folder with all of them, or rename the file"
        )
