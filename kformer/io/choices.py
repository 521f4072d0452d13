"""When two choices of a question are the same answer."""

from collections.abc import Sequence


def first_equal(choices: Sequence[str], index: int) -> int:
    """The first choice with the text of a choice, which is itself unless that text is there twice.

    Case counts, since it may be what is asked; spaces do not.
    """
    plain = list(map(plain_choice, choices))
    return plain.index(plain[index])


def plain_choice(choice: str) -> str:
    """A choice, or what names one, without the spaces that make no difference."""
    return " ".join(choice.split())
