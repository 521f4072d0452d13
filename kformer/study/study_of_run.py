"""What the study around a run says of it."""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from kformer.errors import KformerError
from kformer.io.output_names import ComparisonReport, RunFolder
from kformer.retrieval.retrieve import settings_of_table
from kformer.retrieval.settings import Retrieval
from kformer.study import paths
from kformer.study.facts_of_run import retrieval_of_run
from kformer.study.plans import checked_plan_of_run

_HUB_DATASET = re.compile(r"hf://datasets/([\w.-]+/[\w.-]+)")


class StudyOfRun(NamedTuple):
    """What is known of the study of a run."""

    name: str
    dataset: str
    """as the config names it; of the user's own questions, their format"""
    hub_datasets: list[str]
    """the data sets of the Hugging Face hub that files of questions are from, by their ids"""
    knowledge: list[str]
    """the names of its sources"""
    retrieval: Mapping[str, Any] | None
    """the settings of note; None: it reads no facts, or what was retrieved is not there any more"""
    control: str | None
    """its setting `retrieval.control`"""
    comparison: Path | None
    """None: its conditions have not been compared"""


def study_of_run(run: RunFolder, plan_sha256: str) -> StudyOfRun | None:
    """The study of a run; None where its folder lies in none, or in one that was changed since.

    Args:
        plan_sha256: of the plan that it was trained to, as its summary says.

    Raises:
        KformerError: the config of the study is damaged.
    """
    try:
        folder = checked_plan_of_run(run, plan_sha256).parents[1]
    except KformerError:
        return None
    retrieval = None
    with suppress(KformerError):
        retrieval = settings_of_table(retrieval_of_run(run, plan_sha256))
    comparison = ComparisonReport(folder).numbers
    file = paths.saved_config(folder)
    try:
        config = json.loads(file.read_text("utf-8"))
        of_condition = config["conditions"][run.condition] or {}
        sources = of_condition.get("knowledge") or config["knowledge"]
        return StudyOfRun(
            config["experiment"],
            config["questions"]["dataset"],
            sorted(set(_HUB_DATASET.findall(json.dumps(config["questions"])))),
            [source.get("name") or source["source"] for source in sources] if retrieval else [],
            _of_note(retrieval) if retrieval else None,
            retrieval.control if retrieval else None,
            comparison if comparison.is_file() else None,
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise KformerError(
            f"{file}: damaged; start the study again, which writes it anew"
        ) from None


def _of_note(settings: Retrieval) -> Mapping[str, Any]:
    """The settings that make a difference and are not the usual ones, and how facts are found."""
    unusual = settings.model_dump(exclude_defaults=True).keys() | {"method", "query", "top_k"}
    return {key: value for key, value in settings.relevant_settings().items() if key in unusual}
