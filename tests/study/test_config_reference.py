"""What is written about the config is what its types say."""

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from kformer.cli import app
from kformer.study import config_reference

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("of", "file"),
    [
        ("config", "workflow/schemas/config.schema.json"),
        ("question", "workflow/schemas/question.schema.json"),
        ("fact", "workflow/schemas/fact.schema.json"),
        ("readme", "config/README.md"),
    ],
)
def test_the_files_in_the_repository_are_up_to_date(of, file, capsys):
    app(["schema", of], standalone_mode=False)
    assert (ROOT / file).read_text("utf-8") == capsys.readouterr().out, "run: make schemas"


def test_every_key_of_the_schema_is_documented_with_its_meaning():
    schema = config_reference.schema()
    rows = [line for line in config_reference.readme().splitlines() if line.startswith("| `")]
    documented = {row.split("`")[1].rpartition(".")[2] for row in rows}
    parts = [schema, *schema["$defs"].values()]
    keys = {key for part in parts for key in part.get("properties", {})}
    with_keys_of_their_own = {key for row in rows for key in row.split("`")[1].split(".")[:-1]}
    assert keys - documented - {key.removesuffix("[]") for key in with_keys_of_their_own} == set()
    assert [row for row in rows if not row.split(" | ")[3].strip(" |")] == []


def test_no_key_stands_twice_in_the_schema():
    content = json.dumps(config_reference.schema())
    for meaning in ("how many facts are retrieved per query", "How key projections start"):
        assert content.count(meaning) == 1


@pytest.mark.parametrize("name", ["config.yaml", "social_iqa.yaml", "med_qa.yaml"])
def test_editors_accept_the_configs_that_we_ship(name):
    config = yaml.safe_load((ROOT / "config" / name).read_text("utf-8"))
    errors = Draft202012Validator(config_reference.schema()).iter_errors(config)
    assert [error.message for error in errors] == []
