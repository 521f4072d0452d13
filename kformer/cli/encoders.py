"""Commands on encoders: check them, and tokenise with them."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from kformer.cli.options import Content, Out, check_encoder_content, keep_input
from kformer.cli.stage import tracked_stage
from kformer.encoder_lookup import EncoderMissingError, is_on_this_machine

app = typer.Typer()


@app.command()
def check_encoders(
    model: Annotated[list[str] | None, typer.Option(help="An encoder for `model.encoder`.")] = None,
    retrieval: Annotated[
        list[str] | None, typer.Option(help="An encoder for `retrieval.encoder`.")
    ] = None,
) -> None:
    """Check that weights have the names and shapes that encoders describe, and fit tokenizers.

    It takes seconds, since weights are not read. One that has yet to be downloaded is checked when
    it is loaded, like all.

    Example: `kformer check-encoders --model ./my_encoder --retrieval bundled/all-MiniLM-L6-v2`
    """
    for name in model or ():
        from kformer.modeling.pretrained import check_encoder

        _check(check_encoder, name)
    for name in retrieval or ():
        from kformer.retrieval.embeddings.sentence_modules import check_modules

        _check(check_modules, name)


@app.command()
def featurize(
    table: Annotated[
        Path, typer.Option(help="The questions or the facts table.", callback=keep_input)
    ],
    encoder: Annotated[str, typer.Option(help="The encoder, as for `model.encoder`.")],
    out: Out,
    content: Content = None,
) -> None:
    """Tokenise a table once, for all trainings of an encoder whatever their settings.

    It uses all cores, or as many as the environment's RAYON_NUM_THREADS says.

    Example: `kformer featurize --table questions.parquet --encoder bundled/all-MiniLM-L6-v2
    --out questions.arrow`
    """
    from kformer.modeling.featurize import featurize as tokenise

    check_encoder_content(encoder, content)
    with tracked_stage(f"featurize {table.stem}", out, {"encoder": encoder}) as stage:
        stage.finish(tokenise(table, encoder, out))


def _check(check: Callable[[str], None], name: str) -> None:
    try:
        check(name)
    except EncoderMissingError:
        if is_on_this_machine(name):
            raise
