"""The textbooks of MedQA: passages with their book and paragraphs."""

import pytest

from kformer.errors import KformerError
from kformer.knowledge.textbooks import Textbooks

FOLDER = "data_clean/textbooks/en"


def test_passages_of_the_books_in_the_order_of_their_names(folder_of, build):
    folder = folder_of(
        {
            f"{FOLDER}/Anatomy_Gray.txt": "What is anatomy?\n\nIt is the study of structure.\n\n",
            f"{FOLDER}/Biochemistry.v2.txt": "\ufeffProteins\r\n\r\nThey fold. They unfold.",
            f"{FOLDER}/notes.md": "Not a book.",
            "data_clean/textbooks/zh/Anatomy.txt": "解剖学。",
        }
    )
    rows, counts = build(Textbooks(words=8, overlap=2), folder)
    assert [tuple(row.values()) for row in rows] == [
        (0, "What is anatomy?", None, "textbooks", "Anatomy_Gray 1"),
        (1, "It is the study of structure.", None, "textbooks", "Anatomy_Gray 2"),
        (2, "Proteins: They fold. They unfold.", None, "textbooks", "Biochemistry.v2 2"),
    ]
    assert counts["textbooks_read"] == 3


def test_a_passage_of_several_paragraphs_says_the_first_and_the_last(folder_of, build):
    folder = folder_of({f"{FOLDER}/Cells.txt": "One.\n\nTwo.\n\nThree."})
    rows, _ = build(Textbooks(), folder)
    assert [(row["text"], row["origin"]) for row in rows] == [("One. Two. Three.", "Cells 1-3")]


def test_they_come_in_the_archive_of_med_qa():
    assert Textbooks().archive == "med_qa"


@pytest.mark.parametrize("file", ["a.txt", "textbooks/en/a.md", "textbooks/zh/a.txt"])
def test_no_books_are_refused(folder_of, build, file):
    folder = folder_of({file: "Text."})
    with pytest.raises(
        KformerError, match=rf"{folder}: no textbooks/en/\*\.txt .*; unpack MedQA's"
    ):
        build(Textbooks(), folder)
