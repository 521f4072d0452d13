"""`columns:` of the config: which field of the user's files is what."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

from pydantic import model_validator

from kformer.config_section import Section
from kformer.errors import KformerError
from kformer.io.normal_form import in_normal_form
from kformer.io.records import NoSuchColumn, Record


class Columns(Section):
    """Names of fields, by what they hold.

    A field that has its usual name may be missing; one that the config names must be there.
    """

    @model_validator(mode="before")
    @classmethod
    def _names_in_normal_form(cls, names: Any) -> Any:
        return in_normal_form(names)  # as records are

    @abstractmethod
    def is_required(self, key: str, position: int) -> bool:
        """Whether every record must have a field.

        Args:
            key: what it holds.
            position: its position among several fields that hold this together.
        """

    @abstractmethod
    def content_of(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The content of a record under the usual names.

        Args:
            fields: the values of the record's fields by what they hold; for several fields a list.

        Raises:
            ValueError: they do not fit together.
        """

    def in_header(self, header: Sequence[str]) -> Self:
        """The columns as the header of a table writes them: usual names may be in any case."""
        free = {name.lower(): name for name in header if name not in self._named}
        usual = {
            key: free[field.default]
            for key, field in type(self).model_fields.items()
            if getattr(self, key) == field.default and field.default in free
        }
        return self.model_copy(update=usual)

    @property
    def _named(self) -> set[str]:
        """The fields that the config names."""
        usual = type(self).model_fields
        return {
            path
            for key, paths in self.paths.items()
            if paths != usual[key].default
            for path in _as_list(paths)
        }

    @property
    def paths(self) -> dict[str, str | Sequence[str]]:
        """The names of fields by what they hold, those of fields only."""
        values = ((key, getattr(self, key)) for key in type(self).model_fields)
        return {key: path for key, path in values if path is not None}

    def apply(self, records: Iterable[Record], have_header: bool = False) -> Iterator[Record]:
        """Streams the records of a file with their content under the usual names.

        Args:
            records: its records.
            have_header: whether their columns are from a header, see `in_header`.

        Raises:
            NoSuchColumn: a column that the config names is missing, from a table or from all
                records of a file.
        """
        columns: Columns | None = None
        found: set[str] = set()
        missing: dict[str, NoSuchColumn] = {}
        for record in records:
            if isinstance(record.content, KformerError):
                yield record
                continue
            if columns is None:
                columns = self.in_header(record.columns or ()) if have_header else self
            try:
                fields = columns._fields(record, found, missing)
                content = columns.content_of(fields)
            except NoSuchColumn as problem:
                if record.columns is not None:
                    raise
                yield record._replace(content=problem)
            except ValueError as problem:
                yield record._replace(content=KformerError(f"{record.where}: {problem}"))
            else:
                given = {key: value for key, value in content.items() if value is not None}
                yield record._replace(content=columns._unread(record.content) | given)
        for path, error in missing.items():
            if path not in found:
                raise error

    def _fields(
        self, record: Record, found: set[str], missing: dict[str, NoSuchColumn]
    ) -> dict[str, Any]:
        """The values of a record's fields by what they hold.

        Adds the fields that it has to ``found``, and the named ones that it lacks to ``missing``.
        """

        def read(key: str, path: str, position: int = 0) -> Any:
            try:
                value = record.field(path)
            except NoSuchColumn as error:
                is_named = path != type(self).model_fields[key].default
                if self.is_required(key, position) or (is_named and record.columns is not None):
                    raise
                if is_named:
                    missing.setdefault(path, error)
                return None
            found.add(path)
            return value

        return {
            key: read(key, paths)
            if isinstance(paths, str)
            else [read(key, path, position) for position, path in enumerate(paths)]
            for key, paths in self.paths.items()
        }

    def _unread(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """The columns that nothing is read of, to be reported by `kformer check`."""
        named = [f"{path}." for paths in self.paths.values() for path in _as_list(paths)]
        return {
            column: value
            for column, value in content.items()
            if column not in type(self).model_fields
            and not any(path.startswith(f"{column}.") for path in named)
        }


def _as_list(paths: str | Sequence[str]) -> Sequence[str]:
    return [paths] if isinstance(paths, str) else paths
