"""What must never be, read from the imports and texts of the code itself."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "kformer"
FILES = sorted(PACKAGE.rglob("*.py"))
# The rooms of the stages, and those of them that each may import.
MAY_IMPORT = {
    "questions": set(),
    "knowledge": set(),
    "retrieval": set(),
    "modeling": set(),
    "training": {"modeling"},
    "evaluation": {"modeling"},
    "report": {"evaluation"},
}
MOST_LINES = 300


def name_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports_of(file: Path) -> Iterator[str]:
    """The modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def importers_of(package: str) -> set[str]:
    """The modules of kformer that import something of a package."""
    pattern = re.compile(rf"{re.escape(package)}(\.|$)")
    return {name_of(file) for file in FILES if any(map(pattern.match, imports_of(file)))}


def rooms_importing(package: str) -> set[str]:
    return {module.split(".")[1] for module in importers_of(package)}


def test_only_tracking_imports_mlflow():
    assert rooms_importing("mlflow") == {"tracking"}


def test_nothing_imports_snakemake():
    assert importers_of("snakemake") == set()


def test_only_the_command_line_tracks():
    assert rooms_importing("kformer.tracking") == {"cli", "tracking"}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_stage_imports_no_other_stage(room):
    stages = rooms_importing(f"kformer.{room}") & MAY_IMPORT.keys()
    assert stages <= {room} | {other for other, may in MAY_IMPORT.items() if room in may}


@pytest.mark.parametrize(("room", "above"), [("cli", {"__main__"}), ("study", {"cli"})])
def test_no_stage_knows_the_study_or_the_command_line(room, above):
    assert rooms_importing(f"kformer.{room}") <= {room} | above


def texts_of(file: Path) -> Iterator[str]:
    """The texts in the code of a file, docstrings left out."""
    tree = ast.parse(file.read_text("utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if is_text and id(node) not in docstrings:
            yield node.value


def test_only_the_study_names_folders_under_results():
    named = re.compile(r"(^|\W)(results|resources)(/|$)")
    naming = {name_of(file) for file in FILES if any(map(named.match, texts_of(file)))}
    assert {module.split(".")[1] for module in naming} == {"study"}


def test_the_workflow_asks_the_study_for_every_path():
    rules = [ROOT / "Snakefile", *(ROOT / "workflow").rglob("*.smk")]
    assert [
        rule.name for rule in rules if re.search(r"(results|resources)/", rule.read_text())
    ] == []


def test_files_are_short_and_few_lie_at_the_top():
    top = [path.name for path in PACKAGE.glob("*.py") if not path.name.startswith("__")]
    assert len(top) <= 10
    lines = {name_of(file): len(file.read_text("utf-8").splitlines()) for file in FILES}
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}
