"""The textbooks of MedQA: passages with their book and paragraphs."""

from kformer.knowledge.textbooks import Textbooks

FOLDER = "data_clean/textbooks/en"


def test_passages_of_the_books_in_the_order_of_their_names(folder_of, build):
    folder = folder_of(
        {
            f"{FOLDER}/Anatomy_Gray.txt": "What is anatomy?\n\nIt is the study of structure.\n\n",
            f"{FOLDER}/Biochemistry.v2.txt": "\ufeffProteins\r\n\r\nThey fold. They unfold.",
            f"{FOLDER}/Cells.txt": "One.\n\nTwo.\n\nThree.",
            f"{FOLDER}/notes.md": "Not a book.",
            "data_clean/textbooks/zh/Anatomy.txt": "解剖学。",
        }
    )
    rows, _ = build(Textbooks(words=8, overlap=2), folder)
    assert [(row["text"], row["origin"]) for row in rows] == [
        ("What is anatomy?", "Anatomy_Gray 1"),
        ("It is the study of structure.", "Anatomy_Gray 2"),
        ("Proteins: They fold. They unfold.", "Biochemistry.v2 2"),
        ("One. Two. Three.", "Cells 1-3"),
    ]


def test_they_come_in_the_archive_of_med_qa():
    assert Textbooks().archive == "med_qa"
