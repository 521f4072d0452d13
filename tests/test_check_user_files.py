"""Checking the user's own data: every problem with its file and line, and how much is fine."""

import gzip

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kformer.check_user_files import check, parse_columns, summary
from kformer.errors import KformerError
from kformer.io.records import Record
from kformer.knowledge.build import build_facts
from kformer.knowledge.user_files import FactRow, JsonlFacts
from kformer.questions.user_files import QuestionRow

from .conftest import as_bytes

GOOD = {"question": "Who?", "choices": ["x", "y"], "answer": 0}


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
        "a.jsonl": [GOOD],
        "c.csv": "question,A,B,answer\nWho?,x,y,B\n",
        "d.tsv": "Question\tA\tB\tanswer\nWho?\tx\ty\tB\n",
        "e.parquet": [GOOD],
    }
    facts = {
        "b.jsonl": [{"text": "Rain is wet."}],
        "e.tsv": "rain\tCauses\tfloods\n",
        "e.csv": "text,origin\nRain.,me\n",
    }
    report, problems = checked({**questions, **facts, "f.txt": "Some text.\n\nMore.\n"})
    assert problems == []
    assert report.fine == {"questions": 4, "facts": 3, "lines of text": 2}


def test_the_kind_may_be_given(checked):
    _, problems = checked({"a.jsonl": [{"text": "Rain is wet."}]}, "questions")
    assert problems[0].startswith("a.jsonl:1: question: Field required")


def test_a_split_without_questions_is_a_problem_where_every_question_has_one(checked):
    _, (problem,) = checked({"q.jsonl": [GOOD | {"split": "train"}]})
    assert "no question is in the split test; give some to it" in problem
    assert checked({"q.jsonl": [GOOD | {"split": "train"}, GOOD]})[1] == []


def test_an_id_given_twice_names_both_lines(checked):
    _, (problem,) = checked({"q.jsonl": [GOOD | {"id": 1}, GOOD, GOOD | {"id": "1"}]})
    assert problem.startswith("q.jsonl:3: id: '1' is that of ")
    assert problem.endswith("q.jsonl:1 too; give each question its own")


def test_what_is_worth_knowing_is_in_the_summary(checked):
    rows = [GOOD | {"split": "dev", "conntext": "misspelt"}, GOOD | {"choices": ["x", "x"]}]
    report, _ = checked({"q.jsonl": rows})
    assert summary(report) == (
        "2 questions are fine (validation 1, no split 1); 0 problems; "
        "1 questions have the same choice twice; not read: conntext (1)"
    )


QUESTIONS = '{"question": "q.stem", "choices": ["a1", "a2"], "answer": "key"}'


def test_columns_say_what_is_what_and_of_which_kind_the_data_is(checked):
    row = {"q": {"stem": "Who?", "note": "!"}, "a1": "x", "a2": "y", "key": "B", "more": 1}
    rows = [row, row | {"key": "C"}, row | {"q": {}}]
    report, problems = checked({"q.jsonl": rows}, columns=parse_columns(QUESTIONS, None))
    assert [problem.split(" ")[0] for problem in problems] == ["q.jsonl:2:", "q.jsonl:3:"]
    assert "no column 'q.stem'; there are: q" in problems[1]
    assert (report.fine, report.unread_columns) == ({"questions": 1}, {"more": 1})
    columns = parse_columns('{"text": "f"}', None)
    assert checked({"q.jsonl": [{"f": "Rain."}]}, columns=columns)[0].fine == {"facts": 1}


@pytest.mark.parametrize(
    ("name", "content"),
    [("q.csv", "stem,a1\nWho?,x\nWho?,y\n"), ("q.parquet", [{"stem": "?"}, {"stem": "!"}])],
)
def test_a_column_that_a_table_lacks_is_one_problem(checked, name, content):
    _, (problem,) = checked({name: content}, columns=parse_columns(QUESTIONS, None))
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
        parse_columns(text, kind)


def test_columns_of_the_other_kind_are_refused(tmp_path):
    with pytest.raises(KformerError, match="these are columns of questions, not of facts"):
        check(tmp_path, "facts", print, parse_columns(QUESTIONS, None))


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
