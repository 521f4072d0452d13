"""MedQuAD: documents in both markups, without answers, damaged, and malicious."""

from xml.sax.saxutils import escape

import pytest
from pydantic import ValidationError

from kformer.errors import KformerError
from kformer.knowledge.medquad import MedQuad

NEW = ("Document", "QAPairs", "QAPair", "Question", "Answer")
OLD = ("doc", "qaPairs", "pair", "question", "answer")
URL = "https://www.nih.gov/gout"


def document(*pairs, markup=NEW, url=URL):
    """A document with questions and answers, as the official ones are laid out."""
    top, pairs_tag, pair_tag, asked_tag, answer_tag = markup
    body = "\n".join(
        f'<{pair_tag} pid="{i}"><{asked_tag} qid="1-{i}" qtype="symptoms">{escape(asked)}'
        f"</{asked_tag}>\n<{answer_tag}>{escape(answer)}</{answer_tag}></{pair_tag}>"
        for i, (asked, answer) in enumerate(pairs, start=1)
    )
    address = f' url="{url}"' if url else ""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<{top} id="1" source="NIH"{address}>'
        f"<Focus>Gout</Focus><{pairs_tag}>{body}</{pairs_tag}></{top}>"
    )


@pytest.fixture
def facts(folder_of, build):
    """The facts of some documents, and what was counted."""

    def read(files, **settings):
        rows, counts = build(MedQuad(**settings), folder_of(files))
        return [(row["text"], row["relation"], row["origin"]) for row in rows], counts

    return read


@pytest.fixture
def refused(facts):
    def refused(files, problem):
        with pytest.raises(KformerError, match=problem):
            facts(files)

    return refused


def test_an_answer_becomes_passages_each_with_its_question(facts):
    answer = "Gout hurts.\n  It is in the toe. \u00a0Élan helps & so <on>."
    content = document(("What is gout ?", answer), ("Why? ?", "Acid."))
    assert facts({"1_NIH/1.xml": content}, words=7, overlap=0)[0] == [
        ("What is gout? Gout hurts. It is in the toe.", "symptoms", f"{URL} 1-1"),
        ("What is gout? Élan helps & so <on>.", "symptoms", f"{URL} 1-1"),
        ("Why? Acid.", "symptoms", f"{URL} 1-2"),
    ]


def test_any_number_of_question_marks_is_read_at_once(facts):
    content = document(("? " * 40_000 + "x", "Yes."), ("Why" + " ?" * 40_000, "No."))
    first, second = (text for text, *_ in facts({"a.xml": content})[0])
    assert first.endswith("? x Yes.") and second == "Why? No."


def test_the_old_markup_is_read_and_counted_and_an_answer_given_twice_kept_once(facts):
    old = document(("What?", "Old."), ("Why?", "Older."), markup=OLD)
    new = document(("What?", "New."))
    found, counts = facts({"a.xml": old, "b.xml": new, "c.xml": new})
    assert found == [
        ("What? Old.", "symptoms", f"{URL} 1-1"),
        ("Why? Older.", "symptoms", f"{URL} 1-2"),
        ("What? New.", "symptoms", f"{URL} 1-1"),
    ]
    assert (counts["medquad_answers_in_old_markup"], counts["medquad_answers"]) == (2, 2)
    assert (counts["medquad_read"], counts["medquad_duplicates"]) == (4, 1)


@pytest.mark.parametrize("markup", [NEW, OLD])
def test_what_has_no_answer_is_counted(facts, markup):
    some = document(("What?", "This."), ("How?", ""), ("When?", " \n "), markup=markup)
    none, empty = document(("How?", ""), markup=markup), document(markup=markup)
    lacking = document(("Why?", "Because.")).replace("<Answer>Because.</Answer>", "")
    found, counts = facts({"a.xml": some, "b.xml": none, "c.xml": empty, "d.xml": lacking})
    assert [text for text, *_ in found] == ["What? This."]
    assert counts["medquad_questions_without_answers"] == 4
    assert counts["medquad_documents_without_answers"] == 3


def test_neither_address_nor_attributes_nor_the_name_of_the_root_are_needed(facts):
    pairs = "<QAPair><Question/><Answer>A.</Answer></QAPair><QAPair><Answer>B.</Answer></QAPair>"
    other_root = document(("What?", "This."), url=None).replace("Document", "DiseaseFile")
    bare = f"<Document><QAPairs>{pairs}</QAPairs></Document>"
    assert facts({"0000051.xml": other_root, "a.xml": bare})[0] == [
        ("What? This.", "symptoms", "0000051 1-1"),
        ("A.", None, "a"),
        ("B.", None, "a"),
    ]


def test_markup_within_an_answer_is_read_through(facts):
    answer = "One <b>two</b><!-- no --> <![CDATA[<3>]]>."
    content = document(("What?", "ONE")).replace("ONE", answer)
    assert facts({"a.xml": content})[0][0][0] == "What? One two <3>."


def test_documents_may_have_a_byte_order_mark_and_another_encoding(facts):
    content = document(("Où?", "Là."))
    utf16 = content.replace("UTF-8", "UTF-16").encode("utf-16")
    latin = content.replace("UTF-8", "ISO-8859-1").encode("latin-1")
    found, counts = facts({"a.xml": "\ufeff" + content, "b.xml": utf16, "c.xml": latin})
    assert [text for text, *_ in found] == ["Où? Là."]
    assert counts["medquad_read"] == 3


def test_a_template_of_the_user(facts):
    files = {"a.xml": document(("What?", "{question}"))}
    found, _ = facts(files, template="Q: {question} A: {answer}")
    assert found[0][0] == "Q: What? A: {question}"
    with pytest.raises(ValidationError, match=r"must name \{question\} and \{answer\}"):
        MedQuad(template="{answer}")


DECLARED = '<!DOCTYPE Document [<!ENTITY a "boo">]>'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("declared", [DECLARED, "<!DOCTYPE Document SYSTEM 'file:///etc/passwd'>"])
def test_a_document_type_is_refused_in_any_encoding(refused, encoding, declared):
    content = document(("What?", "A")).replace("A</Answer>", "&a;</Answer>")
    content = content.replace(' encoding="UTF-8"?>', f"?>{declared}")
    refused({"a.xml": content.encode(encoding)}, r"/a\.xml: declares a document type")


@pytest.mark.parametrize(
    "content",
    [
        *("", "text", "<Document>", "<a/><b/>", "<Document>&nbsp;</Document>"),
        *("<Document>\x00</Document>", b"<Document>\xff</Document>"),
        '<?xml version="1.0" encoding="klingon"?><Document/>',
        '<?xml version="1.0" encoding="UTF-32"?><Document/>',
    ],
)
def test_what_is_no_xml_is_refused(refused, content):
    files = {"1/good.xml": document(("What?", "This.")), "2/bad.xml": content}
    refused(files, r"/2/bad\.xml: not valid XML \(.*\); get the archive again$")
