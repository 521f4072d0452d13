"""Checking the user's own data: every problem with its file and line, and how much is fine."""

import gzip
import json
import re
from pathlib import Path
from types import MappingProxyType

import jsonschema
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kformer.checking.check import check, parse_columns
from kformer.checking.report import summary
from kformer.errors import KformerError
from kformer.io.records import Record
from kformer.knowledge.build import build_facts
from kformer.knowledge.user_files import FactColumns, FactRow, JsonlFacts
from kformer.questions.build import build_questions
from kformer.questions.columns import QuestionColumns
from kformer.questions.user_files import JsonlQuestions, QuestionRow

from ..conftest import as_bytes

GOOD = {"question": "Who?", "choices": ["x", "y"], "answer": 0}
SEVERAL = [GOOD | {"question": f"Who is {i}?"} for i in range(5)]  # so that each split has some


@pytest.fixture
def tmp_path(tmp_path):
    """Not called after the test: the folder's name may say a split, too."""
    folder = tmp_path / "folder"
    folder.mkdir()
    return folder


@pytest.fixture
def checked(tmp_path):
    """Checks content; returns the report and the problems, without the folder in front.

    Unless there are several of a kind, there is a message for each problem.
    """

    def run(files, kind=None, columns=None, unit=None):
        for name, content in files.items():
            (tmp_path / name).write_bytes(as_bytes(content, name))
        problems: list[str] = []
        report = check(tmp_path, kind, problems.append, columns, unit)
        assert report.problems == len(problems) or any(" times: " in each for each in problems)
        assert all("\n" not in problem for problem in problems)
        return report, [problem.removeprefix(f"{tmp_path}/") for problem in problems]

    return run


def test_all_problems_are_listed_not_only_the_first(checked):
    rows = [GOOD, "oops", GOOD | {"answer": 2}, GOOD | {"choices": ["x"]}, GOOD, "[]"]
    report, problems = checked({"q.jsonl": rows})
    assert [problem.split(" ")[0] for problem in problems] == [
        *("q.jsonl:2:", "q.jsonl:3:", "q.jsonl:4:", "q.jsonl:6:")
    ]
    assert report.fine == {"questions": 2}


def test_questions_and_facts_are_recognised(checked):
    questions = {
        "a.jsonl": SEVERAL,
        "c.csv": "question,A,B,answer\n" + "".join(f"{i}?,x,y,B\n" for i in range(5)),
        "d.parquet": SEVERAL,
    }
    report, problems = checked({**questions, "f.txt": "Some text.\n\nMore.\n"})
    assert problems == []
    assert report.fine == {"questions": 15, "lines of text": 2}


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.jsonl", [{"text": "Rain is wet."}], "facts"),
        ("a.json", json.dumps(SEVERAL, indent=1), "questions"),
        ("a.csv", "text,origin\nRain.,me\n", "facts"),
        ("a.csv", "Subject,Predicate,Object\nrain,Causes,floods\n", "facts"),
        ("a.tsv", "question\tIsA\tsentence\n", "facts"),
        ("a.tsv", "Question\tA\tB\tanswer\n" + "Who?\tx\ty\tB\nWhy?\tx\ty\tB\nHow?\tx\ty\tB\n",
         "questions"),
    ],
)  # fmt: skip
def test_the_kind_is_seen_from_the_first_record(checked, name, content, kind):
    report, problems = checked({name: content})
    assert (problems, list(report.fine)) == ([], [kind])


@pytest.mark.parametrize("separator", [",", ";"])
def test_questions_of_a_csv_file_under_the_suffix_tsv_are_no_facts(checked, separator):
    content = "question,A,B,answer\nWho?,x,y,A\n".replace(",", separator)
    report, (problem,) = checked({"q.tsv": content})
    assert problem.startswith("q.tsv:1: commas or semicolons separate its columns, not tabs; give")
    assert not report.fine


def test_a_table_with_a_relation_has_facts_though_its_other_columns_have_odd_names(checked):
    _, (problem,) = checked({"f.csv": "relation,first thing,second thing\nIsA,cat,pet\n"})
    assert problem.startswith("f.csv:1: no column text, nor head, relation and tail, in the header")


def test_questions_and_facts_of_one_format_need_folders_of_their_own(checked):
    _, (problem,) = checked({"a.jsonl": SEVERAL, "b.jsonl": [{"text": "Rain."}]})
    assert problem.startswith("b.jsonl: not questions as in ")
    assert problem.endswith("files of a format below a folder; give it a folder of its own")


def test_the_kind_may_be_given(checked):
    _, problems = checked({"a.jsonl": [{"text": "Rain is wet."}]}, "questions")
    assert problems[0].startswith("a.jsonl:1: question: Field required")


@pytest.mark.parametrize(
    ("splits", "lacking"),
    [
        *((["train"] * 3, "test"), (["test"], "train"), (["validation", "test"], "train")),
        *(([None, None], "train"), ([None] * 3, None)),
        *((["train", "train", "test"], None), (["train", "test", "dev"], None)),
    ],
)
def test_what_lacks_a_split_is_a_problem_as_it_is_for_the_stage(checked, tmp_path, splits, lacking):
    rows = [GOOD | {"question": f"{i}?", "split": split} for i, split in enumerate(splits)]
    report, problems = checked({"q.jsonl": rows})
    assert report.fine["questions"] == len(rows)
    try:
        build_questions(JsonlQuestions(path="."), tmp_path, tmp_path / "out" / "questions.parquet")
    except KformerError as error:
        assert f"the split {lacking} has no questions" in str(error)
        assert problems == [str(error)]
    else:
        assert (problems, lacking) == ([], None)


def test_where_there_are_other_problems_a_split_may_still_be_found(checked):
    _, (problem,) = checked({"q.jsonl": [GOOD, "oops"]})
    assert problem.startswith("q.jsonl:2: ")


def test_a_name_that_is_not_plain_is_one_problem(checked):
    _, problems = checked({"holdout-1.jsonl": [*SEVERAL, "oops"]})
    assert [problem.partition("; ")[0] for problem in problems] == [
        "holdout-1.jsonl: which split? name it train, validation or test, or set `split` in each "
        "question",
        "holdout-1.jsonl:6: not valid JSON (Expecting value: line 1 column 1 (char 0))",
    ]


def test_an_unread_key_with_splits_is_one_problem_as_it_is_for_the_stage(checked):
    rows = [row | {"splt": "test"} for row in SEVERAL]
    _, (problem,) = checked({"q.jsonl": rows})
    assert problem.startswith("q.jsonl:1: has no split, but each question has one in the key 'spl")
    columns = parse_columns('{"split": null}', None, Path())
    report, problems = checked({"q.jsonl": rows}, columns=columns)
    assert (problems, report.splits) == ([], {"no split": 5})


def test_a_split_in_another_format_is_one_problem_as_it_is_for_the_stage(checked, tmp_path):
    table = "question,A,B,answer\n" + "".join(f"{i}?,x,y,B\n" for i in range(3))
    _, (problem,) = checked({"train.jsonl": SEVERAL, "test.jsonl": SEVERAL, "dev.csv": table})
    assert problem.startswith("dev.csv and ")
    assert "test.jsonl: splits in two formats, of which a stage reads one; write all in" in problem
    with pytest.raises(KformerError, match="splits in two formats"):
        list(JsonlQuestions(path=".").read(tmp_path))


def test_a_missing_part_of_a_split_is_a_problem(checked):
    names = ("train-00000-of-00002", "test-00000-of-00001")
    _, (problem,) = checked({f"{name}.jsonl": SEVERAL for name in names})
    assert "1 of 2 parts is missing, such as train-00001-of-00002.jsonl; " in problem


def test_questions_that_are_in_two_splits_are_named(checked):
    splits = ("train", "validation", "test", "test")
    rows = [GOOD | {"split": split, "id": split[:2] + str(i)} for i, split in enumerate(splits)]
    report, problems = checked({"q.jsonl": rows})
    assert problems == []
    assert summary(report) == (
        "4 questions are fine (train 1, validation 1, test 2); 0 problems; "
        "2 test questions are in train too: te2 (tr0), te3 (tr0); "
        "2 test questions are in validation too: te2 (va1), te3 (va1); "
        "1 validation question is in train too: va1 (tr0); "
        "1 test question is in test already: te3 (te2)"
    )


def test_what_only_the_stage_refuses_is_a_problem(checked, monkeypatch):
    _, (problem,) = checked({"q.jsonl": [GOOD]})
    assert "the split train has no questions" in problem
    monkeypatch.setattr("kformer.checking.stages.build_questions", refuse)
    assert checked({"q.jsonl": SEVERAL})[1] == ["not at all"]


def refuse(*_):
    raise KformerError("not at all")


def test_the_first_rows_are_shown_as_the_stage_has_read_them(checked):
    row = {"choices": ["a b", "c"], "answer": "B", "split": "train", "context": "Rain.\nSun."}
    rows = [GOOD | row, *(GOOD | {"split": split} for split in ("dev", "test", "test"))]
    assert checked({"q.jsonl": rows})[0].rows == [
        "read as context: Rain. Sun.; question: Who?; choices: a b | c; answer: c; split: train",
        *(
            f"read as question: Who?; choices: x | y; answer: x; split: {split}"
            for split in ("validation", "test")
        ),
    ]


def test_the_first_facts_are_shown_as_the_stage_has_read_them(checked):
    content = f"AtLocation\tbook\ttable\nIsA\t{'x' * 500}\tpet\n"
    first, second = checked({"f.tsv": content})[0].rows
    assert first == "read as text: Book is found at table.; relation: AtLocation; origin: book"
    assert len(second) < 500


def test_an_id_given_twice_names_both_lines(checked):
    _, (problem,) = checked({"q.jsonl": [GOOD | {"id": 1}, GOOD, GOOD | {"id": "1"}]})
    assert problem.startswith("q.jsonl:3: id: '1' is that of ")
    assert problem.endswith("q.jsonl:1 too; give each question its own")


def test_what_is_worth_knowing_is_in_the_summary(checked):
    more = [
        GOOD | {"question": "Why?", "more\n": 1},
        GOOD | {"choices": ["x", "x"], "id": "double"},
    ]
    rows = [*SEVERAL, GOOD | {"conntext": "misspelt"}, *more]
    report, _ = checked({"q.jsonl": rows})
    assert summary(report) == (
        "8 questions are fine (no split 8); 0 problems; "
        "1 question has the same choice twice (double), 1 the right one (double): both are right; "
        "not read: conntext (1; is it context?), more (1)"
    )


def test_keys_that_are_not_read_are_named_for_invalid_records_too(checked):
    wrong = {"question": "Who?", "choices": ["x", "y"], "anwser": 0, "more": 1}
    report, (problem,) = checked({"q.jsonl": [wrong, wrong, GOOD | {"answers": [1]}]})
    assert problem.startswith("q.jsonl:1: answer: Field required (is 'anwser' meant as answer?)")
    assert report.unread_columns == {"anwser": 2, "more": 2, "answers": 1}
    assert report.misspelt_columns == {"anwser": "answer"}
    _, (problem,) = checked({"q.jsonl": [{"fact": "Rain."}]}, "facts")
    assert problem.endswith("give either text, or head, relation and tail; there are: fact")


class TestTheSameProblem:
    def test_in_many_lines_is_one_message_with_a_count_and_the_first_lines(self, checked):
        rows = [{"question": "Who?", "choices": ["x", "y"], "answer": f"z{i}"} for i in range(2000)]
        report, (problem,) = checked({"q.jsonl": rows})
        assert problem.startswith("q.jsonl:1: answer: 'z0' is neither a choice, nor a letter A to")
        assert problem.endswith(" (2,000 times: lines 1, 2, 3, 4, 5, … 2,000)")
        assert report.problems == 2000

    @pytest.mark.parametrize(
        ("answer_is", "answer"), [(None, "none"), ("text", "A"), ("letter", "Z"), (None, ["A"])]
    )
    def test_is_one_whatever_the_choices_and_keys_are(self, checked, answer_is, answer):
        rows = [
            {
                "question": "?",
                "choices": [f"{word}{end}" for end in "xyz"[: 2 + i % 2]],
                key: answer,
            }
            for i, word in enumerate(["it's", "a; b", 'the "c"', "(d", "there are"] * 6)
            for key in ["answer"]
        ]
        columns = QuestionColumns(answer_is=answer_is) if answer_is else None
        _, (problem,) = checked({"q.jsonl": rows}, columns=columns)
        assert problem.endswith(" (30 times: lines 1, 2, 3, 4, 5, … 30)")

    def test_is_one_whatever_the_other_keys_are(self, checked):
        rows = [{f"key {i * 'x'}": 1} for i in range(30)]
        for kind in ("questions", "facts"):
            _, (problem,) = checked({"q.jsonl": rows}, kind)
            assert "; there are: key (30 times: lines 1, 2," in problem

    def test_is_one_for_choices_by_other_letters(self, checked):
        rows = [GOOD | {"choices": dict.fromkeys("BCDE"[: 2 + i % 3], "x")} for i in range(9)]
        _, (problem,) = checked({"q.jsonl": rows})
        assert problem.startswith("q.jsonl:1: choices: the letters of 2 choices must be A, B (ther")

    def test_in_a_few_lines_is_one_message_with_all_of_them(self, checked):
        _, (problem,) = checked({"q.jsonl": [GOOD, "{", GOOD, "{", "{"]})
        assert problem.startswith("q.jsonl:2: not valid JSON (")
        assert problem.endswith(" (3 times: lines 2, 4, 5)")

    def test_of_another_file_is_another_one(self, checked):
        wrong = [GOOD | {"answer": 7}] * 2
        _, problems = checked({"a.jsonl": wrong, "b.jsonl": wrong})
        assert [problem.split(":")[0] for problem in problems] == ["a.jsonl", "b.jsonl"]
        assert all(problem.endswith(" (2 times: lines 1, 2)") for problem in problems)

    def test_is_told_from_many_others_of_which_only_the_first_are_named(self, checked):
        rows = [GOOD | {"answer": [], "x" * i: 1} for i in range(1, 40)]
        keys = ["question", "choices", "answer", "id", "type", "context", "split"]
        some = [{key: [7] for key in keys[:i] + keys[i + 1 :]} for i in range(7)]
        others = [dict.fromkeys(keys[:i], 2.5) for i in range(8)]
        odd = [{key: {}} | GOOD | {key: {}} for key in keys] + [[GOOD], "{", "[]"]
        lines = [GOOD, *some, *others, *odd[:-3], *odd[-2:], *rows]
        report, problems = checked({"q.jsonl": lines})
        assert len(problems) == 21
        assert re.fullmatch(
            r"and \d+ more problems of other kinds; correct these f.*", problems[-1]
        )
        assert report.problems > 50


class TestUnlabelledQuestions:
    WITHOUT = MappingProxyType({"question": "Who?", "choices": ["x", "y"]})
    NEITHER = "unlabelled questions can neither train nor be scored; leave "

    @pytest.mark.parametrize("change", [{}, {"answer": ""}, {"answer": None}])
    def test_are_one_problem_where_a_file_has_no_others(self, checked, change):
        files = {"train.jsonl": SEVERAL, "test.jsonl": [{**self.WITHOUT, **change}] * 9}
        report, [problem] = checked(files)
        assert problem.startswith("test.jsonl: its 9 questions have no answer")
        assert problem.endswith(f"{self.NEITHER}the file out, and take the validation file as test")
        assert (report.fine, report.problems) == ({"questions": 5}, 1)

    def test_are_told_by_their_lines_beside_others(self, checked):
        report, [problem] = checked({"q.jsonl": [*SEVERAL, *[dict(self.WITHOUT)] * 2]})
        assert problem.startswith(f"q.jsonl:6: has no answer; {self.NEITHER}it out, or give its")
        assert (report.fine, report.problems) == ({"questions": 5}, 2)


def test_a_field_that_says_another_split_than_the_name_is_a_doubt(checked):
    rows = [row | {"split": "test"} for row in SEVERAL[:2]]
    report, [] = checked({"dev.jsonl": rows, "train.jsonl": SEVERAL[2:]})
    assert report.doubts[0].endswith("the field split of 2 questions says another, which counts")


def test_files_of_other_formats_are_no_other_files_to_a_name(checked):
    report, [] = checked({"MCTest.jsonl": SEVERAL, "notes.txt": "A note."})
    assert report.splits == {"no split": 5}


QUESTIONS = '{"question": "q.stem", "choices": ["a1", "a2"], "answer": "key"}'


def test_columns_say_what_is_what_and_of_which_kind_the_data_is(checked):
    row = {"q": {"stem": "Who?", "note": "!"}, "a1": "x", "a2": "y", "key": "B", "more": 1}
    rows = [row, row | {"key": "C"}, row | {"q": {}}]
    report, problems = checked({"q.jsonl": rows}, columns=parse_columns(QUESTIONS, None, Path()))
    assert [problem.split(" ")[0] for problem in problems] == ["q.jsonl:2:", "q.jsonl:3:"]
    assert "no column 'q.stem'; there are: q" in problems[1]
    assert (report.fine, report.unread_columns) == ({"questions": 1}, {"more": 2})
    columns = parse_columns('{"text": "f"}', None, Path())
    assert checked({"q.jsonl": [{"f": "Rain."}]}, columns=columns)[0].fine == {"facts": 1}


@pytest.mark.parametrize(
    ("name", "content"),
    [("q.csv", "stem,a1\nWho?,x\nWho?,y\n"), ("q.parquet", [{"stem": "?"}, {"stem": "!"}])],
)
def test_a_column_that_a_table_lacks_is_one_problem(checked, name, content):
    _, (problem,) = checked({name: content}, columns=parse_columns(QUESTIONS, None, Path()))
    assert "no column 'q.stem'; there are: " in problem


@pytest.mark.parametrize(
    ("text", "kind", "problem"),
    [
        ("{", None, "--columns: not valid JSON"),
        ("[]", None, "--columns: "),
        ('{"questoin": "stem"}', "questions", r"questoin: unknown key; did you mean question\?"),
        ('{"question": "stem"}', "facts", "question: unknown key"),
    ],
)
def test_columns_that_are_none_are_refused(text, kind, problem):
    with pytest.raises(KformerError, match=problem):
        parse_columns(text, kind, Path())


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        *((f'{{"{key}": null}}', QuestionColumns) for key in ("context", "id", "split", "type")),
        *((f'{{"{key}": "x"}}', QuestionColumns) for key in ("labels", "gold_facts", "choices")),
        ('{"answer_is": "letter"}', QuestionColumns),
        *((f'{{"{key}": "x"}}', FactColumns) for key in ("relation", "origin", "head")),
    ],
)
def test_each_key_of_columns_tells_the_kind_of_data(text, kind):
    assert type(parse_columns(text, None, Path())) is kind


@pytest.mark.parametrize(("row", "kind"), [(GOOD, QuestionColumns), ({"text": "x"}, FactColumns)])
def test_columns_without_a_known_key_are_of_the_kind_of_the_file(folder_of, row, kind):
    path = folder_of({"a.jsonl": "", "b.jsonl": [row]})
    assert type(parse_columns("{}", None, path)) is kind
    allowed = next(iter(kind.model_fields))
    with pytest.raises(KformerError, match=rf"tpye: unknown key;.* allowed here: .*{allowed}"):
        parse_columns('{"tpye": "x"}', None, path)


def test_columns_of_a_table_that_hold_the_choices_are_read(checked):
    content = "Stem,A,b,Answer,note\n" + "".join(f"{i}?,x,y,B,!\n" for i in range(4))
    columns = parse_columns('{"question": "Stem"}', None, Path())
    report, problems = checked({"q.csv": content}, columns=columns)
    assert (problems, report.fine, report.unread_columns) == ([], {"questions": 4}, {"note": 4})


def test_files_of_which_only_some_are_named_after_a_split_are_one_problem(checked):
    _, (problem,) = checked({"train-00000-of-00001.jsonl": [GOOD], "more.jsonl": [GOOD, GOOD]})
    assert problem.startswith("more.jsonl:1: has no split, while ")
    assert "train-00000-of-00001.jsonl:1 has one; " in problem


@pytest.mark.parametrize("kind", ["questions", "facts", None])
def test_an_empty_file_is_a_problem(checked, kind, tmp_path):
    column = "text" if kind == "facts" else "question"
    pq.write_table(pa.table({column: pa.array([], pa.string())}), tmp_path / "b.parquet")
    table = "text,origin\n" if kind == "facts" else "question,A,B,answer\n"
    _, problems = checked({"a.jsonl": " \n", "c.csv": table}, kind)
    of_kind = kind or "questions or facts"
    assert [problem.split(";")[0] for problem in problems] == [
        *(f"{name}: no {of_kind} in it" for name in ("a.jsonl", "b.parquet", "c.csv"))
    ]


def test_an_empty_text_is_a_problem_and_no_text_has_questions(checked):
    assert checked({"d.txt": "\n"})[1][0].endswith(
        "d.txt: no text in it; add some, or remove the file"
    )
    assert (
        "d.txt: unknown suffix; of questions known are .jsonl, " in checked({}, "questions")[1][0]
    )


NO_TEXTS = {
    "q.csv": (
        b"PK\3\4 and so on",
        "a zip archive; unpack it, or give it as url, which is unpacked",
    ),
    "q.tsv": (b"<!DOCTYPE html><html>", "a web page, not the file itself; download it from the ad"),
    "q.jsonl": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "a Git LFS pointer, not the file itself; get that with: git lfs pull",
    ),
    "q.parquet": (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer, not the fi"),
    "q.txt": (b"%PDF-1.7", "a PDF document; save it as plain text in UTF-8"),
    "q.xlsx": (b"PK\3\4 and so on", "a zip archive; unpack it"),
    "q.dat": (b"Who?", "unknown suffix; "),
    "q.csv.old": (
        b"a,b\rc,d\re,f\r",
        "its lines end in CR, as on old Macs; save it with LF, such as",
    ),
}


@pytest.mark.parametrize("name", NO_TEXTS)
def test_a_file_of_another_kind_is_one_problem(tmp_path, name):
    content, problem = NO_TEXTS[name]
    (tmp_path / name).write_bytes(content)
    problems: list[str] = []
    check(tmp_path / name, None, problems.append)
    assert len(problems) == 1
    assert problems[0].startswith(f"{tmp_path / name}: {problem}")


@pytest.mark.parametrize("kind", [None, "facts"])
def test_columns_may_be_in_order_for_tables_of_facts_only(checked, tmp_path, kind):
    columns = parse_columns('["relation", "tail", "head"]', kind, tmp_path)
    report, problems = checked({"f.tsv": "treats\tcolds\tzinc\n"}, columns=columns)
    assert problems == []
    assert report.rows == ["read as text: Zinc treats colds.; relation: treats; origin: zinc"]
    _, problems = checked({"f.jsonl": [{"text": "Rain."}]}, columns=columns)
    assert any(problem.startswith("f.jsonl: columns: ") for problem in problems)


def test_a_file_with_an_unknown_suffix_is_refused(tmp_path):
    (tmp_path / "a.dat").write_bytes(as_bytes([GOOD], "a"))
    problems: list[str] = []
    check(tmp_path / "a.dat", None, problems.append)
    assert "a.dat: unknown suffix; of questions known are .jsonl, " in problems[0]


def test_columns_of_the_other_kind_are_refused(tmp_path):
    with pytest.raises(KformerError, match="these are columns of questions, not of facts"):
        check(tmp_path, "facts", print, parse_columns(QUESTIONS, None, Path()))


def test_facts_that_are_there_twice_are_counted_and_built_once(checked, tmp_path):
    triple = {"head": "rain", "relation": "Causes", "tail": "floods"}
    rows = [triple, {"text": "Rain causes floods."}, {"text": "Rain causes floods. "}]
    report, problems = checked({"f.jsonl": rows})
    assert (problems, report.duplicates, report.fine) == ([], 2, {"facts": 3})
    built = build_facts([JsonlFacts(path=".")], [tmp_path], tmp_path / "out" / "facts.parquet")
    assert (built["jsonl_read"], built["duplicates_dropped"]) == (3, 2)


def test_a_damaged_file_is_one_problem_and_the_others_are_read(checked):
    damaged = gzip.compress(as_bytes([GOOD] * 500, "a.jsonl"))[:-9]
    files = {"a.jsonl.gz": damaged, "b.csv": "", "c.jsonl": [GOOD]}
    report, problems = checked(files)
    assert [problem.split(":")[0] for problem in problems] == ["a.jsonl.gz", "b.csv"]
    assert report.fine["questions"] >= 1


@pytest.mark.parametrize(
    "content",
    [
        "question|A|B|answer\n?|x|y|A\n",
        "sep=;\nquestion;A;B;answer\n?;x;y;A\n",
        "question;A;B;answer;note, extra\n?;x;y;A;n\n",
        "cat,treats,animal\ndog,treats,pet\n",
    ],
)
def test_questions_of_another_form_are_not_called_unlabelled(checked, content):
    _, (problem,) = checked({"q.csv": content})
    assert problem.startswith("q.csv:1: no column question, answer, a, b in the header ")
    assert problem.endswith(
        "; name the columns there, and separate them by commas, or by tabs in a .tsv file"
    )
    _, (problem,) = checked({"q.csv": "question,A,B\n?,x,y\n"})
    assert problem.endswith(
        "unlabelled questions can neither train nor be scored; leave the file out"
    )


def test_a_text_may_be_checked_as_a_fact_a_line(checked):
    chinese = {"f.txt": "猫是一种动物。\n狗是一种动物。\n"}
    _, (problem,) = checked(chinese)
    assert problem.endswith("write each passage on a line of its own, and set unit: line")
    report, problems = checked(chinese, unit="line")
    assert (problems, report.fine) == ([], {"lines of text": 2})
    assert report.rows == [
        "read as text: 猫是一种动物。; origin: f 1",
        "read as text: 狗是一种动物。; origin: f 2",
    ]


def test_nothing_to_check_is_an_error(tmp_path):
    with pytest.raises(KformerError, match="does not exist"):
        check(tmp_path / "nowhere", None, print)
    with pytest.raises(KformerError, match="file below it"):
        check(tmp_path, None, print)


@given(content=st.binary(max_size=200), suffix=st.sampled_from(["jsonl", "csv", "tsv", "txt"]))
def test_any_bytes_are_fine_or_problems(content, suffix, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / f"any.{suffix}"
    path.write_bytes(content)
    problems: list[str] = []
    report = check(path, None, problems.append)
    assert all(problem.startswith(str(path)) for problem in problems)
    assert bool(report.rows) == (not problems)
    assert all("\n" not in problem for problem in problems)


FILES = [
    *("train", "dev", "test", "medqa_test", "test-00000-of-00002", "test-00001-of-00002", "q"),
    *("train_dev", "holdout", "latest", "a/train", "a/b", "qtrain", "qtest"),
]
QUESTIONS_OF_ANY_KIND = st.fixed_dictionaries(
    {
        "question": st.sampled_from("abcdefgh"),
        "choices": st.sampled_from([["x", "y"], ["x", "x"], ["x"]]),
        "answer": st.sampled_from([0, 1, "A", "", -1]),
    },
    optional={
        "split": st.sampled_from(["train", "val", "test", None]),
        "id": st.integers(0, 9),
    },
)
GOOD_QUESTIONS = QUESTIONS_OF_ANY_KIND.map(lambda row: row | {"choices": ["x", "y"], "answer": 0})


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_what_is_called_fine_the_stage_takes_and_nothing_else(data, folder_of, tmp_path):
    rows = st.lists(GOOD_QUESTIONS, min_size=1, max_size=5)
    rows |= st.lists(QUESTIONS_OF_ANY_KIND, min_size=1, max_size=5)
    names = data.draw(st.sets(st.sampled_from(FILES), min_size=1, max_size=4))
    folder = folder_of({f"{name}.jsonl": data.draw(rows) for name in names})
    path = data.draw(st.sampled_from([folder, *folder.glob("*.jsonl")]))
    problems: list[str] = []
    check(path, "questions", problems.append)
    try:
        build_questions(JsonlQuestions(path="."), path, tmp_path / "out" / "questions.parquet")
    except KformerError:
        assert problems != []
    else:
        assert problems == []


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 3),
    st.sampled_from(["", " ", "a", "A", "b"]),
    st.lists(st.sampled_from(["a", "b", " "]), max_size=3),
    st.dictionaries(st.sampled_from("ABC"), st.sampled_from(["a", "b"]), max_size=3),
)


@pytest.mark.parametrize("model", [QuestionRow, FactRow])
@given(data=st.data())
def test_what_is_read_is_valid_by_the_schema(model, data):
    """The other way round does not hold: a schema cannot say that an answer is a choice."""
    keys = st.sampled_from(sorted(model.model_fields))
    row = data.draw(st.dictionaries(keys, VALUES))
    if data.draw(st.booleans()):
        row |= {"question": "?", "choices": ["a", "b"], "answer": 0} | row
    try:
        Record("f", 1, row).parse(model)
    except KformerError:
        return
    given = {key: value for key, value in row.items() if value is not None}
    jsonschema.validate(given, model.model_json_schema())
