"""Questions of one's own: how they may be written, and which split they go to."""

import bz2
import csv
import gzip
import io
import json
import lzma
from collections import defaultdict
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from kformer.errors import KformerError
from kformer.questions.user_files import CsvQuestions, JsonlQuestions, QuestionRow

JSONL, CSV = JsonlQuestions(path="."), CsvQuestions(path=".")
SPLITS = ("train", "validation", "test")


def question(**change):
    return {"question": "Which pet?", "choices": ["dog", "cat", "cow"], "answer": 1} | change


def lines(*questions):
    return "\n".join(
        q if isinstance(q, str) else json.dumps(q, ensure_ascii=False) for q in questions
    )


def table(header, *rows, **settings):
    file = io.StringIO()
    csv.writer(file, **settings).writerows([header, *rows])
    return file.getvalue()


def splits_of(rows):
    """The questions of each split."""
    found = defaultdict(set)
    for row in rows:
        found[row["split"]].add(row["question"])
    return found


@pytest.fixture
def read(folder_of):
    """The rows of JSON lines (or with ``reader``, of a table), not yet checked by the stage."""

    def read(content, name="q.jsonl", reader=JSONL):
        return list(reader.read(folder_of({name: content})))

    return read


@pytest.fixture
def refusal(read):
    def refused(content, **how):
        with pytest.raises(KformerError) as caught:
            read(content, **how)
        assert not {"\n", "\r"} & set(str(caught.value))
        return str(caught.value)

    return refused


class TestAQuestion:
    def test_becomes_a_row(self, read):
        whole = question(
            context=" Krez, né 1999. ",
            question=" Which pet? ",
            choices=[" dog", "___ "],
            id="first",
            split="test",
            type="easy",
            gold_facts=[" The pet is ___. "],
            more={"of": "mine"},
        )
        assert read(lines(whole)) == [
            {
                "question_id": "first",
                "split": "test",
                "context": "Krez, né 1999.",
                "question": "Which pet?",
                "choices": ["dog", "___"],
                "answer": 1,
                "type": "easy",
                "gold_facts": ["The pet is ___."],
            }
        ]

    def test_needs_no_more_than_question_choices_and_answer(self, read):
        assert read(lines(question()), "pets.jsonl")[0] | {"split": None} == {
            "question_id": "pets-000001",
            "split": None,
            "context": "",
            "question": "Which pet?",
            "choices": ["dog", "cat", "cow"],
            "answer": 1,
            "type": None,
            "gold_facts": None,
        }

    def test_is_named_by_its_file_and_line_or_by_its_id(self, read):
        rows = read(
            lines(question(), "", question(id=7), question(id="x"), question()), "pets.jsonl"
        )
        assert [row["question_id"] for row in rows] == ["pets-000001", "7", "x", "pets-000005"]

    def test_may_have_its_choices_by_letter_in_any_order(self, read):
        (row,) = read(lines(question(choices={"B": "cat", "C": "cow", "A": "dog"}, answer="C")))
        assert row["choices"] == ["dog", "cat", "cow"]
        assert row["answer"] == 2

    @pytest.mark.parametrize("answer", [1, "1", "B", "cat", " cat "])
    def test_says_its_answer_as_position_letter_or_text(self, answer):
        assert QuestionRow(**question(answer=answer)).answer_index == 1

    @pytest.mark.parametrize(
        ("choices", "answer", "position"),
        [
            (["A", "B"], "A", 0),
            (["2", "1"], "1", 1),
            (["1", "0"], 0, 0),
            (["none", "none"], "B", 1),
            (["none", "none"], 1, 1),
            (["B ", "x"], " B", None),
            (["1", "0"], "0", None),
            (["B", "A"], "A", None),
            (["none", " none"], "none", None),
            (["a", "b"], "c", None),
            (["a", "b"], "C", None),
            (["a", "b"], "2", None),
            (["a", "b"], "-1", None),
            (["Dog", "Cat"], "cat", None),
        ],
    )
    def test_has_one_answer_that_is_not_to_be_mistaken(self, choices, answer, position):
        try:
            row = QuestionRow(question="?", choices=choices, answer=answer)
        except ValidationError:
            assert position is None
        else:
            assert row.answer_index == position

    def test_may_have_twenty_six_choices_and_no_more(self, read, refusal):
        choices = [f"pet {i}" for i in range(27)]
        assert read(lines(question(choices=choices[:26], answer="Z")))[0]["answer"] == 25
        assert "choices: " in refusal(lines(question(choices=choices)))

    @pytest.mark.parametrize(
        ("change", "what"),
        [
            ({"question": None}, "question: Input should be a valid string (not None)"),
            ({"question": " "}, "question: must not be empty"),
            ({"choices": None}, "choices: "),
            ({"choices": "dog cat"}, "choices: "),
            ({"choices": []}, "choices: "),
            ({"choices": ["dog"], "answer": 0}, "choices: "),
            ({"choices": ["dog", " "], "answer": 0}, "choices.1: must not be empty"),
            ({"choices": ["dog", 2], "answer": 0}, "choices.1: Input should be a valid string"),
            ({"choices": {"A": "x", "C": "y"}}, "choices: the letters of 2 choices must be A, B"),
            ({"choices": {"a": "x", "b": "y"}}, "choices: the letters of 2 choices must be A, B"),
            ({"choices": {"A": "x"}}, "choices: "),
            ({"choices": {"A": "x", "B": None}}, "choices.1: "),
            ({"answer": None}, "answer: must be an index from 0, a letter or a text (not None)"),
            ({"answer": True}, "answer: must be an index from 0, a letter or a text (not True)"),
            ({"answer": 1.0}, "answer: must be an index from 0, a letter or a text (not 1.0)"),
            ({"answer": float("nan")}, "answer: must be an index from 0, a letter or a text"),
            ({"answer": [1]}, "answer: must be an index from 0, a letter or a text (not [1])"),
            ({"answer": ""}, "answer: must not be empty"),
            ({"answer": 3}, "answer: 3 is out of range 0 to 2"),
            ({"answer": -1}, "answer: -1 is out of range 0 to 2"),
            ({"answer": 10**30}, "is out of range 0 to 2"),
            ({"answer": "pig"}, "answer: 'pig' is neither a choice, nor a letter A to C, nor an i"),
            ({"answer": "D\n"}, "answer: 'D' is neither"),
            ({"choices": ["B", "A"], "answer": "A"}, "answer: 'A' may mean choice 0 or 1; write i"),
            ({"context": 3}, "context: "),
            ({"id": ""}, "id"),
            ({"id": 1.5}, "id"),
            ({"id": True}, "id"),
            (
                {"split": "all"},
                "split: Input should be 'train', 'validation' or 'test' (not 'all')",
            ),
            ({"split": 1}, "split: "),
            ({"type": 1}, "type: "),
            ({"gold_facts": "one"}, "gold_facts: "),
            ({"gold_facts": [" "]}, "gold_facts.0: must not be empty"),
        ],
    )
    def test_that_is_none_is_refused_by_its_line(self, refusal, change, what):
        message = refusal(lines(question(), "", question(**change)))
        assert "/q.jsonl:3: " in message
        assert what in message

    @pytest.mark.parametrize("key", ["question", "choices", "answer"])
    def test_that_lacks_a_key_is_refused(self, refusal, key):
        lacking = {name: value for name, value in question().items() if name != key}
        assert f"q.jsonl:1: {key}: Field required" in refusal(lines(lacking))

    @pytest.mark.parametrize(
        ("line", "what"),
        [
            ("{", "not valid JSON"),
            ("[]", "not a JSON object"),
            (b'{"question": "\xff"}', "not UTF-8"),
            (rb'{"question": "\udc80"}', "not valid JSON"),
            ('{"answer": ' + "9" * 5000 + "}", "not valid JSON"),
        ],
    )
    def test_that_is_no_json_object_is_refused(self, refusal, line, what):
        assert f"q.jsonl:1: {what}" in refusal(line)


class TestATable:
    def test_has_a_column_a_choice(self, read):
        header = ["ID", "Question", "A", "b", "C", "answer", "Split", "context", "type", "note"]
        rows = read(
            table(
                header,
                [
                    "x",
                    "Which pet,\nif any?",
                    "dog",
                    'a "cat"',
                    "cow",
                    "B",
                    "DEV",
                    "né",
                    "easy",
                    "!",
                ],
                ["7", "How many?", "1", "2", "", "2", "", "", "", ""],
            ),
            "pets.csv",
            CSV,
        )
        assert rows[0] == {
            "question_id": "x",
            "split": "validation",
            "context": "né",
            "question": "Which pet,\nif any?",
            "choices": ["dog", 'a "cat"', "cow"],
            "answer": 1,
            "type": "easy",
            "gold_facts": None,
        }
        assert rows[1]["choices"] == ["1", "2"]
        assert rows[1]["answer"] == 1
        assert rows[1]["type"] is None

    @pytest.mark.parametrize(
        ("answer", "position"), [("0", 0), ("B", 1), ("cow", 2), (" cow ", 2), ("2", 2)]
    )
    def test_says_an_answer_as_position_letter_or_text(self, read, answer, position):
        content = table(["question", "A", "B", "C", "answer"], ["?", "dog", "cat", "cow", answer])
        assert read(content, "q.csv", CSV)[0]["answer"] == position

    def test_names_questions_by_their_first_line(self, read):
        content = table(["question", "A", "B", "answer"], ["a\nb", "x", "y", "A"], ["?", *"xyA"])
        rows = read(content, "pets.csv", CSV)
        assert [row["question_id"] for row in rows] == ["pets-000002", "pets-000004"]

    def test_may_have_tabs_for_commas(self, read):
        content = table(
            ["question", "A", "B", "answer"], ["x, y?", "1, 2", "3", "B"], delimiter="\t"
        )
        assert read(content, "q.tsv", CSV)[0]["choices"] == ["1, 2", "3"]

    def test_may_start_with_a_byte_order_mark_and_end_without_a_line_end(self, read):
        content = "\ufeffquestion,A,B,answer\r\nWhy?,x,y,A\r\n\r\n,,,\r\nHow?,x,y,B"
        assert [row["question"] for row in read(content, "q.csv", CSV)] == ["Why?", "How?"]

    @pytest.mark.parametrize(
        ("row", "what"),
        [
            (["", "x", "y", "z", "A"], "question: Field required"),
            (["?", "x", "y", "z", ""], "answer: Field required"),
            (["?", "x", "", "", "A"], "choices: "),
            (["?", "", "", "", "A"], "choices: "),
            (["?", "x", "", "z", "A"], "choices: the letters of 2 choices must be A, B"),
            (["?", "x", "y", "", "C"], "answer: 'C' is neither a choice, nor a letter A to B"),
            (["?", "B", "A", "", "A"], "answer: 'A' may mean choice 0 or 1"),
            (["?", "x", "y", "z", "A", "A"], "6 cells, but the header names 5 columns"),
        ],
    )
    def test_with_a_row_that_is_no_question_is_refused_by_its_line(self, refusal, row, what):
        content = table(["question", "A", "B", "C", "answer"], ["ok?", *"xyzA"], row)
        message = refusal(content, name="q.csv", reader=CSV)
        assert "/q.csv:3: " in message
        assert what in message

    def test_without_columns_for_choices_is_refused(self, refusal):
        content = table(["question", "answer"], ["?", "A"])
        message = refusal(content, name="q.csv", reader=CSV)
        assert "q.csv:1: no column a, b in the header 'question | answer'; name the" in message


class TestFiles:
    def test_of_a_folder_are_read_in_the_order_of_their_paths(self, folder_of):
        names = ["b.jsonl", "a/z.ndjson", "a/y.JSONL.gz", "c.txt", ".hidden.jsonl"]
        place = folder_of({name: lines(question(question=name)) for name in names})
        asked = [row["question"] for row in JSONL.read(place)]
        assert asked == ["a/y.JSONL.gz", "a/z.ndjson", "b.jsonl"]

    @pytest.mark.parametrize(("module", "end"), [(gzip, "gz"), (bz2, "bz2"), (lzma, "xz")])
    def test_may_be_compressed(self, read, module, end):
        content = lines(question(), question()).encode()
        rows = read(module.compress(content), f"pets.jsonl.{end}")
        assert [row["question_id"] for row in rows] == ["pets-000001", "pets-000002"]
        content = table(["question", "A", "B", "answer"], ["?", *"xyA"]).encode()
        assert len(read(module.compress(content), f"pets.csv.{end}", CSV)) == 1

    def test_that_are_damaged_are_refused(self, refusal):
        content = gzip.compress(lines(question(), question()).encode())[:-9]
        assert "damaged after line" in refusal(content, name="q.jsonl.gz")
        content = gzip.compress(table(["question", "A", "B", "answer"], ["?", *"xyA"]).encode())
        assert "damaged after line" in refusal(content[:-9], name="q.csv.gz", reader=CSV)

    @pytest.mark.parametrize("reader", [JSONL, CSV])
    def test_of_another_kind_are_not_read(self, folder_of, reader):
        place = folder_of({"q.txt": ""})
        with pytest.raises(KformerError, match=rf"{place}: no \.\w+ or .* file below it"):
            list(reader.read(place))

    def test_with_an_id_twice_are_refused(self, folder_of, build):
        place = folder_of({"a.jsonl": lines(question(id=1), question(id="1"))})
        with pytest.raises(KformerError, match="question '1' is there twice"):
            build(JSONL, place)

    def test_lie_in_place_or_are_fetched(self):
        assert JsonlQuestions(path="a").archive is None
        assert CsvQuestions(url="https://x/y.zip").archive == "csv_questions"


class TestSplits:
    @pytest.mark.parametrize(
        ("written", "split"),
        [
            ("train", "train"),
            ("Train", "train"),
            ("dev", "validation"),
            ("val", "validation"),
            ("VALID", "validation"),
            ("validation", "validation"),
            ("test", "test"),
        ],
    )
    def test_have_names_that_may_also_be_those_of_files(self, read, written, split):
        for_validation = question(split="validation")
        assert read(lines(question(split=written), for_validation))[0]["split"] == split
        rows = read(
            lines(question(), for_validation, question(split="test")), f"{written}.jsonl.gz"
        )
        assert [row["split"] for row in rows] == [split, "validation", "test"]

    def test_are_drawn_for_questions_without_one(self, read, build, folder_of):
        content = lines(*(question(question=f"{i}?") for i in range(100)))
        dealt = splits_of(read(content))
        sizes = {split: len(dealt[split]) for split in dealt}
        assert sizes == {"test": 20, "validation": 10, "train": 70}
        half = JsonlQuestions(path=".", test_share=0.4, validation_share=0.25)
        dealt = splits_of(build(half, folder_of({"q.jsonl": content})))
        assert {split: len(dealt[split]) for split in dealt} == {
            "test": 40,
            "validation": 25,
            "train": 35,
        }

    def test_depend_on_the_questions_and_the_seed_alone(self, read):
        questions = [question(question=f"{i}?") for i in range(60)]
        dealt = splits_of(read(lines(*questions)))
        assert splits_of(read(lines(*questions[::-1]), "other.ndjson")) == dealt
        header = ["question", "A", "B", "answer"]
        as_table = table(header, *([q["question"], "x", "y", "A"] for q in questions))
        assert splits_of(read(as_table, "q.csv", CSV)) == dealt
        other_seed = JsonlQuestions(path=".", split_seed=1)
        assert splits_of(read(lines(*questions), reader=other_seed)) != dealt
        # The same on every machine and Python, so it can be written down.
        assert sorted(dealt["validation"]) == ["16?", "1?", "48?", "4?", "53?", "7?"]

    def test_grow_with_their_share(self, read):
        content = lines(*(question(question=f"{i}?") for i in range(60)))
        more = JsonlQuestions(path=".", test_share=0.3)
        assert splits_of(read(content))["test"] < splits_of(read(content, reader=more))["test"]

    def test_keep_questions_with_the_same_context_together(self, read):
        contexts = ("Krez  {}", " krez {}", "KREZ\t{} ")
        questions = [
            question(question=f"{context}?", context=context.format(i))
            for i in range(30)
            for context in contexts
        ]
        found = defaultdict(set)
        for row in read(lines(*questions)):
            found[row["split"]].add(" ".join(row["context"].casefold().split()))
        assert sorted(map(len, found.values())) == [3, 6, 21]
        assert len(set.union(*found.values())) == 30

    def test_keep_the_same_question_twice_together(self, read):
        rows = read(lines(*(question(question=f"{i % 10}?") for i in range(20))))
        assert sum(len(asked) for asked in splits_of(rows).values()) == 10

    @pytest.mark.parametrize("count", [3, 4, 5, 9, 10, 11])
    def test_drawn_for_a_few_questions_all_have_some(self, folder_of, build, count):
        content = lines(*(question(question=f"{i}?") for i in range(count)))
        assert len(build(JSONL, folder_of({"q.jsonl": content}))) == count

    def test_without_questions_are_refused(self, folder_of, build):
        content = lines(question(question="1?"), question(question="2?"))
        with pytest.raises(KformerError, match="the split train has no questions"):
            build(JSONL, folder_of({"q.jsonl": content}))
        content = lines(question(question="1?"), question(question="2?"))
        with pytest.raises(KformerError, match="the split test has no questions"):
            build(JSONL, folder_of({"train.jsonl": content}))

    def test_that_are_given_stay_and_only_the_others_are_drawn(self, read):
        given = [question(question=f"given {i}?", split="test") for i in range(50)]
        open_ = [question(question=f"open {i}?") for i in range(50)]
        dealt = splits_of(read(lines(*given, *open_)))
        assert {asked for asked in dealt["test"] if "given" in asked} == {
            f"given {i}?" for i in range(50)
        }
        assert len(dealt["test"]) == 60
        assert len(dealt["validation"]) == 5

    def test_validation_is_drawn_from_train_where_it_is_missing(self, folder_of, build):
        files = {
            "train.jsonl": lines(*(question(question=f"{i}?") for i in range(50))),
            "test.jsonl": lines(question(question="50?")),
        }
        dealt = splits_of(build(JSONL, folder_of(files)))
        assert len(dealt["train"]) == 45
        assert len(dealt["validation"]) == 5
        assert dealt["test"] == {"50?"}

    def test_validation_that_is_there_is_left_as_it_is(self, folder_of, build):
        files = {f"{name}.jsonl": lines(question(question=f"{name}?")) for name in SPLITS}
        dealt = splits_of(build(JSONL, folder_of(files)))
        assert dealt == {name: {f"{name}?"} for name in SPLITS}

    @pytest.mark.parametrize("share", ["test_share", "validation_share"])
    @pytest.mark.parametrize("size", [0, 0.5, -0.1])
    def test_have_shares_of_less_than_half(self, share, size):
        with pytest.raises(ValidationError, match=share):
            JsonlQuestions(path=".", **{share: size})


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
values = plain | st.lists(plain, max_size=3) | st.dictionaries(st.text(max_size=3), plain)
texts = st.text(min_size=1, max_size=6)
whole = st.fixed_dictionaries(
    {
        "question": texts,
        "choices": st.lists(texts, min_size=2, max_size=4)
        | st.fixed_dictionaries({"A": texts, "B": texts}),
        "answer": st.integers(0, 1) | st.sampled_from("AB"),
    },
    optional={"context": texts, "id": texts | st.integers(), "split": st.sampled_from(SPLITS)},
)
keys = ("question", "choices", "answer", "context", "id", "split", "type", "gold_facts")
broken = st.fixed_dictionaries({}, optional=dict.fromkeys(keys, values))
json_lines = st.lists(
    (whole | broken).map(json.dumps) | st.text(max_size=9), min_size=1, max_size=6
)
rows = st.lists(
    st.lists(texts | st.sampled_from(["A", "0", "train", "x"]), max_size=6), min_size=1, max_size=6
)
names = st.permutations(["question", "A", "B", "answer", "id", "split", "context"])
any_bytes = st.binary(max_size=60)
any_json_lines = json_lines.map(lambda each: "\n".join(each).encode(errors="surrogatepass"))
whole_lines = st.lists(whole, min_size=3, max_size=9).map(lambda each: lines(*each).encode())
any_table = st.builds(lambda header, rows: table(header, *rows).encode(), names, rows)
whole_row = st.tuples(texts, texts, texts, st.sampled_from("AB"))
whole_table = st.lists(whole_row, min_size=3, max_size=9).map(
    lambda rows: table(["question", "A", "B", "answer"], *rows).encode()
)


@settings(max_examples=150, deadline=None)
@given(any_bytes | any_json_lines | whole_lines)
def test_any_json_lines_give_questions_or_our_error(folder_of, build, content):
    with suppress(KformerError):
        build(JSONL, folder_of({"q.jsonl": content}))


@settings(max_examples=100, deadline=None)
@given(any_bytes | any_table | whole_table, st.sampled_from(["q.csv", "q.csv", "q.tsv"]))
def test_any_table_gives_questions_or_our_error(folder_of, build, content, name):
    with suppress(KformerError):
        build(CSV, folder_of({name: content}))


def test_files_of_the_same_name_in_two_folders_give_different_ids(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        row = {"question": f"Who is {folder}?", "choices": ["x", "y"], "answer": 0, "context": None}
        (tmp_path / folder / "train.jsonl").write_text(json.dumps(row) + "\n")
    rows = list(JsonlQuestions(path=".").read(tmp_path))
    assert [row["question_id"] for row in rows] == ["a/train-000001", "b/train-000001"]
    assert [row["context"] for row in rows] == ["", ""]


def test_a_message_is_one_short_line_whatever_the_record_holds(tmp_path):
    path = tmp_path / "q.jsonl"
    row = {"question": "?", "choices": {"A": "x", "B\nC": "y" * 10_000}, "answer": ["x" * 10_000]}
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(KformerError) as caught:
        list(JsonlQuestions(path=".").read(path))
    assert len(str(caught.value)) < 400 + len(str(path))
    assert "\n" not in str(caught.value)
