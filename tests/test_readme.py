"""The code in README and docs runs as it stands there, and what they name is there."""

import re
from pathlib import Path
from textwrap import dedent

import pytest
import yaml

from kformer.modeling import KformerForMultipleChoice, KformerProcessor
from kformer.modeling.pretrained import load_tokenizer
from kformer.study.experiment import load_experiment

ROOT = Path(__file__).parents[1]
README, EXTEND = ROOT / "README.md", ROOT / "docs" / "extend.md"


def python_of(page):
    return re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)


@pytest.fixture
def trained(tiny_encoder, tmp_path):
    """A model's folder as a training run leaves it."""
    model = KformerForMultipleChoice.from_encoder(tiny_encoder, injection="ffn", facts=3)
    model.save_pretrained(tmp_path)
    KformerProcessor(load_tokenizer(tiny_encoder), model.config).save_pretrained(tmp_path)
    return tmp_path


def test_a_notebook_gets_scores_and_the_facts_that_fired(trained, capsys):
    (code,) = (code for code in python_of(README) if "KformerProcessor" in code)
    code, replaced = re.subn(r'folder = ".*"', f"folder = {str(trained)!r}", code)
    assert replaced == 1
    names: dict = {}
    exec(code, names)
    lines = capsys.readouterr().out.splitlines()
    shown = {line.split("  ", 1)[-1].strip() for line in lines}
    texts = [*names["choices"], *names["facts"]]
    assert len(lines) == len(texts) and all(any(text in line for line in shown) for text in texts)


def test_a_retriever_prints_what_the_readme_shows(capsys):
    (code,) = (code for code in python_of(README) if "Retriever" in code)
    exec(code, {})
    assert capsys.readouterr().out.splitlines() == re.findall(r"^# (.*)$", code, re.M)


def test_the_overlay_of_recipes_can_be_laid_over_the_demo():
    guide = (ROOT / "docs" / "how-it-works.md").read_text("utf-8")
    (shown,) = re.findall(r"overlay of conditions:\n\n((?:    .*\n)+)", guide)
    demo = yaml.safe_load((ROOT / "config" / "config.yaml").read_text("utf-8"))
    overlay = yaml.safe_load(dedent(shown))
    study = load_experiment({**demo, **overlay, "model": demo["model"] | overlay["model"]})
    kept = {name for name in study.conditions if study.condition(name).training.keep_states}
    assert kept == {"top3", "slots"}


def test_the_injection_shown_is_the_one_that_is_tested():
    file = ROOT / "tests" / "modeling" / "gated_injection.py"
    assert file.read_text("utf-8") in python_of(EXTEND)
    assert len(file.read_text("utf-8").splitlines()) <= 40


@pytest.mark.parametrize(
    "page", [README, *sorted((ROOT / "docs").glob("*.md"))], ids=lambda p: p.name
)
def test_files_that_a_page_names_are_there(page):
    text = page.read_text("utf-8")
    named = re.findall(r"`((?:kformer|workflow|config|profiles|tests|benchmarks)/[\w./]+)`", text)
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    paths = [ROOT / name for name in named] + [page.parent / link for link in links]
    assert [str(path) for path in paths if not path.exists()] == []
