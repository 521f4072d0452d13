"""Commands on encoders: check them."""

from collections.abc import Callable
from typing import Annotated

import typer

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


def _check(check: Callable[[str], None], name: str) -> None:
    try:
        check(name)
    except EncoderMissingError:
        if is_on_this_machine(name):
            raise
