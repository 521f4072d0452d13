"""The config: what is refused says where, what is wrong and what is allowed."""

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from kformer import encoders
from kformer.errors import KformerError
from kformer.modeling.settings import Model
from kformer.questions import QuestionSource
from kformer.retrieval.settings import Retrieval
from kformer.section import load_section
from kformer.study.experiment import load_experiment
from kformer.training.settings import Training

ROOT = Path(__file__).parents[2]
BASE = {
    "experiment": "study",
    "questions": {"dataset": "demo"},
    "knowledge": ["demo"],
    "seeds": [1, 2],
    "baseline": "none",
    "conditions": {"none": {}},
}


def load(origin="config.yaml", **changes):
    return load_experiment({**copy.deepcopy(BASE), **changes}, origin)


def refused(**changes):
    """The one line that refuses a config."""
    with pytest.raises(KformerError) as caught:
        load(**changes)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("config.yaml: ")
    return message.removeprefix("config.yaml: ")


def shipped(*names):
    """Configs of ours, laid over each other as Snakemake does it."""
    config: dict = {}
    for name in names:
        update_config(config, yaml.safe_load((ROOT / "config" / name).read_text("utf-8")))
    return load_experiment(config, names[-1])


TASKS = ("social_iqa.yaml", "med_qa.yaml")
ABLATIONS = [path.name for path in sorted(ROOT.glob("config/ablation_*.yaml"))]


@pytest.mark.parametrize("name", ["config.yaml", *TASKS])
def test_the_configs_that_we_ship_load(name):
    experiment = shipped(name)
    assert experiment.baseline in experiment.conditions


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("ablation", ABLATIONS)
def test_an_ablation_is_laid_over_either_task(task, ablation):
    experiment, alone = shipped(task, ablation), shipped(task)
    varied = list(experiment.conditions)[1:]
    assert varied and not set(varied) & set(alone.conditions)
    conditions = [experiment.condition(name).model_dump_json() for name in varied]
    assert len(set(conditions)) == len(varied)
    assert experiment.questions == alone.questions


def test_a_condition_that_is_null_is_left_out():
    experiment = load(conditions={"none": {}, "concat": None})
    assert list(experiment.conditions) == ["none"]
    assert "at least 1 item" in refused(conditions={"none": None})


class TestSources:
    """What an experiment needs to fetch, and user data that is read in place."""

    def test_just_what_the_conditions_read_is_needed(self):
        experiment = load(
            questions={"dataset": "med_qa"},
            knowledge=["textbooks", "medquad"],
            sources={"medquad": {"url": "here.zip"}, "atomic": {"url": "unused.tgz"}},
            conditions={
                "none": {},
                "ffn": {"model": {"injection": "ffn"}},
                "without": {"knowledge": ["conceptnet"]},
            },
        )
        assert list(experiment.needed_sources) == ["med_qa", "medquad"]
        assert experiment.needed_sources["medquad"].url == "here.zip"

    def test_user_data_at_an_address_is_fetched_under_its_name(self):
        experiment = load(
            questions={"dataset": "jsonl", "url": "https://example.org/q.jsonl"},
            knowledge=[{"source": "txt", "url": "books.zip", "name": "books", "sha256": "ab" * 32}],
            conditions={"none": {"model": {"injection": "ffn"}}},
        )
        needed = experiment.needed_sources
        assert needed["jsonl_questions"].url == "https://example.org/q.jsonl"
        assert needed["books"].sha256 == "ab" * 32

    def test_user_data_at_a_path_must_be_there(self, tmp_path):
        (tmp_path / "q.csv").touch()
        load(questions={"dataset": "csv", "path": str(tmp_path / "q.csv")})
        message = refused(questions={"dataset": "csv", "path": str(tmp_path / "p.csv")})
        assert message.startswith(f"questions: path: there is nothing at {tmp_path}/p.csv; correct")
        message = refused(knowledge=[{"source": "txt", "path": "nowhere"}])
        assert message.startswith("conditions.none.knowledge: path: there is nothing at nowhere;")

    @pytest.mark.parametrize(
        ("keys", "what"),
        [
            ({}, "give either path (read in place) or url (fetched)"),
            ({"path": "a", "url": "b"}, "give either path (read in place) or url (fetched)"),
            ({"path": "a", "sha256": "ab" * 32}, "sha256: belongs to a url"),
        ],
    )
    def test_user_data_has_a_path_or_a_url(self, keys, what):
        assert what in refused(questions={"dataset": "jsonl", **keys})

    def test_two_sources_of_a_kind_need_names(self, tmp_path):
        one = {"source": "txt", "path": str(tmp_path)}
        assert "a source is given twice in txt, txt; name each of your own" in refused(
            knowledge=[one, one]
        )
        load(knowledge=[one, one | {"name": "other"}])

    def test_user_knowledge_may_not_take_the_name_of_a_source_of_ours(self, tmp_path):
        mine = {"source": "txt", "path": str(tmp_path), "name": "atomic"}
        assert "name: atomic is taken; choose another one" in refused(knowledge=[mine])

    def test_two_addresses_under_one_name_are_refused(self):
        with_url = [{"source": "txt", "url": url, "name": "books"} for url in ("a.zip", "b.zip")]
        conditions = {
            name: {"knowledge": [knowledge], "model": {"injection": "ffn"}}
            for name, knowledge in zip(("none", "other"), with_url, strict=True)
        }
        assert "two sources are called books" in refused(conditions=conditions)

    def test_a_template_must_name_head_and_tail(self):
        knowledge = [{"source": "atomic", "templates": {"xWant": "{head} wants."}}]
        message = refused(knowledge=knowledge)
        assert "templates.xWant: '{head} wants.' must name {head} and {tail}" in message

    def test_a_misspelt_source_is_answered_with_the_known_ones(self):
        assert "'atomci' is not a known source" in refused(sources={"atomci": {"url": "a.tgz"}})


def test_the_resolved_config_is_a_config():
    experiment = load(conditions={"none": {}, "kformer": {"model": {"injection": "ffn"}}})
    again = load_experiment(json.loads(json.dumps(experiment.model_dump(mode="json"))))
    assert again.condition("kformer") == experiment.condition("kformer")
    assert again.condition("none") == experiment.condition("none")


@pytest.mark.parametrize(
    ("changes", "path", "suggestion", "some_allowed"),
    [
        ({"trainning": {}}, "trainning", "training", ["conditions", "experiment", "seeds"]),
        (
            {"training": {"learning_rte": 1}},
            "training.learning_rte",
            "learning_rate",
            ["batch_size", "weight_decay"],
        ),
        (
            {"conditions": {"none": {"modle": {}}}},
            "conditions.none.modle",
            "model",
            ["answer_by", "knowledge", "retrieval", "training"],
        ),
        (
            {"conditions": {"none": {"model": {"injectoin": "ffn"}}}},
            "conditions.none.model.injectoin",
            "injection",
            ["encoder", "layers", "facts"],
        ),
        (
            {"questions": {"dataset": "social_iqa", "split_sed": 1}},
            "questions.social_iqa.split_sed",
            "split_seed",
            ["dataset", "validation_share"],
        ),
        ({"sources": {"atomic": {"uri": "x"}}}, "sources.atomic.uri", "url", ["sha256"]),
        ({"demo_world": {"sede": 1}}, "demo_world.sede", "seed", ["hard_share"]),
    ],
)
def test_an_unknown_key_is_refused_with_its_path_a_hint_and_what_is_allowed(
    changes, path, suggestion, some_allowed
):
    message = refused(**changes)
    assert message.startswith(f"{path}: unknown key; did you mean {suggestion}? allowed here: ")
    allowed = message.split("allowed here: ")[1].split(", ")
    assert allowed == sorted(allowed)
    assert {suggestion, *some_allowed} <= set(allowed)


def test_keys_of_elsewhere_are_not_said_to_be_allowed():
    allowed = refused(questions={"dataset": "demo", "split_seed": 1}).split("allowed here: ")[1]
    assert "learning_rate" not in allowed
    assert "experiment" not in allowed


def test_an_unknown_key_that_resembles_nothing_gets_no_hint():
    assert refused(zzz=1).startswith("zzz: unknown key; allowed here: ")


def test_a_condition_cannot_change_what_belongs_to_the_experiment():
    message = refused(conditions={"none": {"seeds": [1]}})
    assert message.startswith("conditions.none.seeds: unknown key; ")


def test_all_problems_are_listed():
    message = refused(training={"batch_size": 0, "foo": 1}, seeds="one")
    assert {part.split(":")[0] for part in message.split("; ")} >= {
        "training.batch_size",
        "training.foo",
        "seeds",
    }


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"training": {"learning_rate": 0}}, "training.learning_rate"),
        ({"training": {"batch_size": 0}}, "training.batch_size"),
        ({"training": {"adam_betas": [0.9, 1.0]}}, "training.adam_betas.1"),
        ({"training": {"precision": "fp8"}}, "training.precision"),
        ({"training": []}, "training"),
        ({"model": {"head_dropout": 1.0}}, "model.head_dropout"),
        ({"model": {"layers": "top4"}}, "model.layers"),
        ({"model": {"layers": [-1, 2]}}, "model.layers"),
        ({"retrieval": {"method": "magic"}}, "retrieval.method"),
        ({"seeds": []}, "seeds"),
        ({"knowledge": "demo"}, "knowledge"),
        ({"knowledge": ["wikipedia"]}, "knowledge.0"),
        ({"questions": {"dataset": "jeopardy"}}, "questions"),
        ({"conditions": {}}, "conditions"),
        ({"conditions": {"none": {}, "a b": {}}}, "conditions.a b"),
        ({"experiment": "../escape"}, "experiment"),
        ({"experiment": "shared"}, "experiment"),
        ({"sources": {"atomic": {"sha256": "abc"}}}, "sources.atomic.sha256"),
        ({"tracking": {"uri": 5}}, "tracking.uri"),
    ],
)
def test_a_wrong_type_or_number_is_refused_with_its_path(changes, path):
    assert refused(**changes).startswith(path)


@pytest.mark.parametrize("key", ["experiment", "questions", "knowledge", "seeds", "baseline"])
def test_a_missing_key_is_named(key):
    with pytest.raises(KformerError, match=rf"^config\.yaml: {key}: Field required$"):
        load_experiment({k: v for k, v in BASE.items() if k != key}, "config.yaml")


@pytest.mark.parametrize("content", [None, [], "text"])
def test_a_config_that_is_no_mapping_is_refused(content):
    with pytest.raises(KformerError, match=r"^config\.yaml: ") as caught:
        load_experiment(content, "config.yaml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("injection", ["fnn", "lora"])
def test_an_unknown_injection_lists_what_there_is(injection):
    message = refused(conditions={"none": {}, "x": {"model": {"injection": injection}}})
    assert message.startswith("conditions.x.model.injection: ")
    for known in ("'none'", "'concat'", "'attention'", "'ffn'", "'static'", repr(injection)):
        assert known in message


def test_a_data_set_that_is_unknown_lists_what_there_is():
    message = refused(questions={"dataset": "jeopardy"})
    assert "'demo'" in message
    assert "'social_iqa'" in message


def test_the_baseline_must_be_a_condition():
    message = refused(baseline="zero")
    assert message == "baseline: 'zero' is not a condition; there are none"


def test_a_seed_given_twice_is_refused():
    assert refused(seeds=[1, 2, 1]) == "seeds: the same seed is given twice"


class TestImpossibleConditions:
    def test_more_facts_than_are_retrieved(self):
        condition = {"model": {"injection": "ffn", "facts": 6}, "retrieval": {"top_k": 5}}
        message = refused(conditions={"none": {}, "x": condition})
        assert message == "conditions.x: model.facts: 6 is more than retrieval.top_k: 5"

    def test_more_facts_than_are_retrieved_by_the_settings_of_the_experiment(self):
        message = refused(
            retrieval={"top_k": 4}, conditions={"none": {}, "x": {"model": {"injection": "ffn"}}}
        )
        assert message == "conditions.x: model.facts: 5 is more than retrieval.top_k: 4"

    def test_facts_do_not_matter_where_none_are_read(self):
        retrieval = {"answer_by": "retrieval", "retrieval": {"query": "choice"}}
        load(retrieval={"top_k": 2}, conditions={"none": {}, "retrieval-only": retrieval})

    def test_answering_by_retrieval_needs_a_query_per_choice(self):
        message = refused(conditions={"none": {}, "x": {"answer_by": "retrieval"}})
        assert message == "conditions.x: answer_by: retrieval needs retrieval.query: choice"

    @pytest.mark.parametrize("layers", [[3, 3], [4, 3]])
    def test_layers_that_end_before_they_start(self, layers):
        message = refused(conditions={"none": {"model": {"layers": layers}}})
        assert message.startswith(f"conditions.none.model.layers: {layers} must be")


class TestConditions:
    EXPERIMENT = load(
        knowledge=["demo", {"source": "atomic"}],
        retrieval={"top_k": 12},
        model={"facts": 7, "layers": [1, 3]},
        training={"learning_rate": 2e-4},
        conditions={
            "none": {},
            "kformer": {"model": {"injection": "ffn"}, "retrieval": {"control": "shuffle"}},
            "other": {"knowledge": ["demo"], "training": {"batch_size": 4}, "retrieval": None},
        },
    )

    def test_an_empty_one_is_the_experiment_itself(self):
        condition = self.EXPERIMENT.condition("none")
        for part in ("knowledge", "retrieval", "model", "training"):
            assert getattr(condition, part) == getattr(self.EXPERIMENT, part)
        assert condition.answer_by == "model"
        assert not condition.uses_facts

    def test_only_what_is_overridden_changes(self):
        condition = self.EXPERIMENT.condition("kformer")
        assert condition.model == Model(injection="ffn", facts=7, layers=(1, 3))
        assert condition.retrieval == Retrieval(top_k=12, control="shuffle")
        assert condition.training == Training(learning_rate=2e-4)
        assert condition.knowledge == self.EXPERIMENT.knowledge
        assert condition.uses_facts

    def test_slots_that_come_from_no_fact_need_no_retrieval(self):
        static = {"model": {"injection": "static", "facts": 50}, "retrieval": {"top_k": 5}}
        condition = load(conditions={"none": {}, "static": static}).condition("static")
        assert not condition.uses_facts

    def test_a_value_that_equals_the_default_overrides_all_the_same(self):
        experiment = load(
            model={"facts": 7}, conditions={"none": {"model": {"facts": Model().facts}}}
        )
        assert experiment.condition("none").model.facts == Model().facts

    def test_knowledge_is_replaced_and_not_merged(self):
        condition = self.EXPERIMENT.condition("other")
        assert [reader.source for reader in condition.knowledge] == ["demo"]
        assert condition.training == Training(learning_rate=2e-4, batch_size=4)
        assert condition.retrieval == Retrieval(top_k=12)

    def test_the_experiment_itself_stays_as_it_was(self):
        before = self.EXPERIMENT.model_dump()
        self.EXPERIMENT.condition("kformer")
        assert self.EXPERIMENT.model_dump() == before


class TestEncoders:
    @staticmethod
    def with_layers(encoder, layers, injection="ffn"):
        model = {"encoder": str(encoder), "layers": layers, "injection": injection}
        return load(conditions={"none": {}, "x": {"model": model}}, model={"encoder": str(encoder)})

    @pytest.mark.parametrize("layers", [[0, 4], [3, 4], "top3", "bottom3", "all"])
    def test_layers_that_the_encoder_has(self, tiny_encoder, layers):
        self.with_layers(tiny_encoder, layers).check_encoders()

    def test_layers_beyond_its_depth_are_refused(self, tiny_encoder):
        with pytest.raises(
            KformerError, match=r"^config.yaml: conditions\.x: model\.layers: "
        ) as caught:
            self.with_layers(tiny_encoder, [3, 5]).check_encoders()
        message = str(caught.value)
        assert "4 layers" in message
        assert "top3, bottom3, all" in message
        assert "\n" not in message

    def test_layers_of_static_slots_are_checked_as_well(self, tiny_encoder):
        with pytest.raises(KformerError, match=r"conditions\.x: model\.layers: "):
            self.with_layers(tiny_encoder, [3, 5], "static").check_encoders()

    def test_layers_do_not_matter_where_nothing_is_injected(self, tiny_encoder):
        self.with_layers(tiny_encoder, [3, 5], "none").check_encoders()
        self.with_layers(tiny_encoder, [3, 5], "concat").check_encoders()

    def test_a_folder_that_is_no_encoder_is_refused(self, tmp_path):
        with pytest.raises(
            KformerError, match=r"^config.yaml: conditions\.none: model\.encoder: .*config\.json"
        ):
            self.with_layers(tmp_path, "top3").check_encoders()

    def test_a_bundled_encoder_that_is_not_installed_is_refused(self, monkeypatch):
        monkeypatch.setattr(encoders, "find_spec", lambda _: None)
        with pytest.raises(KformerError, match="is not installed; run: pip install") as caught:
            self.with_layers(encoders.BUNDLED, "top3").check_encoders()
        assert "\n" not in str(caught.value)

    def test_an_encoder_of_a_hub_is_not_fetched_to_check_it(self):
        self.with_layers("roberta-base", [0, 100]).check_encoders()

    def test_a_condition_without_a_model_needs_no_encoder(self, tmp_path):
        condition = {
            "answer_by": "retrieval",
            "retrieval": {"query": "choice"},
            "model": {"encoder": str(tmp_path)},
        }
        load(
            model={"encoder": "roberta-base"}, conditions={"none": {}, "x": condition}
        ).check_encoders()


class TestSections:
    def test_a_section_is_read_from_json(self):
        assert load_section(Retrieval, '{"top_k": 3}') == Retrieval(top_k=3)
        assert load_section(QuestionSource, '{"dataset": "demo"}').dataset == "demo"

    @pytest.mark.parametrize("text", ["", "{", "{'top_k': 3}"])
    def test_text_that_is_no_json_is_refused(self, text):
        with pytest.raises(KformerError, match=r"^--settings: not valid JSON: ") as caught:
            load_section(Retrieval, text)
        assert "\n" not in str(caught.value)

    def test_an_unknown_key_is_refused(self):
        with pytest.raises(
            KformerError, match=r"^--settings: topk: unknown key; did you mean top_k"
        ):
            load_section(Retrieval, '{"topk": 3}')

    def test_sections_do_not_change_after_reading(self):
        with pytest.raises(ValueError, match="frozen"):
            Retrieval().top_k = 5


@pytest.mark.parametrize("module", ["kformer.study.experiment", "kformer.cli"])
def test_importing_it_imports_nothing_heavy(module):
    heavy = ["torch", "transformers", "mlflow", "matplotlib", "pandas", "scipy", "sklearn"]
    code = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_a_condition_changes_only_what_it_names_of_nested_sections():
    retrieval = {
        "words": {"stop_words": True},
        "match": {"relations": {"where": ["AtLocation"]}},
    }
    override = {"words": {"stemming": True}, "match": {"mode": "boost"}}
    conditions = {"none": {}, "other": {"retrieval": override}}
    experiment = load(retrieval=retrieval, conditions=conditions, baseline="none")
    found = experiment.condition("other").retrieval
    assert (found.words.stop_words, found.words.stemming) == (True, True)
    assert found.match.model_dump() == {
        "relations": {"where": ["AtLocation"]},
        "mode": "boost",
        "boost": 2.0,
    }


def test_a_condition_takes_matching_away_with_null():
    retrieval = {"match": {"relations": "atomic"}}
    conditions = {"none": {}, "other": {"retrieval": {"match": None}}}
    experiment = load(retrieval=retrieval, conditions=conditions, baseline="none")
    assert experiment.condition("other").retrieval.match is None


def test_an_encoder_that_searches_has_to_be_there_before_any_job_starts():
    conditions = {
        "none": {},
        "other": {
            "model": {"injection": "ffn"},
            "retrieval": {"method": "dense", "encoder": "./nowhere"},
        },
    }
    message = refused(conditions=conditions, baseline="none")
    assert message.startswith("conditions.other: retrieval.encoder: ./nowhere is no encoder folder")


def test_a_condition_is_checked_as_a_whole_and_not_by_what_it_changes():
    conditions = {"none": {}, "other": {"retrieval": {"method": "hybrid", "top_k": 150}}}
    settings = {"conditions": conditions, "baseline": "none"}
    experiment = load(retrieval={"candidates": 200}, **settings)
    assert experiment.condition("other").retrieval.candidates == 200
    message = refused(retrieval={"candidates": 120}, **settings)
    assert "candidates: 120 is less than top_k; make it larger" in message
