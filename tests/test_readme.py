"""The code in the README runs as it stands there."""

import re
from pathlib import Path

import pytest

from kformer.modeling import KformerForMultipleChoice, KformerProcessor
from kformer.modeling.pretrained import load_tokenizer

README = Path(__file__).parents[1] / "README.md"


@pytest.fixture
def trained(tiny_encoder, tmp_path):
    """A model's folder as a training run leaves it."""
    model = KformerForMultipleChoice.from_encoder(tiny_encoder, injection="ffn", facts=3)
    model.save_pretrained(tmp_path)
    KformerProcessor(load_tokenizer(tiny_encoder), model.config).save_pretrained(tmp_path)
    return tmp_path


def test_a_notebook_gets_scores_and_the_facts_that_fired(trained, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    code, replaced = re.subn(r'folder = ".*"', f"folder = {str(trained)!r}", code)
    assert replaced == 1
    names: dict = {}
    exec(code, names)
    lines = capsys.readouterr().out.splitlines()
    shown = {line.split("  ", 1)[-1].strip() for line in lines}
    said = [*names["choices"], *names["facts"]]
    assert len(lines) == len(said) and all(any(text in line for line in shown) for text in said)
