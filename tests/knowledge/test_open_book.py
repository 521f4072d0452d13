"""The facts of OpenBookQA: the book, then those of crowd workers."""

import pytest

from kformer.errors import KformerError
from kformer.knowledge.open_book import OpenBook

BOOK, CROWD = "Data/Main/openbook.txt", "Data/Additional/crowdsourced-facts.txt"


def test_facts_without_their_quotes(folder_of, build):
    book = '"A bee is a "busy" animal"\n"ice melts"\n'
    folder = folder_of({BOOK: book, CROWD: "\n-2+2=0\n1 day has 24 hours\n"})
    rows, _ = build(OpenBook(), folder)
    assert [(row["text"], row["origin"]) for row in rows] == [
        ('A bee is a "busy" animal', "openbook 1"),
        ("ice melts", "openbook 2"),
        ("-2+2=0", "crowdsourced-facts 2"),
        ("1 day has 24 hours", "crowdsourced-facts 3"),
    ]


def test_they_come_in_the_archive_of_open_book_qa():
    assert OpenBook().archive == "open_book_qa"


def test_a_file_that_is_missing(folder_of):
    with pytest.raises(KformerError, match=r"0 files called Additional/crowdsourced-facts\.txt"):
        list(OpenBook().read(folder_of({BOOK: '"ice melts"'}), {}))
