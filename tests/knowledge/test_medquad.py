"""MedQuAD: documents in both markups, without answers, damaged, and malicious."""

from xml.sax.saxutils import escape

import pytest
from pydantic import ValidationError

from kformer.errors import KformerError
from kformer.knowledge.medquad import MedQuad

NEW = ("Document", "QAPairs", "QAPair", "Question", "Answer")
OLD = ("doc", "qaPairs", "pair", "question", "answer")
URL = "https://www.nih.gov/gout"


def document(*pairs, markup=NEW, url=URL, root=None):
    """A document with questions and answers, as the official ones are laid out."""
    top, pairs_tag, pair_tag, asked_tag, answer_tag = markup
    body = "\n".join(
        f'<{pair_tag} pid="{i}"><{asked_tag} qid="1-{i}" qtype="symptoms">{escape(asked)}'
        f"</{asked_tag}>\n<{answer_tag}>{escape(answer)}</{answer_tag}></{pair_tag}>"
        for i, (asked, answer) in enumerate(pairs, start=1)
    )
    top = root or top
    address = f' url="{url}"' if url else ""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<{top} id="1" source="NIH"{address}>'
        f"<Focus>Gout</Focus><{pairs_tag}>{body}</{pairs_tag}></{top}>"
    )


def rows_of(built):
    rows, _ = built
    return [(row["text"], row["relation"], row["origin"]) for row in rows]


def refusal(build, folder):
    with pytest.raises(KformerError) as caught:
        build(MedQuad(), folder)
    return str(caught.value)


def test_an_answer_becomes_passages_each_with_its_question(folder_of, build):
    answer = "Gout hurts.\n  It is in the toe. \u00a0Élan helps & so <on>."
    folder = folder_of({"1_NIH/1.xml": document(("What is gout ?", answer), ("Why? ?", "Acid."))})
    assert rows_of(build(MedQuad(words=7, overlap=0), folder)) == [
        ("What is gout? Gout hurts. It is in the toe.", "symptoms", f"{URL} 1-1"),
        ("What is gout? Élan helps & so <on>.", "symptoms", f"{URL} 1-1"),
        ("Why? Acid.", "symptoms", f"{URL} 1-2"),
    ]


def test_the_old_markup_is_read_and_counted(folder_of, build):
    folder = folder_of(
        {
            "a.xml": document(("What?", "Old."), ("Why?", "Older."), markup=OLD),
            "b.xml": document(("What?", "New.")),
        }
    )
    rows, counts = build(MedQuad(), folder)
    assert [row["text"] for row in rows] == ["What? Old.", "Why? Older.", "What? New."]
    assert {row["relation"] for row in rows} == {"symptoms"}
    assert rows[0]["origin"] == f"{URL} 1-1"
    assert counts["medquad_answers_in_old_markup"] == 2
    assert counts["medquad_answers"] == 1


@pytest.mark.parametrize("markup", [NEW, OLD])
def test_what_has_no_answer_is_counted(folder_of, build, markup):
    lacking = document(("Why?", "Because.")).replace("<Answer>Because.</Answer>", "")
    folder = folder_of(
        {
            "a.xml": document(("What?", "This."), ("How?", ""), ("When?", " \n "), markup=markup),
            "b.xml": document(("How?", ""), markup=markup),
            "c.xml": document(markup=markup),
            "d.xml": lacking,
        }
    )
    rows, counts = build(MedQuad(), folder)
    assert [row["text"] for row in rows] == ["What? This."]
    assert counts["medquad_questions_without_answers"] == 4
    assert counts["medquad_documents_without_answers"] == 3


def test_an_answer_given_twice_is_kept_once(folder_of, build):
    folder = folder_of({f"{name}.xml": document(("What?", "This.")) for name in "ab"})
    _, counts = build(MedQuad(), folder)
    assert (counts["medquad_read"], counts["medquad_duplicates"]) == (2, 1)


def test_neither_address_nor_attributes_nor_the_name_of_the_root_are_needed(folder_of, build):
    pairs = "<QAPair><Question/><Answer>A.</Answer></QAPair><QAPair><Answer>B.</Answer></QAPair>"
    folder = folder_of(
        {
            "0000051.xml": document(("What?", "This."), url=None, root="DiseaseFile"),
            "a.xml": f"<Document><QAPairs>{pairs}</QAPairs></Document>",
        }
    )
    assert rows_of(build(MedQuad(), folder)) == [
        ("What? This.", "symptoms", "0000051 1-1"),
        ("A.", None, "a"),
        ("B.", None, "a"),
    ]


def test_markup_within_an_answer_is_read_through(folder_of, build):
    content = document(("What?", "ONE")).replace(
        "ONE", "One <b>two</b><!-- no --> <![CDATA[<3>]]>."
    )
    assert rows_of(build(MedQuad(), folder_of({"a.xml": content})))[0][0] == "What? One two <3>."


def test_documents_may_have_a_byte_order_mark_and_another_encoding(folder_of, build):
    content = document(("Où?", "Là."))
    utf16 = content.replace("UTF-8", "UTF-16").encode("utf-16")
    latin = content.replace("UTF-8", "ISO-8859-1").encode("latin-1")
    folder = folder_of({"a.xml": "\ufeff" + content, "b.xml": utf16, "c.xml": latin})
    rows, counts = build(MedQuad(), folder)
    assert [row["text"] for row in rows] == ["Où? Là."]
    assert counts["medquad_read"] == 3


def test_a_template_of_the_user(folder_of, build):
    folder = folder_of({"a.xml": document(("What?", "{question}"))})
    medquad = MedQuad(template="Q: {question} A: {answer}")
    assert rows_of(build(medquad, folder))[0][0] == "Q: What? A: {question}"
    with pytest.raises(ValidationError, match=r"must name \{question\} and \{answer\}"):
        MedQuad(template="{answer}")


def test_no_documents_are_refused(folder_of, build):
    folder = folder_of({"a.txt": ""})
    assert refusal(build, folder).startswith(f"{folder}: no XML documents below it; unpack the")


DECLARED = '<!DOCTYPE Document [<!ENTITY a "boo">]>'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("declared", [DECLARED, "<!DOCTYPE Document SYSTEM 'file:///etc/passwd'>"])
def test_a_document_type_is_refused_in_any_encoding(folder_of, build, encoding, declared):
    content = document(("What?", "A")).replace("A</Answer>", "&a;</Answer>")
    content = content.replace(' encoding="UTF-8"?>', f"?>{declared}")
    folder = folder_of({"a.xml": content.encode(encoding)})
    message = refusal(build, folder)
    assert message.startswith(f"{folder / 'a.xml'}: declares a document type")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "text",
        "<Document>",
        "<a/><b/>",
        "<Document>&nbsp;</Document>",
        "<Document>\x00</Document>",
        '<?xml version="1.0" encoding="klingon"?><Document/>',
        '<?xml version="1.0" encoding="UTF-32"?><Document/>',
        b"<Document>\xff</Document>",
    ],
)
def test_what_is_no_xml_is_refused(folder_of, build, content):
    folder = folder_of({"1/good.xml": document(("What?", "This.")), "2/bad.xml": content})
    message = refusal(build, folder)
    assert message.startswith(f"{folder / '2/bad.xml'}: not valid XML (")
    assert message.endswith("); get the archive again")
