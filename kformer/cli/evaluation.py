"""Commands on what a trained model does, beside its answers."""

from pathlib import Path
from typing import Annotated

import typer

from kformer.cli.options import Out, QuestionTokens, RetrievalFile, keep_input
from kformer.cli.stage import tracked_training
from kformer.errors import KformerError
from kformer.io.output_names import RunFolder

app = typer.Typer()


@app.command()
def use_of_facts(
    run: Annotated[Path, typer.Option(help="The run's folder, as `train` wrote it.")],
    question_tokens: QuestionTokens,
    fact_tokens: Annotated[
        Path, typer.Option(help="The tokens of the facts.", callback=keep_input)
    ],
    retrieval: RetrievalFile,
    out: Out,
    sample: Annotated[int, typer.Option(min=1, help="How many test questions, at most.")] = 200,
    questions: Annotated[
        Path | None,
        typer.Option(help="The questions table, which names gold facts.", callback=keep_input),
    ] = None,
    facts: Annotated[
        Path | None,
        typer.Option(help="The facts table, by which gold facts are found.", callback=keep_input),
    ] = None,
) -> None:
    """Measure what facts do to the answers of a trained model.

    A sample of the test questions is answered again without each fact, without any, and with those
    of another question. With `--questions` and `--facts` it is also known which facts are gold.

    Example: `kformer use-of-facts --run runs/kformer/seed-1 --question-tokens questions.arrow
    --fact-tokens facts.arrow --retrieval retrieval.parquet
    --out runs/kformer/seed-1/use_of_facts.parquet`
    """
    if (questions is None) != (facts is None):
        raise KformerError("--questions and --facts: give both or neither")
    from kformer.evaluation.use_of_facts import measure_use_of_facts

    texts = (questions, facts) if questions and facts else None
    knowledge = (fact_tokens, retrieval)
    with tracked_training("use-of-facts", RunFolder(run), {}) as stage:
        stage.finish(measure_use_of_facts(run, question_tokens, knowledge, out, sample, texts))
