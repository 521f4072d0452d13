"""Commands that ask the model of a finished run: one question, or those of a file."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from kformer.cli.options import Out, cores, keep_input, load
from kformer.cli.stage import print_summary
from kformer.errors import KformerError
from kformer.io.normal_form import normal_form
from kformer.io.output_names import RunFolder
from kformer.io.tables import ROWS_PER_BATCH, Row
from kformer.io.training_summary import TrainingSummary

if TYPE_CHECKING:
    from kformer.evaluation.asking import AskedAnswer, Offered
    from kformer.evaluation.trained_model import TrainedModel
    from kformer.retrieval.find_facts import FactFinder

app = typer.Typer()


class _ManyChoices(TyperCommand):
    """A command whose option ``--choices`` takes all arguments up to the next option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        options = {name for param in self.params for name in param.opts}
        given: list[str] = []
        is_choice = False
        for argument in args:
            if argument in options or argument.startswith("--"):
                is_choice = argument == "--choices"
                given += [] if is_choice else [argument]
            else:
                given += ["--choices", argument] if is_choice else [argument]
        return super().parse_args(ctx, given)


Run = Annotated[Path, typer.Option(help="The folder of a finished run, …/CONDITION/seed-SEED.")]
GivenFacts = Annotated[
    list[str] | None,
    typer.Option("--fact", help="A fact that the model may read; repeatable."),
]
FactsToRead = Annotated[
    Path | None,
    typer.Option(
        "--facts",
        help="A file of such facts: a text file with one on each line, or any "
        "other format that `kformer check` knows.",
        callback=keep_input,
    ),
]


@app.command(cls=_ManyChoices)
def ask(
    question: Annotated[str, typer.Argument(help="What is asked.")],
    run: Run,
    choices: Annotated[
        list[str], typer.Option("--choices", metavar="TEXT TEXT …", help="The possible answers.")
    ],
    context: Annotated[str, typer.Option(help="What comes before the question.")] = "",
    fact: GivenFacts = None,
    facts: FactsToRead = None,
    kind: Annotated[
        str | None,
        typer.Option("--type", help="What kind of question it is, for a run that matches types."),
    ] = None,
) -> None:
    """Ask a trained model one question: its answer, and the facts that it read.

    Without `--fact` or `--facts`, facts are retrieved as the run's were.

    Example: `kformer ask --run results/demo/runs/kformer-contextual/seed-1
    "What is the pet of Zorbak?" --choices cat dog`
    """
    from rich.console import Console

    from kformer.questions.asked import asked_question

    row = asked_question(
        _in_utf8(question, "QUESTION"),
        [_in_utf8(choice, "--choices") for choice in choices],
        _in_utf8(context, "--context"),
        kind and _in_utf8(kind, "--type"),
    )
    given, folder = _given_facts(fact, facts), _trained(run)
    with Console(stderr=True).status("reading the model"):
        from kformer.evaluation.answer_tables import render_answer
        from kformer.evaluation.asking import answer
        from kformer.evaluation.trained_model import TrainedModel

        trained = TrainedModel(folder)
        facts_of_question = _Facts(trained, given)
        [answered] = answer(trained, [row], facts_of_question.of([row]))
    facts_of_question.tell()
    if trained.processor.reads_facts and not any(answered.read):
        typer.echo("no fact was found for it", err=True)
    if answered.cut:
        longest = trained.processor.config.max_tokens
        typer.echo(f"{answered.cut} of the inputs were cut to {longest} tokens", err=True)
    console = Console()
    for table in render_answer(answered, plain=console.options.ascii_only):
        console.print(table, "")


@app.command()
def predict(
    questions: Annotated[
        Path,
        typer.Argument(
            help="A file, or a folder of such, with or without answers.", callback=keep_input
        ),
    ],
    run: Run,
    out: Out,
    columns: Annotated[
        str | None, typer.Option(help="JSON: which field is what, as `columns` of the config.")
    ] = None,
    fact: GivenFacts = None,
    facts: FactsToRead = None,
) -> None:
    """Answer all questions of a file with a trained model.

    QUESTIONS is JSON lines, CSV or Parquet as `kformer check` takes it; answers may be missing.
    `--out` ends in .jsonl, .csv or .parquet. A question reads the facts under its own key `facts`,
    else those that are given, else those that are retrieved for it as for the run.

    Example: `kformer predict --run results/demo/runs/kformer-contextual/seed-1 new.jsonl
    --out answers.csv`
    """
    from kformer.evaluation.answer_files import check_answer_file, write_answers
    from kformer.questions.asked import AskedColumns, read_asked

    check_answer_file(out)
    rows = read_asked(questions, load(AskedColumns, columns, "--columns") if columns else None)
    given, folder = _given_facts(fact, facts), _trained(run)

    from kformer.evaluation.asking import answer
    from kformer.evaluation.trained_model import TrainedModel

    trained = TrainedModel(folder)
    facts_of_questions = _Facts(trained, given)
    counts = Counter[str]()

    def answers() -> Iterator["AskedAnswer"]:
        for start in range(0, len(rows), ROWS_PER_BATCH):
            batch = rows[start : start + ROWS_PER_BATCH]
            for answered in answer(trained, batch, facts_of_questions.of(batch)):
                right = answered.question["answer"]
                counts["questions"] += 1
                counts["with_answers"] += right is not None
                counts["right"] += right == answered.chosen
                counts["inputs_cut"] += answered.cut
                yield answered

    write_answers(out, answers())
    print_summary("predict", counts)
    facts_of_questions.tell()


class _Facts:
    """The facts that questions are asked with: their own, else those given, else retrieved ones."""

    def __init__(self, trained: "TrainedModel", given: Sequence[str] | None) -> None:
        """Raises KformerError if facts are given to a model that cannot read them."""
        from kformer.evaluation.asking import check_offered

        self._trained, self._given = trained, given
        self._retrieved_from = ""
        if given is not None:
            check_offered(trained)

    def of(self, questions: Sequence[Row]) -> list["Offered"]:
        """The facts of questions, rows as `kformer.questions.asked` gives them.

        Raises:
            KformerError: the model cannot read facts of their own, or none can be retrieved.
        """
        from kformer.evaluation.asking import OfferedFact, check_offered

        if not self._trained.processor.reads_facts:
            return [[[]] for _ in questions]
        given = [self._given if each["facts"] is None else each["facts"] for each in questions]
        if any(facts is not None for facts in given):
            check_offered(self._trained)
        asked = [each for each, facts in zip(questions, given, strict=True) if facts is None]
        retrieved = iter(self._retrieved(asked) if asked else ())
        return [
            next(retrieved) if facts is None else [[OfferedFact(text) for text in facts]]
            for facts in given
        ]

    def tell(self) -> None:
        """Says where facts were retrieved from, if they were."""
        if self._retrieved_from:
            typer.echo(self._retrieved_from, err=True)

    def _retrieved(self, questions: Sequence[Row]) -> list["Offered"]:
        from kformer.evaluation.asking import OfferedFact

        try:
            found = self._finder.find(questions)
        except KformerError as error:
            reads_scores = self._trained.processor.config.scores_in_keys
            hint = "" if reads_scores else "; or give the facts, with --fact or --facts"
            raise KformerError(f"{error}{hint}") from None
        return [
            [[OfferedFact(hit.text, hit.id, hit.score) for hit in hits] for hits in lists]
            for lists in found
        ]

    @cached_property
    def _finder(self) -> "FactFinder":
        from kformer.retrieval.find_facts import FactFinder
        from kformer.study.facts_of_run import facts_of_run

        found = facts_of_run(self._trained.run, self._trained.summary.plan)
        self._retrieved_from = f"facts retrieved from {found.facts} ({found.settings.method})"
        return FactFinder(found.settings, found.facts, found.indexes, cores())


def _trained(run: Path) -> RunFolder:
    """The folder of a run that was trained, as far as can be seen within no time."""
    folder = RunFolder(run)
    if folder.is_untrained:
        raise KformerError(
            f"{run}: nothing was trained here, so there is no model to ask; name the run of "
            "another condition"
        )
    TrainingSummary.read(folder.summary)
    return folder


def _given_facts(facts: Sequence[str] | None, file: Path | None) -> list[str] | None:
    """The facts of options, each once; None where there are none.

    Raises:
        KformerError: a fact is blank or not UTF-8, or the file holds none or something else.
    """
    if not facts and file is None:
        return None
    given = [normal_form(_in_utf8(fact, "--fact")).strip() for fact in facts or ()]
    if not all(given):
        raise KformerError("--fact: must not be empty; leave it out")
    if file is not None:
        given += _facts_in(file)
    return list(dict.fromkeys(given))


def _in_utf8(text: str, name: str) -> str:
    """A text of the shell, whose bytes may be any."""
    try:
        return text.encode().decode()
    except UnicodeEncodeError:
        raise KformerError(f"{name}: {text!r} is not UTF-8; write it in UTF-8") from None


def _facts_in(path: Path) -> list[str]:
    from kformer.checking.kinds import SUFFIXES, reader_of
    from kformer.io.text_files import files_below
    from kformer.knowledge.reader import KnowledgeReader

    texts: list[str] = []
    for file in files_below(path, SUFFIXES):
        reader = reader_of(file, "facts", None, "line", file)
        assert isinstance(reader, KnowledgeReader)
        texts += [fact.text.strip() for fact in reader.read(file, Counter())]
    if not texts:
        raise KformerError(f"{path}: no facts in it; add some, or leave out --facts")
    return texts
