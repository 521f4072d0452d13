"""Retrieval of facts for questions; `Retriever` is the way to use it from Python."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kformer.retrieval.retriever import Retriever

__all__ = ["Retriever"]


def __getattr__(name: str) -> Any:
    """Imports `Retriever` when it is asked for, so that the settings can be imported without it."""
    if name == "Retriever":
        from kformer.retrieval.retriever import Retriever

        return Retriever
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
