"""The user's own questions: how they may be written, and which split they go to."""

import csv
import gzip
import io
import json
import unicodedata
from collections import defaultdict

import pytest
from pydantic import ValidationError

from kformer.errors import KformerError
from kformer.questions.copies import find_copies
from kformer.questions.demo import DemoQuestions
from kformer.questions.user_files import (
    CsvQuestions,
    JsonlQuestions,
    ParquetQuestions,
    QuestionRow,
)

JSONL, CSV = JsonlQuestions(path="."), CsvQuestions(path=".")
SPLITS = ("train", "validation", "test")


def question(**change):
    return {"question": "Which pet?", "choices": ["dog", "cat", "cow"], "answer": 1} | change


def numbered(count):
    return [question(question=f"{i}?") for i in range(count)]


def table(header, *rows, **settings):
    file = io.StringIO()
    csv.writer(file, **settings).writerows([header, *rows])
    return file.getvalue()


SMALL_TABLE = table(["question", "A", "B", "answer"], ["?", *"xyA"])


def splits_of(rows):
    """The questions of each split."""
    found = defaultdict(set)
    for row in rows:
        found[row["split"]].add(row["question"])
    return found


def sizes_of(rows):
    return {split: len(questions) for split, questions in splits_of(rows).items()}


@pytest.fixture
def read(folder_of):
    """The rows of JSON lines (or with ``reader``, of a table), not yet checked by the stage."""

    def read(content, name="q.jsonl", reader=JSONL):
        return list(reader.read(folder_of({name: content})))

    return read


@pytest.fixture
def refusal(read):
    def refused(content, **how):
        with pytest.raises(KformerError, match=r"^.+$") as caught:
            read(content, **how)
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
        assert read([whole]) == [
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
        (row,) = read([question()])
        assert (row["question_id"], row["context"]) == ("q-000001", "")
        assert row["type"] is row["gold_facts"] is None

    def test_is_named_by_its_file_and_line_or_by_its_id(self, folder_of):
        content = [question(), "", question(id=7), question(id="x"), question(context=None)]
        folder = folder_of({"a/pets.jsonl": content, "b/pets.jsonl": [question()]})
        assert [row["question_id"] for row in JSONL.read(folder)] == [
            *("a/pets-000001", "7", "x", "a/pets-000005", "b/pets-000001")
        ]

    def test_may_have_its_choices_by_letter_in_any_order(self, read):
        (row,) = read([question(choices={"B": "cat", "C": "cow", "A": "dog"}, answer="C")])
        assert (row["choices"], row["answer"]) == (["dog", "cat", "cow"], 2)

    @pytest.mark.parametrize(
        ("choices", "answer", "index"),
        [
            *((["dog", "cat", "cow"], answer, 1) for answer in (1, "1", "B", "cat", " cat ")),
            (["A", "B"], "A", 0),
            (["2", "1"], "1", 1),
            *((["2", "1"], 1, 1), (["10", "20"], 1, 1), (["1st", "2nd"], 1, 1)),
            *((["New  York", "Rome"], name, 0) for name in ("New York", " New  York")),
            (["none", "none"], "B", 1),
            (["none", "none"], 1, 1),
            (["B ", "x"], " B", None),
            *((["1", "0"], answer, None) for answer in ("0", 0)),
            *((["1", "2", "3"], answer, None) for answer in (2, 1, "1", 3)),
            *((["1.0", "2.0", "3.0"], answer, None) for answer in (1, "1")),
            *((["1.0", "2.0"], answer, None) for answer in ("2", 2)),
            (["B", "A"], "A", None),
            (["none", " none"], "none", None),
            *((["a", "b"], answer, None) for answer in ("c", "C", "2", "-1")),
            (["Dog", "Cat"], "cat", None),
        ],
    )
    def test_has_one_answer_by_index_letter_or_text_that_cannot_be_mistaken(
        self, choices, answer, index
    ):
        try:
            row = QuestionRow(question="?", choices=choices, answer=answer)
        except ValidationError:
            assert index is None
        else:
            assert row.answer_index == index

    @pytest.mark.parametrize(("answer_is", "index"), [("index_from_0", 1), ("text", 0)])
    @pytest.mark.parametrize("kind", ["jsonl", "parquet", "csv"])
    def test_may_have_numbers_as_choices_where_the_config_says_what_an_answer_is(
        self, read, refusal, kind, answer_is, index
    ):
        reader = {"jsonl": JsonlQuestions, "parquet": ParquetQuestions, "csv": CsvQuestions}[kind]
        rows = [question(choices=["1", "2", "3"], answer=1)]
        content = table(["question", *"ABC", "answer"], ["?", *"123", 1]) if kind == "csv" else rows
        how = {"name": f"q.{kind}", "reader": reader(path=".")}
        assert "answer: '1' may mean choice 0 or 1; " in refusal(content, **how)
        how["reader"] = reader(path=".", columns={"answer_is": answer_is})
        assert read(content, **how)[0]["answer"] == index

    def test_may_have_twenty_six_choices_and_no_more(self, read, refusal):
        choices = [f"pet {i}" for i in range(27)]
        assert read([question(choices=choices[:26], answer="Z")])[0]["answer"] == 25
        assert "choices: " in refusal([question(choices=choices)])

    @pytest.mark.parametrize(
        ("change", "problem"),
        [
            ({"question": None}, "question: Input should be a valid string (not None)"),
            ({"question": " "}, "question: must not be empty"),
            *(
                ({"choices": choices, "answer": 0}, "choices")
                for choices in (
                    *(None, "dog cat", [], ["dog"], ["dog", " "], ["dog", 2], {"A": "x"}),
                    *({"a": "x", "b": "y"}, {"A": "x", "B": None}),
                )
            ),
            ({"choices": {"A": "x", "C": "y"}}, "choices: the letters of 2 choices must be A, B"),
            ({"answer": True}, "answer: must be an index from 0, a letter or a text (not True)"),
            *(({"answer": answer}, "answer: ") for answer in (1.0, float("nan"), [1])),
            *(({"answer": answer}, "has no answer; unlabelled") for answer in (None, "")),
            ({"answer": 3}, "answer: 3 is out of range 0 to 2"),
            ({"answer": 10**30}, "is out of range 0 to 2"),
            ({"answer": "D\n"}, "answer: 'D' is neither a choice, nor a letter A to C, nor an"),
            ({"choices": ["B", "A"], "answer": "A"}, "answer: 'A' may mean choice 0 or 1; write i"),
            *(({"id": name}, "id") for name in ("", 1.5, True)),
            ({"split": "all"}, "split: Input should be 'train', 'validation' or 'test'"),
            *(({key: 1}, key) for key in ("split", "context", "type")),
            *(({"gold_facts": facts}, "gold_facts") for facts in ("one", [" "])),
        ],
    )
    def test_that_is_none_is_refused_by_its_line(self, refusal, change, problem):
        message = refusal([question(), "", question(**change)])
        assert "/q.jsonl:3: " in message
        assert problem in message

    @pytest.mark.parametrize("key", ["question", "choices"])
    def test_that_lacks_a_key_is_refused(self, refusal, key):
        lacking = {name: value for name, value in question().items() if name != key}
        assert f"q.jsonl:1: {key}: Field required" in refusal([lacking])

    def test_with_long_and_odd_content_is_refused_in_one_short_line(self, refusal):
        choices = {"A": "x", "B\nC": "y" * 10_000}
        assert len(refusal([question(choices=choices, answer=["x" * 10_000])])) < 600


class TestATable:
    def test_has_a_column_a_choice(self, read):
        header = ["ID", "Question", "A", "b", "C", "answer", "Split", "context", "type", "note"]
        first = ["x", "Which pet,\nif any?", "dog", 'a "cat"', "cow", "B", "DEV", "né", "easy", "!"]
        second = ["7", "How many?", "1", "2", "", "2", "Train", "", "", ""]
        row, other = read(table(header, first, second), "pets.csv", CSV)
        assert (row["question_id"], row["split"], row["context"]) == ("x", "validation", "né")
        assert (row["question"], row["type"]) == ("Which pet,\nif any?", "easy")
        assert (row["choices"], row["answer"]) == (["dog", 'a "cat"', "cow"], 1)
        assert (other["choices"], other["answer"], other["type"]) == (["1", "2"], 1, None)

    def test_names_questions_by_their_first_line_and_may_have_tabs(self, read):
        content = table(["question", "A", "B", "answer"], ["a\nb", "x", "y", "A"], ["?", *"xyA"])
        rows = read(content.replace(",", "\t"), "pets.tsv", CSV)
        assert [row["question_id"] for row in rows] == ["pets-000002", "pets-000004"]

    @pytest.mark.parametrize(
        ("row", "problem"),
        [
            (["", "x", "y", "z", "A"], "question: Field required"),
            (["?", "x", "y", "z", ""], "has no answer; unlabelled questions"),
            *((["?", *choices, "A"], "choices: ") for choices in (["x", "", ""], ["x", "", "z"])),
            (["?", "x", "y", "", "C"], "answer: 'C' is neither a choice, nor a letter A to B"),
            (["?", "x", "y", "z", "A", "A"], "6 cells, but the header names 5 columns"),
        ],
    )
    def test_with_a_row_that_is_no_question_is_refused_by_its_line(self, refusal, row, problem):
        content = table(["question", "A", "B", "C", "answer"], ["ok?", *"xyzA"], row)
        message = refusal(content, name="q.csv", reader=CSV)
        assert "/q.csv:3: " in message
        assert problem in message

    def test_without_columns_for_choices_is_refused(self, refusal):
        message = refusal(table(["question", "answer"], ["?", "A"]), name="q.csv", reader=CSV)
        assert "q.csv:1: no column a, b in the header 'question | answer'; name the" in message


class TestFiles:
    def test_of_a_folder_are_read_in_the_order_of_their_paths(self, folder_of):
        names = ["b.jsonl", "a/z.ndjson", "a/y.JSONL", "c.txt", ".hidden.jsonl"]
        folder = folder_of({name: [question(question=name)] for name in names})
        asked = [row["question"] for row in JSONL.read(folder)]
        assert asked == ["a/y.JSONL", "a/z.ndjson", "b.jsonl"]

    @pytest.mark.parametrize(
        ("reader", "suffix", "content"),
        [(JSONL, "jsonl", json.dumps(question())), (CSV, "csv", SMALL_TABLE)],
    )
    def test_may_be_compressed_and_if_damaged_are_refused(
        self, read, refusal, reader, suffix, content
    ):
        name, packed = f"q.{suffix}.gz", gzip.compress(content.encode())
        assert read(packed, name, reader)[0]["question_id"].startswith("q-00000")
        assert f"/{name}: damaged after line" in refusal(packed[:-9], name=name, reader=reader)

    @pytest.mark.parametrize(
        ("reader", "empty"), [(JSONL, " \n"), (JSONL, "[]"), (CSV, "question,A,B,answer\n")]
    )
    def test_that_are_empty_are_refused(self, folder_of, reader, empty):
        content = SMALL_TABLE if reader is CSV else numbered(1)
        suffix = reader.suffixes[0]
        folder = folder_of({f"dev{suffix}": empty, f"train{suffix}": content})
        with pytest.raises(KformerError, match=rf"^{folder}/dev\{suffix}: no questions in it; add"):
            list(reader.read(folder))

    @pytest.mark.parametrize("reader", [JSONL, CSV, ParquetQuestions(path=".")])
    def test_of_another_format_are_not_read(self, folder_of, reader):
        folder = folder_of({"q.txt": ""})
        with pytest.raises(KformerError, match=rf"{folder}: no \.\w+ .*file below it"):
            list(reader.read(folder))

    def test_that_are_fetched_by_name_are_all_of_the_format(self, folder_of):
        folder = folder_of({"train.jsonl": [question()], "more.csv": SMALL_TABLE, ".x": ""})
        fetched = JsonlQuestions(files={"train": "a.jsonl", "more": "b.csv"})
        with pytest.raises(KformerError, match=rf"^{folder}/more\.csv: no \.jsonl or .* leave it"):
            list(fetched.read(folder))
        assert len(list(JSONL.read(folder))) == 1

    def test_are_read_in_place_or_fetched(self):
        assert JsonlQuestions(path="a").archive is None
        assert CsvQuestions(url="https://x/y.zip").archive == "csv_questions"
        assert ParquetQuestions(files={"train": "https://x/y"}).archive == "parquet_questions"

    def test_are_not_the_generated_ones(self):
        assert DemoQuestions().is_generated
        assert not JSONL.is_generated


class TestSplits:
    @pytest.mark.parametrize(
        ("written", "split"),
        [
            *(("train", "train"), ("Train", "train"), ("dev", "validation"), ("val", "validation")),
            *(("VALID", "validation"), ("validation", "validation"), ("test", "test")),
        ],
    )
    def test_have_names_that_may_also_be_those_of_files(self, read, written, split):
        for_validation = question(split="validation")
        assert read([question(split=written), for_validation])[0]["split"] == split
        content = [question(), for_validation, question(split="test")]
        rows = read(content, f"{written}.jsonl.gz")
        assert [row["split"] for row in rows] == [split, "validation", "test"]

    @pytest.mark.parametrize("reader", [JSONL, ParquetQuestions(path=".")])
    def test_may_be_in_several_files_each(self, folder_of, reader):
        suffix = reader.suffixes[0]
        shards = {"train": 2, "Validation": 1, "test": 1}
        names = [
            f"{split}-{number:05d}-of-{count:05d}"
            for split, count in shards.items()
            for number in range(count)
        ]
        folder = folder_of({f"data/{name}{suffix}": [question(question=name)] for name in names})
        for row in reader.read(folder):
            assert row["question"].lower().startswith(f"{row['split']}-")
            assert row["question_id"] == f"data/{row['question']}-000001"

    def test_are_never_dealt_out_of_files_that_are_named_after_one(self, folder_of, build):
        official = {"train": numbered(20), "test": [question(question=f"t{i}?") for i in range(9)]}
        for name in ("medqa_{}.jsonl", "{}-00000-of-00001.jsonl", "{}/part1.jsonl", "{}_v2.jsonl"):
            files = {name.format(split): rows for split, rows in official.items()}
            splits = splits_of(build(JSONL, folder_of(files)))
            assert splits["test"] == {row["question"] for row in official["test"]}
            assert (len(splits["train"]), len(splits["validation"])) == (18, 2)

    @pytest.mark.parametrize("named", ["dev", "train-00000-of-00001", "medqa_test"])
    def test_by_name_for_some_files_only_are_refused(self, folder_of, named):
        files = {"b.jsonl": [question(split="test"), question()], f"{named}.jsonl": [question()]}
        folder = folder_of(files)
        with pytest.raises(KformerError) as caught:
            list(JSONL.read(folder))
        assert str(caught.value).startswith(f"{folder}/b.jsonl:2: has no split, while {folder}/")
        files["b.jsonl"].pop()
        assert len(list(JSONL.read(folder_of(files)))) == 2

    @pytest.mark.parametrize("reader", [JSONL, ParquetQuestions(path="."), CSV])
    @pytest.mark.parametrize("files", ["one", "two"])
    def test_of_some_questions_only_are_refused_by_the_first_without_one(
        self, folder_of, reader, files
    ):
        splits = ["train", "test", None, "dev", None]
        rows = [question(question=f"{i}?", split=split) for i, split in enumerate(splits)]
        suffix = reader.suffixes[0]
        parts = {"a": rows} if files == "one" else {"a": rows[:2], "b": rows[2:]}
        if reader is CSV:
            header = ["question", *"ABC", "answer", "split"]
            parts = {
                name: table(header, *([r["question"], *"xyz", "A", r["split"]] for r in part))
                for name, part in parts.items()
            }
        folder = folder_of({f"{name}{suffix}": part for name, part in parts.items()})
        line = (3 if files == "one" else 1) + (reader is CSV)
        with pytest.raises(KformerError) as caught:
            list(reader.read(folder))
        first = f"{folder}/{'a' if files == 'one' else 'b'}{suffix}:{line}"
        assert str(caught.value).startswith(f"{first}: has no split, while {folder}/a{suffix}:")
        assert str(caught.value).endswith("or give every question a split, or none")

    @pytest.mark.parametrize(
        ("names", "problem"),
        [
            (["holdout-1", "train"], r"holdout-1\.jsonl: which split\?"),
            (["train_dev", "test"], r"train_dev\.jsonl: which split\? its path says train and val"),
            (["train-00000-of-00002", "test"], "such as train-00001-of-00002.jsonl"),
            (["train", "train.jsonl.gz"], "two files of one name"),
        ],
    )
    def test_by_names_that_are_not_plain_are_refused(self, folder_of, names, problem):
        files = {f"{name.removesuffix('.jsonl.gz')}.jsonl": [question()] for name in names}
        files |= {name: [question()] for name in names if name.endswith(".gz")}
        with pytest.raises(KformerError, match=problem):
            list(JSONL.read(folder_of(files)))

    @pytest.mark.parametrize("other", ["dev.csv", "validation/a.parquet", "dev.json", "dev.tsv.gz"])
    def test_of_files_in_another_format_are_not_dealt_from_train(self, folder_of, other):
        there = {f"{split}.jsonl": numbered(9) for split in ("test", "train")}
        folder = folder_of(there | {other: ""})
        pair = " and ".join(map(str, sorted((folder / other, folder / "test.jsonl"))))
        with pytest.raises(KformerError, match=f"^{pair}: splits in two formats, of which"):
            list(JSONL.read(folder))
        list(JSONL.read(folder_of(there | {"train.csv": "", "notes.csv": "", "dev.txt": ""})))

    def test_of_questions_count_more_than_names(self, folder_of):
        rows = [question(question=f"{split}?", split=split) for split in SPLITS]
        folder = folder_of(
            {"train_dev.jsonl": rows, "holdout.jsonl": [question(split="test", id=1)]}
        )
        assert [row["split"] for row in JSONL.read(folder)] == ["test", *SPLITS]

    @pytest.mark.parametrize("name", ["medqa_test", "test", "test-00000-of-00001", "dev", "train"])
    def test_of_a_file_alone_are_its_own(self, folder_of, build, name):
        folder = folder_of({f"{name}.jsonl": numbered(9)})
        for path in (folder, folder / f"{name}.jsonl"):
            lacking = "test" if name == "train" else "train"
            with pytest.raises(
                KformerError, match=rf"^{path}: the split {lacking} has no "
            ) as caught:
                build(JSONL, path)
            assert ("give the folder of all files" in str(caught.value)) == path.is_file()

    def test_of_a_folder_may_be_its_name(self, folder_of, build):
        folder = folder_of({"test/part1.jsonl": numbered(9), "q/part1.jsonl": numbered(9)})
        with pytest.raises(KformerError, match=r"the split train has no questions \(test 9\); add"):
            build(JSONL, folder / "test")
        assert len(build(JSONL, folder / "q")) == 9

    def test_are_random_for_questions_without_one(self, read, build, folder_of):
        content = numbered(100)
        assert sizes_of(read(content)) == {"test": 20, "validation": 10, "train": 70}
        other = JsonlQuestions(path=".", test_share=0.4, validation_share=0.25)
        sizes = sizes_of(build(other, folder_of({"q.jsonl": content})))
        assert sizes == {"test": 40, "validation": 25, "train": 35}

    def test_depend_on_the_questions_and_the_seed_alone(self, read):
        splits = splits_of(read(numbered(60)))
        assert splits_of(read(numbered(60)[::-1], "other.ndjson")) == splits
        rows = ([f"{i}?", "x", "y", "A"] for i in range(60))
        as_table = table(["question", "A", "B", "answer"], *rows)
        assert splits_of(read(as_table, "q.csv", CSV)) == splits
        other = JsonlQuestions(path=".", split_seed=1)
        assert splits_of(read(numbered(60), reader=other)) != splits
        # The same on every machine and Python, so it can be written down.
        assert sorted(splits["validation"]) == ["16?", "1?", "48?", "4?", "53?", "7?"]

    def test_grow_with_their_share(self, read):
        more = splits_of(read(numbered(60), reader=JsonlQuestions(path=".", test_share=0.3)))
        assert splits_of(read(numbered(60)))["test"] < more["test"]

    def test_keep_questions_with_the_same_context_together(self, read):
        questions = [
            question(question=f"{context}?", context=context.format(i))
            for i in range(30)
            for context in ("Krez  {}", " krez {}", "KREZ\t{} ")
        ]
        found = defaultdict(set)
        for row in read(questions):
            found[row["split"]].add(" ".join(row["context"].casefold().split()))
        assert sorted(map(len, found.values())) == [3, 6, 21]
        assert len(set.union(*found.values())) == 30

    def test_keep_the_same_question_twice_together(self, read):
        assert sum(sizes_of(read(numbered(10) * 2)).values()) == 10

    def test_keep_copies_together_so_that_no_split_has_those_of_another(self, read):
        names = [f"Who is Zoë {i}" for i in range(30)]
        copies = [unicodedata.normalize("NFD", name).upper() + " ?" for name in names]
        rows = read([question(question=text) for text in (*names, *copies)])
        assert sum(find_copies(rows).counts.values()) == len(copies)
        assert find_copies(rows).unwanted == frozenset()

    @pytest.mark.parametrize("count", [3, 4, 5, 9, 10, 11])
    def test_of_a_few_questions_all_have_some(self, folder_of, build, count):
        assert len(build(JSONL, folder_of({"q.jsonl": numbered(count)}))) == count

    def test_validation_is_a_part_of_train_where_it_is_missing(self, folder_of, build):
        files = {"train.jsonl": numbered(50), "test.jsonl": [question(question="50?")]}
        splits = splits_of(build(JSONL, folder_of(files)))
        assert (len(splits["train"]), len(splits["validation"])) == (45, 5)
        assert splits["test"] == {"50?"}

    def test_validation_that_is_there_is_left_as_it_is(self, folder_of, build):
        files = {f"{name}.jsonl": [question(question=f"{name}?")] for name in SPLITS}
        splits = splits_of(build(JSONL, folder_of(files)))
        assert splits == {name: {f"{name}?"} for name in SPLITS}

    @pytest.mark.parametrize("share", ["test_share", "validation_share"])
    @pytest.mark.parametrize("size", [0, 0.5])
    def test_have_shares_of_less_than_half(self, share, size):
        with pytest.raises(ValidationError, match=share):
            JsonlQuestions(path=".", **{share: size})


@pytest.mark.parametrize("answer", ["Jose\u0301", "José", "Jos\u00adé", "\ufeffJosé\u00a0"])
@pytest.mark.parametrize("columns", [None, {}, {"answer_is": "text"}])
def test_an_answer_is_the_choice_that_looks_the_same(read, answer, columns):
    given = question(question="ﬁrst?", choices=["José", "Ann"], answer=answer, split="test")
    [row] = read([given], reader=JsonlQuestions(path=".", columns=columns))
    assert (row["question"], row["choices"], row["answer"]) == ("first?", ["José", "Ann"], 0)
    content = table(["question", "A", "B", "answer"], ["?", "José", "Ann", answer])
    [row] = read(content, "q.csv", CsvQuestions(path=".", columns=columns))
    assert row["answer"] == 0


@pytest.mark.parametrize("name", ["prénom", "pre\u0301nom"])
@pytest.mark.parametrize("named", ["prénom", "pre\u0301nom"])
def test_a_column_is_found_by_the_name_that_looks_the_same(read, name, named):
    rows = [{name: "Who?", "choices": ["a", "b"], "answer": 0}]
    reader = JsonlQuestions(path=".", columns={"question": named})
    assert [row["question"] for row in read(rows, reader=reader)] == ["Who?"]
    content = table([name, "A", "B", "answer"], ["Who?", "x", "y", "A"])
    reader = CsvQuestions(path=".", columns={"question": named})
    assert [row["question"] for row in read(content, "q.csv", reader)] == ["Who?"]


def test_two_keys_that_look_the_same_are_refused(read):
    with pytest.raises(KformerError, match=r"q\.jsonl:1: the key 'é' is there twice; rename one"):
        read([question(**{"é": 1, "e\u0301": 2})])


@pytest.mark.parametrize("content", ["{}\n{}", "[{},\n{}]"])
@pytest.mark.parametrize("name", ["q.jsonl", "q.json"])
def test_a_key_that_is_there_twice_is_refused_by_its_line(read, content, name):
    whole = json.dumps(question())
    twice = whole.replace('"answer"', '"answer": 0, "answer"')
    content = content.replace("{}", "%s") % (whole, twice)
    with pytest.raises(KformerError, match=rf"{name}:2: the key 'answer' is there twice; keep"):
        read(content, name)


def test_the_same_key_in_objects_inside_each_other_is_fine(read):
    assert len(read([question(more={"answer": 7, "more": [{"answer": 1}, {"answer": 2}]})])) == 1


class TestAFieldThatSaysAnotherSplitThanTheName:
    def test_counts_and_is_told(self, folder_of, caplog):
        rows = [question(question=f"{i}?", split="test") for i in range(3)]
        folder = folder_of({"dev/questions.jsonl": [*rows, question(split="dev")]})
        assert [row["split"] for row in JSONL.read(folder)] == [*["test"] * 3, "validation"]
        assert caplog.messages == [
            f"{folder}/dev/questions.jsonl: its name says validation, but the field split of 3 "
            "questions says another, which counts"
        ]

    @pytest.mark.parametrize("name", ["train.jsonl", "q.jsonl", "train_dev.jsonl"])
    def test_is_none_where_they_agree_or_the_name_is_not_plain(self, folder_of, caplog, name):
        list(JSONL.read(folder_of({name: [question(split="train")]})))
        assert caplog.messages == []


def test_a_question_that_cannot_be_seen_is_none(read):
    with pytest.raises(KformerError, match=r"q\.jsonl:1: question: must not be empty"):
        read([question(question="\u200b\ufeff")])


def test_half_of_a_surrogate_pair_is_refused_by_its_line(read):
    with pytest.raises(KformerError, match=r"q\.jsonl:2: .*surrogate"):
        read([question(), '{"question": "\\ud83d", "choices": ["a", "b"], "answer": 0}'])
