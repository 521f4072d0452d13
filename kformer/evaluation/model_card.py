"""The model card of a run: what the Hugging Face hub, and its readers, are told of a model."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from kformer.encoder_lookup import BUNDLED, is_on_this_machine
from kformer.evaluation.compare import versions_in_use
from kformer.evaluation.condition_report import COLUMNS, finding
from kformer.evaluation.ladder_report import ladder_findings
from kformer.evaluation.results import Comparison, RungResult, SplitComparison
from kformer.io.formatting import markdown_table, percent
from kformer.io.training_summary import TrainingSummary
from kformer.modeling import KformerConfig
from kformer.modeling.injections import find_injection

_TASK = "multiple-choice"
# What data sets that kformer fetches elsewhere are called on the hub.
_ON_THE_HUB = {
    "open_book_qa": "allenai/openbookqa",
    "qasc": "allenai/qasc",
    "social_iqa": "allenai/social_i_qa",
}
_LOADING = """\
With the package `kformer` installed:

```python
from kformer.modeling import KformerProcessor  # which also tells transformers of the model
from transformers import AutoModelForMultipleChoice

folder = "."  # where this file is, or the model's name on the hub
model = AutoModelForMultipleChoice.from_pretrained(folder).eval()
processor = KformerProcessor.from_pretrained(folder)

question = processor("", "Which one barks?", ["a cat", "a dog"]{facts})
scores = model(**processor.collate([question])).logits[0]
```"""


@dataclass(frozen=True)
class Described:
    """A run, as its card describes it.

    Attributes:
        title: of its condition and seed.
        condition: its name.
        summary: what training noted.
        config: of its model.
        experiment: the name of its study; None = it lies in none.
        dataset: the questions that it was trained on, as the config of the study names them.
        hub_datasets: data sets of the hub that they are from, by their ids.
        knowledge: the sources of its facts.
        retrieval: how its facts were found, as settings by their names; None = not known, or it
            reads none.
        control: of which kind it is, if its facts were not found for its questions.
        accuracies: of this model on each split, and of how many questions.
        comparison: of the conditions of its study.
        license: of the model, as the hub names licenses; None = the user will say.
    """

    title: str
    condition: str
    summary: TrainingSummary
    config: KformerConfig
    accuracies: Mapping[str, tuple[float, int]]
    experiment: str | None = None
    dataset: str = "unknown"
    hub_datasets: Sequence[str] = ()
    knowledge: Sequence[str] = ()
    retrieval: Mapping[str, Any] | None = None
    control: str | None = None
    comparison: Comparison | None = None
    license: str | None = None


def model_card(run: Described) -> str:
    """The card as Markdown, with the header in YAML that the hub reads."""
    parts = [
        f"---\n{_header(run)}\n---",
        f"# {_name(run)}",
        _introduction(run),
        "## Method",
        *_method(run),
        "## Results",
        *_results(run),
        "## How to load it",
        _LOADING.format(facts=_facts_to_give(run)),
        *_input(run),
        "## Versions",
        _versions(run),
    ]
    return "\n\n".join(parts) + "\n"


def _name(run: Described) -> str:
    return f"{run.experiment}: {run.title}" if run.experiment else run.title


def _datasets(run: Described) -> list[str]:
    known = _ON_THE_HUB.get(run.dataset)
    return [known] if known else list(run.hub_datasets)


def _base_model(run: Described) -> str | None:
    """The encoder on the hub; None for a local one."""
    encoder = run.summary.encoder
    if encoder == BUNDLED:
        return "sentence-transformers/all-MiniLM-L6-v2"
    return None if not encoder or is_on_this_machine(encoder) else encoder


def _header(run: Described) -> str:
    datasets = _datasets(run)
    results = [
        EvalResult(
            task_type=_TASK,
            dataset_type=datasets[0] if datasets else run.dataset,
            dataset_name=run.dataset,
            dataset_split=split,
            metric_type="accuracy",
            metric_value=round(accuracy, 4),
        )
        for split, (accuracy, _) in run.accuracies.items()
    ]
    data = ModelCardData(
        license=run.license,
        base_model=_base_model(run),
        datasets=datasets or None,
        library_name="kformer",
        pipeline_tag=_TASK,
        tags=["kformer", "knowledge-injection", _TASK],
        metrics=["accuracy"],
        model_name=_name(run) if results else None,
        eval_results=results or None,
    )
    return data.to_yaml().strip()


def _introduction(run: Described) -> str:
    encoder = run.summary.encoder if _base_model(run) else "an encoder of one's own"
    study = f" in the study `{run.experiment}`" if run.experiment else ""
    questions = ", ".join(_datasets(run)) or run.dataset
    return (
        f"Answers multiple-choice questions. Trained{study} from {encoder} on "
        f"{run.summary.train_questions:,} questions ({questions}), in {run.summary.precision}."
    )


def _reads_facts(run: Described) -> bool:
    return find_injection(run.config.injection).fact_input != "none"


def _method(run: Described) -> Iterator[str]:
    method = find_injection(run.config.injection)
    about = (
        (inspect.getdoc(method) or "")
        .partition("\n")[0]
        .replace("where `kformer.modeling.processor` puts them", "in front of the question")
    )
    yield f"`{run.config.injection}`: {about}"
    read = sorted(method.reads(run.config) | {"max_tokens"})
    rows = [[name, str(_setting(run.config, name))] for name in read]
    yield markdown_table(["setting", "value"], rows)
    if not _reads_facts(run):
        yield "It reads no facts."
    elif run.retrieval is not None:
        found = ", ".join(f"{key}: {value}" for key, value in run.retrieval.items())
        yield f"Facts from {', '.join(run.knowledge)}, retrieved with {found}."
        if run.control:
            yield (
                f"This model is a control ({run.control}): it was trained and tested on facts that "
                "were not found for its questions. It owes nothing that it gets right to knowledge."
            )
    else:
        yield "It reads facts; how they were found is not known any more."


def _setting(config: KformerConfig, name: str) -> Any:
    return list(config.injection_layers) if name == "layers" else getattr(config, name)


def _results(run: Described) -> Iterator[str]:
    for name, (accuracy, questions) in run.accuracies.items():
        yield (
            f"This model (one training run) gets {percent(accuracy)} % of {questions:,} {name} "
            "questions right."
        )
    if not run.accuracies:
        yield "This model has not been evaluated."
    if run.comparison is None:
        yield "There is no comparison with other methods."
        return
    for split in run.comparison.splits:
        yield from _compared(run, split, run.comparison.baseline)


def _compared(run: Described, split: SplitComparison, baseline: str) -> Iterator[str]:
    """The condition beside the baseline and those of its method that read other facts."""
    mine = f"`{run.condition}`"
    belonging = {
        name
        for ladder in split.ladders
        for rung in ladder.rungs
        for name in _with_controls(rung)
        if run.condition in _with_controls(rung)
    }
    shown = [
        each for each in split.conditions if each.condition in {run.condition, baseline, *belonging}
    ]
    if run.condition not in {each.condition for each in shown}:
        yield f"The comparison of its study on {split.split} does not have its condition."
        return
    yield (
        f"All training runs of its condition, {mine}, beside the baseline and the same method on "
        f"other facts, where there is such; on {split.questions:,} {split.split} questions, of "
        f"which guessing gets {percent(split.guessing.evenly)} % right:"
    )
    header = [column.header.replace("\n", " ") for column in COLUMNS]
    yield markdown_table(header, [[column.cell(each) for column in COLUMNS] for each in shown])
    yield "\n".join(f"- {finding(each, baseline)}" for each in shown)
    told = {each.condition for each in shown}
    lines = [
        line
        for line in dict.fromkeys(ladder_findings(split, baseline))
        if any(line.startswith(f"`{name}`:") for name in told)
    ]
    yield "### What the controls say"
    yield "\n".join(f"- {line}" for line in lines) or "Nothing: the study has no control of it."


def _with_controls(rung: RungResult) -> list[str]:
    return [rung.condition, *(control.condition for control in rung.controls)]


def _facts_to_give(run: Described) -> str:
    if not _reads_facts(run):
        return ""
    return ', ["Dogs bark."], [1.0]' if run.config.scores_in_keys else ', ["Dogs bark."]'


def _input(run: Described) -> Iterator[str]:
    if run.config.scores_in_keys:
        yield (
            "This model also reads how retrieval scored each fact, so give these numbers, too; the "
            "1.0 above is invented."
        )
    if _reads_facts(run):
        yield (
            "Facts are texts, best first: one list for all choices, or one for each. "
            "`output_facts=True` also tells which of them the model read, and how strongly each "
            "one fired."
        )


def _versions(run: Described) -> str:
    trained = run.comparison.versions if run.comparison else {}
    lines = [f"- exported with {_listed(versions_in_use())}"]
    if trained:
        lines.append(f"- compared with {_listed(trained)}")
    lines.append(f"- training stage {run.summary.version}, seed {run.summary.seed}")
    return "\n".join(lines)


def _listed(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in versions.items())
