"""Checking the user's own data: every problem with its file and line, and how much is fine."""

import gzip
from pathlib import Path

import jsonschema
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kformer.check_user_files import check, parse_columns, summary
from kformer.errors import KformerError
from kformer.io.records import Record
from kformer.knowledge.build import build_facts
from kformer.knowledge.user_files import FactColumns, FactRow, JsonlFacts
from kformer.questions.build import build_questions
from kformer.questions.columns import QuestionColumns
from kformer.questions.user_files import JsonlQuestions, QuestionRow

from .conftest import as_bytes

GOOD = {"question": "Who?", "choices": ["x", "y"], "answer": 0}
SEVERAL = [GOOD | {"question": f"Who is {name}?"} for name in ("Krez", "Blon", "Flov")]


@pytest.fixture
def checked(tmp_path):
    """Checks content; returns the report and the problems, without the folder in front."""

    def run(files, kind=None, columns=None):
        for name, content in files.items():
            (tmp_path / name).write_bytes(as_bytes(content, name))
        problems: list[str] = []
        report = check(tmp_path, kind, problems.append, columns)
        assert report.problems == len(problems)
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
        "c.csv": "question,A,B,answer\nWho?,x,y,B\nWhat?,x,y,A\n",
        "d.tsv": "Question\tA\tB\tanswer\nWhere?\tx\ty\tB\n",
        "e.parquet": SEVERAL,
    }
    facts = {
        "b.jsonl": [{"text": "Rain is wet."}],
        "e.tsv": "rain\tCauses\tfloods\n",
        "e.csv": "text,origin\nRain.,me\n",
    }
    report, problems = checked({**questions, **facts, "f.txt": "Some text.\n\nMore.\n"})
    assert problems == []
    assert report.fine == {"questions": 9, "facts": 3, "lines of text": 2}


def test_the_kind_may_be_given(checked):
    _, problems = checked({"a.jsonl": [{"text": "Rain is wet."}]}, "questions")
    assert problems[0].startswith("a.jsonl:1: question: Field required")


@pytest.mark.parametrize(
    ("splits", "lacking"),
    [
        *((["train"] * 3, "test"), (["test"], "train"), (["validation", "test"], "train")),
        *(([None, None], "train"), (["train", None], "validation"), ([None] * 3, None)),
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
        "holdout-1.jsonl:4: not valid JSON (Expecting value: line 1 column 1 (char 0))",
    ]


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
        "1 validation question is in train too: va1 (tr0)"
    )


def test_an_id_given_twice_names_both_lines(checked):
    _, (problem,) = checked({"q.jsonl": [GOOD | {"id": 1}, GOOD, GOOD | {"id": "1"}]})
    assert problem.startswith("q.jsonl:3: id: '1' is that of ")
    assert problem.endswith("q.jsonl:1 too; give each question its own")


def test_what_is_worth_knowing_is_in_the_summary(checked):
    rows = [*SEVERAL, GOOD | {"split": "dev", "conntext": "misspelt"}]
    report, _ = checked({"q.jsonl": [*rows, GOOD | {"choices": ["x", "x"], "id": "double"}]})
    assert summary(report) == (
        "5 questions are fine (no split 4, validation 1); 0 problems; "
        "1 question has the same choice twice (double), 1 the right one (double): both are right; "
        "not read: conntext (1)"
    )


QUESTIONS = '{"question": "q.stem", "choices": ["a1", "a2"], "answer": "key"}'


def test_columns_say_what_is_what_and_of_which_kind_the_data_is(checked):
    row = {"q": {"stem": "Who?", "note": "!"}, "a1": "x", "a2": "y", "key": "B", "more": 1}
    rows = [row, row | {"key": "C"}, row | {"q": {}}]
    report, problems = checked({"q.jsonl": rows}, columns=parse_columns(QUESTIONS, None, Path()))
    assert [problem.split(" ")[0] for problem in problems] == ["q.jsonl:2:", "q.jsonl:3:"]
    assert "no column 'q.stem'; there are: q" in problems[1]
    assert (report.fine, report.unread_columns) == ({"questions": 1}, {"more": 1})
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
    content = "Stem,A,b,Answer,note\nWho?,x,y,B,!\nWhat?,x,y,A,\nWhere?,x,y,A,\n"
    columns = parse_columns('{"question": "Stem"}', None, Path())
    report, problems = checked({"q.csv": content}, columns=columns)
    assert (problems, report.fine, report.unread_columns) == ([], {"questions": 3}, {"note": 1})


def test_files_of_which_only_some_are_named_after_a_split_are_one_problem(checked):
    _, (problem,) = checked({"train-00000-of-00001.jsonl": [GOOD], "more.jsonl": [GOOD, GOOD]})
    assert problem.startswith("more.jsonl: has questions without a split, while those of ")
    assert "train-00000-of-00001.jsonl have one; " in problem


@pytest.mark.parametrize("kind", ["questions", "facts", None])
def test_an_empty_file_is_a_problem(checked, kind, tmp_path):
    pq.write_table(pa.table({"question": pa.array([], pa.string())}), tmp_path / "b.parquet")
    _, problems = checked({"a.jsonl": " \n", "c.csv": "question,A,B,answer\n", "d.txt": "\n"}, kind)
    of_kind = kind or "questions or facts"
    assert [problem.split(";")[0] for problem in problems] == [
        *(f"{name}: no {of_kind} in it" for name in ("a.jsonl", "b.parquet", "c.csv")),
        "d.txt: no text in it",
    ]


def test_a_file_with_an_unknown_suffix_is_refused(tmp_path):
    (tmp_path / "a.dat").write_bytes(as_bytes([GOOD], "a"))
    problems: list[str] = []
    check(tmp_path / "a.dat", None, problems.append)
    assert "a.dat: unknown suffix; known are .jsonl, " in problems[0]


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
    check(path, None, problems.append)
    assert all(problem.startswith(str(path)) for problem in problems)
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
