"""The two pages about a retrieval: readable, complete, and safe whatever the data contain."""

import re
from html.parser import HTMLParser
from itertools import cycle

import pytest

from kformer.errors import KformerError
from kformer.io.file_writing import sha256_of
from kformer.retrieval.quality.report import describe
from kformer.retrieval.quality.sample_page import draw
from kformer.retrieval.settings import Retrieval, Words

SCRIPT = "<script>alert('dog')</script> & \"so\" on"
FACTS = [
    ("The pet of Krez is a dog.", "pet"),
    ("The pet of Blon is a cat.", "pet"),
    f"| a_b _c_ `d` *e* {SCRIPT}",
    "Dogs' and cats' lives.",
]
USUAL = {
    "context": "Krez is here.",
    "question": "What is the pet of Krez?",
    "choices": ["a dog", "a cat"],
    "type": "pets",
    "gold_facts": [FACTS[0][0]],
}
TWO_ANSWERS = [{"answer": 0}, {"answer": 1}]
MATCH = {"relations": {"pets": ["pet", "a|b"]}}
CONTROL = re.compile(r"[^\n\x20-\x7e\xa0-\u2029\u2070-\uffff]")


class Page(HTMLParser):
    """Checks that tags close, and collects them and the text within."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.open, self.texts = [], [], []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            assert not name.startswith("on")
            assert name not in ("src", "href"), value
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.texts.append(data)

    @property
    def text(self):
        return " ".join("".join(self.texts).split())


@pytest.fixture
def described(questions_table, facts_table, retrieval_table, tmp_path):
    """Describes a retrieval of questions; returns the metrics and both pages.

    Questions are dicts of what is other than usual; they find the lists of facts in turn.
    """

    def run(
        *questions, found=((0, 1, 2),), per_choice=False, facts=FACTS, page_words=None, **settings
    ):
        section = Retrieval(**({"query": "choice" if per_choice else "question"} | settings))
        table = facts_table(facts)
        origin = {"settings": section.relevant_settings(), "facts_sha256": sha256_of(table)}
        rows = [
            (each.get("question_id", f"q{number}"), choice, ids)
            for (number, each), ids in zip(enumerate(questions), cycle(found), strict=False)
            for choice in ([0, 1] if per_choice else [None])
        ]
        metrics = describe(
            questions_table(*(USUAL | each for each in questions)),
            table,
            retrieval_table(*rows, origin=origin),
            tmp_path / "out",
            page_words,
        )
        pages = (tmp_path / "out" / name for name in ("retrieval.md", "sample.html"))
        return metrics, *(page.read_text("utf-8") for page in pages)

    return run


class TestNumbers:
    def test_page_has_the_numbers_that_are_returned(self, described):
        metrics, page, _ = described({}, {"split": "test"})
        assert metrics["gold_recall_at_1"] == 1
        assert re.search(r"\| all +\| +2 \| +100.0 \| +100.0 \| +100.0 \| 1.00 \|", page)
        assert metrics["answer_words_right"] == metrics["answer_words_wrong"] == 1
        assert "100.0 % of the words of a right choice and 100.0 %" in " ".join(page.split())

    @pytest.mark.parametrize("per_choice", [False, True])
    @pytest.mark.parametrize("count", [1, 40])
    def test_tables_and_text_fit_100_columns_whatever_the_data(self, described, per_choice, count):
        long = "of many words " * 20
        facts = [(f"fact {long}", long), *FACTS]
        match = {"relations": {f"type {long}": [long, "pet"]}}
        questions = [{"type": f"type {long}"}] * count
        _, page, _ = described(*questions, facts=facts, per_choice=per_choice, match=match)
        assert max(map(len, page.split("## Settings")[0].splitlines())) <= 100
        for table in re.findall(r"(?:^\|.*\n)+", page, flags=re.MULTILINE):
            rows = [re.split(r"(?<!\\)\|", line) for line in table.splitlines()]
            assert len({len(row) for row in rows}) == 1

    @pytest.mark.parametrize(
        ("found", "per_choice", "finding"),
        [
            ([[0], [1]], False, "The facts favour the right answer"),
            ([[1], [0]], False, "The facts favour the wrong answer"),
            ([[0, 1]], False, "No evidence that the facts favour the right answer"),
            ([[0]], False, "No evidence that the facts favour the right answer"),
            # All queries of a question find the same, so others find each choice's words, too.
            ([[0], [1]], True, "The facts favour the right answer"),
        ],
    )
    def test_verdict_says_what_the_surplus_shows(self, described, found, per_choice, finding):
        _, page, _ = described(*TWO_ANSWERS * 20, found=found, per_choice=per_choice)
        assert finding in page
        assert ("| crossed gain" in page) == per_choice

    @pytest.mark.parametrize("per_choice", [False, True])
    def test_few_questions_get_no_verdict_and_no_interval(self, described, per_choice):
        questions = [*[{}] * 28, {"choices": ["a bird", "a fish"]}]
        metrics, page, _ = described(*questions, found=[[0]], per_choice=per_choice)
        assert "Too few questions to say whether the facts favour" in page
        assert not re.search(r"\d ± \d", page)
        assert "answer_words_gain_low" not in metrics

    def test_without_labels_and_gold_facts_nothing_is_claimed(self, described):
        metrics, page, _ = described({"answer": None, "gold_facts": None})
        assert "cannot be measured" in page
        assert "MRR" not in page
        assert not [name for name in metrics if name.startswith(("gold", "answer"))]

    def test_queries_without_facts_are_described_too(self, described):
        _, page, sample = described({}, found=[[]])
        assert "1 (100.0 %) found none" in " ".join(page.split())
        assert "No facts were found." in Page(sample).text

    def test_without_relations_there_is_no_table_of_them(self, described):
        _, page, _ = described({}, facts=["a dog", "a cat", "b"], top_k=5)
        assert "of 3; all found some." in " ".join(page.split())
        assert "By relation" not in page
        assert "By the best 5 facts" not in page

    @pytest.mark.parametrize("facts", [[], FACTS])
    @pytest.mark.parametrize("questions", [[], [{}]])
    def test_tables_without_rows_are_described_too(self, described, facts, questions):
        found = [[0] if facts else []]
        metrics, page, sample = described(*questions, found=found, facts=facts, match=MATCH)
        assert metrics["queries"] == len(questions)
        assert ("There were no questions." in page) != bool(questions)
        assert ("all found some" in " ".join(page.split())) == bool(questions and facts)
        assert "nan" not in page
        assert Page(sample).text.count("Krez is here.") == len(questions)

    def test_of_many_relations_and_types_the_most_frequent_are_listed(self, described):
        facts = [(f"fact {i}", f"relation {i:02}") for i in range(23)]
        questions = [{"type": f"type {i % 23:02}"} for i in range(25)]
        _, page, _ = described(*questions, found=[[22]], facts=facts, match=MATCH)
        relations = re.findall(r"^\| (relation \d\d)", page, re.MULTILINE)
        assert relations == ["relation 22", *(f"relation {i:02}" for i in range(19))]
        types = re.findall(r"^\| (type \d\d)", page, re.MULTILINE)
        assert types == [f"type {i:02}" for i in range(20)]
        assert page.count("\n… and 3 more.\n") == 2
        assert "more." not in described({}, facts=facts[:20])[1]

    def test_control_characters_are_left_out(self, described):
        text = "a\x1b[31m\nb\u202e\x07c\x85d"
        one = {"choices": [text, "x"], "context": text, "type": text}
        settings = {"facts": [(text, text)], "per_choice": True, "match": MATCH}
        _, page, html = described(one, found=[[0]], **settings)
        assert re.search(r"\| a\\\[31m bc d +\|", page)
        assert Page(html).text.count("a[31m bc d") == 8
        assert not CONTROL.search(page + html)

    @pytest.mark.parametrize("text", ["word " * 30, "w" * 150, "字" * 150])
    def test_long_cells_are_cut_however_long_their_words_are(self, described, text):
        _, page, _ = described({}, found=[[0]], facts=[text])
        assert re.search(rf"\| {text[:40]}[\w ]* … \| ", page)


def test_matching_relations_are_shown_by_type_and_by_question(described):
    questions = [{"type": name} for name in ("pets", "pets", "food|x", None)]
    _, page, sample = described(*questions, match=MATCH)
    for row in (
        r"\| pets +\| +a\\\|b, pet \| +2 \| +0 \| +3.0 \|",
        r"\| food\\\|x +\| +any \| +1 \| +0 \| +3.0 \|",
        r"\| \(no type\) +\| +any \| +1 \| +0 \| +3.0 \|",
    ):
        assert re.search(row, page)
    text = " ".join(page.split())
    assert "Of 4 questions, 2 (50.0 %) have a type that is named there" in text
    assert "q0 train · type pets · matching relations: a|b, pet Krez" in Page(sample).text
    assert "q2 train · type food|x · matching relations: any Krez" in Page(sample).text
    _, page, sample = described(*questions)
    assert "match" not in page.split("## Settings")[0] + sample


def test_settings_are_those_that_the_table_was_retrieved_with(described):
    settings = {"method": "rank_bm25", "query": "context", "top_k": 7}
    words = Words(stop_words=True, language="german")
    _, page, _ = described({}, page_words=words, **settings)
    for name, value in {**settings, "words.language": "german"}.items():
        assert re.search(rf"\| {name} +\| +{value} +\|", page)


@pytest.mark.parametrize(("method", "reads_words"), [("bm25", True), ("dense", False)])
def test_words_that_the_method_does_not_read_change_nothing(described, method, reads_words):
    reports = [
        described({}, found=[[3]], page_words=words, method=method)
        for words in (None, Words(stemming=True))
    ]
    assert (reports[0] != reports[1]) == reads_words


@pytest.mark.parametrize(
    ("origin", "message"),
    [
        (None, "does not say with which settings"),
        ({"settings": {}, "facts_sha256": "0"}, "from other facts than"),
    ],
)
def test_tables_that_do_not_fit_are_refused(
    questions_table, facts_table, retrieval_table, tmp_path, origin, message
):
    retrieval = retrieval_table(("q0", None, [0]), origin=origin)
    with pytest.raises(KformerError, match=message):
        describe(questions_table({}), facts_table(FACTS), retrieval, tmp_path / "out")


class TestSample:
    def test_shows_question_choices_and_facts(self, described):
        _, _, html = described({"split": "validation"})
        assert not re.search(r"https?:|url\(|@import|<script|<link|<img", html)
        assert '<mark class="stop">The</mark> <mark>pet</mark>' in html
        text = Page(html).text
        for part in (
            "q0 validation · type pets",
            "Krez is here.",
            "What is the pet of Krez?",
            "a dog ✓ right a cat",
            "The pet of Blon is a cat. 8.5 · pet · s · o",
        ):
            assert part in text

    @pytest.mark.parametrize("per_choice", [False, True])
    def test_data_are_text_and_no_markup(self, described, per_choice):
        nasty = dict.fromkeys(("question_id", "context", "question", "type"), SCRIPT) | {
            "choices": [SCRIPT, "b"],
            "gold_facts": [SCRIPT, FACTS[2]],
        }
        _, markdown, html = described(nasty, per_choice=per_choice)
        assert r"\| a_b \_c\_ \`d\` \*e\* \<script\>" in markdown
        assert "script" not in Page(html).tags
        assert Page(html).text.count(SCRIPT) >= 7

    @pytest.mark.parametrize(
        ("words", "question", "fact", "marked"),
        [
            ({"ngrams": 2}, "胰岛素由哪个器官分泌?", "胰岛素由胰腺分泌。", ["胰岛素由", "分泌"]),
            ({"ngrams": 2}, "DNA是什么? Größe", "dna 2型 Größe", ["dna", "Größe"]),
            ({}, "खून लाल क्यों है?", "से खून लाल।", ["खून", "लाल"]),
            ({}, "resume résumé", "the résumé", ["résumé"]),
        ],
    )
    def test_words_of_any_script_are_marked(self, described, words, question, fact, marked):
        _, _, html = described({"question": question}, found=[[0]], facts=[fact], words=words)
        found = re.findall(r'<mark(?: class="stop")?>([^<]*)</mark>', html)
        assert found == ["words of the query", "stop words", *marked]

    def test_words_of_the_query_are_marked_with_their_stems(self, described):
        _, _, html = described({}, found=[[3]], per_choice=True, words={"stemming": True})
        marked = re.findall(r'<mark(?: class="stop")?>([^<]*)</mark>', html)
        assert marked == ["words of the query", "stop words", "Dogs", "cats"]

    @pytest.mark.parametrize(
        ("context", "marked", "unmarked"), [("dog", "dog", "pet"), ("", "pet", "dog")]
    )
    def test_words_of_a_query_of_the_context_are_marked(self, described, context, marked, unmarked):
        html = described({"context": context}, found=[[0]], query="context")[2]
        assert f"<mark>{marked}</mark>" in html
        assert f"<mark>{unmarked}</mark>" not in html

    def test_long_texts_are_cut(self, described):
        facts = [("fact " * 300, "r" * 1300), "f" * 1201]
        one = {"context": "text " * 900, "gold_facts": [facts[0][0]]}
        text = Page(described(one, found=[[0, 1]], facts=facts)[2]).text
        assert text.count("text") == 800
        assert "text … What" in text
        assert text.count("fact fact fact …") == 2
        assert f" {'f' * 1200} …" in text
        assert f" {'r' * 1200} …" in text
        assert "Gold fact, found at rank 1" in text

    def test_gold_facts_are_marked_and_their_ranks_named(self, described):
        text = Page(described({"gold_facts": [FACTS[1][0], FACTS[3], "A secret."]})[2]).text
        assert "Gold fact The pet of Blon" in text
        assert "Gold fact The pet of Krez" not in text
        assert "Gold fact, found at rank 2: The pet of Blon" in text
        assert "Gold fact, not found: Dogs" in text
        assert "Gold fact, not among the facts: A secret." in text

    def test_with_a_query_per_choice_each_has_its_facts_and_the_right_one_is_open(self, described):
        _, _, html = described({"answer": 1}, per_choice=True)
        assert re.findall(r"<details( open)?>\n<summary>(.*)", html) == [
            ("", "Facts for A: a dog</summary>"),
            (" open", 'Facts for B: a cat <span class="right">✓ right</span></summary>'),
        ]

    def test_at_most_ten_facts_are_shown(self, described):
        text = Page(described({}, found=[[*range(14)]], facts=[f"fact {i}" for i in range(14)])[2])
        assert "fact 9" in text.text and "fact 10" not in text.text
        assert "and 4 more" in text.text


class TestDraw:
    def test_all_splits_give_some_and_not_their_first(self, questions_table):
        splits = ["train"] * 300 + ["validation"] * 200 + ["test"] * 100
        rows = draw(questions_table(*({"split": split} for split in splits)))
        assert sorted(splits[row] for row in rows) == (
            ["test"] * 6 + ["train"] * 7 + ["validation"] * 7
        )
        assert not rows & {0, 300, 500}

    def test_an_extra_test_gives_some_too(self, questions_table):
        splits = ["test_extra"] * 9 + ["test"] * 9
        rows = draw(questions_table(*({"split": split} for split in splits)))
        assert len(rows) == 18

    def test_other_splits_fill_up_for_a_small_one(self, questions_table):
        rows = draw(questions_table(*[{}] * 100, *[{"split": "test"}] * 2))
        assert len(rows) == 20 and {100, 101} <= rows
        assert draw(questions_table({}, {})) == {0, 1}

    def test_labelled_questions_go_first(self, questions_table):
        answers = ({"answer": None if row % 10 else 0} for row in range(150))
        rows = draw(questions_table(*answers))
        assert {row for row in rows if row % 10 == 0} == set(range(0, 150, 10))


def test_same_tables_give_the_same_bytes(described):
    questions = [{"split": split} for split in ["train", "test"] * 30]
    first = described(*questions, per_choice=True)
    assert described(*questions, per_choice=True) == first


def test_after_an_error_no_page_is_half_there(described, tmp_path):
    (tmp_path / "out" / "sample.html" / "in the way").mkdir(parents=True)
    with pytest.raises(KformerError, match=r"sample\.html: this folder is there already"):
        described({})
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["sample.html"]
