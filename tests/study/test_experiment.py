"""The config: what is refused says where, what is wrong and what is allowed."""

import copy
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from huggingface_hub import constants
from snakemake.utils import update_config

from kformer.config_section import SecretAddress, load_section
from kformer.errors import KformerError
from kformer.modeling.settings import Model
from kformer.retrieval.settings import Retrieval
from kformer.study.experiment import load_experiment
from kformer.study.layout import Layout
from kformer.training.settings import Training

from .conftest import STUDY

ROOT = Path(__file__).parents[2]
FFN = {"model": {"injection": "ffn"}}
BASE = {
    **STUDY,
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


def with_condition(**override):
    return {"conditions": {"none": {}, "x": override}}


def shipped(*names):
    """Configs of ours, laid over each other as Snakemake does it."""
    config: dict = {}
    for name in names:
        update_config(config, yaml.safe_load((ROOT / "config" / name).read_text("utf-8")))
    return load_experiment(config, names[-1])


ABLATED = ("social_iqa.yaml", "med_qa.yaml")
TASKS = (*ABLATED, "qasc.yaml", "open_book_qa.yaml")
ABLATIONS = [path.name for path in sorted(ROOT.glob("config/ablation_*.yaml"))]


@pytest.mark.parametrize("name", ["config.yaml", *TASKS])
def test_the_configs_that_we_ship_load(name):
    experiment = shipped(name)
    assert experiment.baseline in experiment.conditions


def settings_without_control(condition):
    return condition.model_copy(
        update={"retrieval": condition.retrieval.model_copy(update={"control": None})}
    )


@pytest.mark.parametrize("task", TASKS)
def test_every_method_has_its_shuffled_control(task):
    experiment = shipped(task)
    found = {name: experiment.condition(name) for name in experiment.conditions}
    ladder = {name for name in found if name.rpartition("-gold")[1]}
    fed = {n for n, each in found.items() if each.answer_by == "model" and each.uses_facts}
    fed -= {"concat-1-fact", "concat-few-questions"}  # concat again, in fewer seconds
    for name in fed - ladder - {n for n in fed if found[n].retrieval.control}:
        control = found[f"{name}-shuffled"]
        assert control.retrieval.control == "shuffle"
        assert settings_without_control(control) == found[name]


@pytest.mark.parametrize("task", ["qasc.yaml", "open_book_qa.yaml"])
def test_the_ladder_differs_in_the_facts_alone(task):
    experiment = shipped(task)
    found = {name: experiment.condition(name) for name in experiment.conditions}
    gold = {"method": "gold"}
    steps = {"": {}, "-gold": gold, "-gold-among-8": gold | {"distractors": 8}}
    for method in ("concat", "attention-tokens", "kformer-identity", "kformer-contextual"):
        for step, changes in steps.items():
            read = {"facts": 10} if changes.get("distractors") else {}  # all that are offered
            update = {
                "retrieval": found[method].retrieval.model_copy(update=changes),
                "model": found[method].model.model_copy(update=read),
            }
            assert found[f"{method}{step}"] == found[method].model_copy(update=update)


@pytest.mark.parametrize("task", ABLATED)
@pytest.mark.parametrize("ablation", ABLATIONS)
def test_an_ablation_is_laid_over_either_task(task, ablation):
    experiment, alone = shipped(task, ablation), shipped(task)
    varied = list(experiment.conditions)[1:]
    assert varied and not set(varied) & set(alone.conditions)
    conditions = [experiment.condition(name).model_dump_json() for name in varied]
    assert len(set(conditions)) == len(varied)
    assert experiment.questions == alone.questions


def test_the_resolved_config_is_a_config():
    experiment = load(conditions={"none": {}, "kformer": FFN})
    again = load_experiment(json.loads(json.dumps(experiment.model_dump(mode="json"))))
    assert again.condition("kformer") == experiment.condition("kformer")
    assert again.condition("none") == experiment.condition("none")


@pytest.mark.parametrize("module", ["kformer.study.experiment", "kformer.cli"])
def test_importing_it_imports_nothing_heavy(module):
    heavy = ["torch", "transformers", "mlflow", "matplotlib", "pandas", "scipy", "sklearn"]
    code = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


class TestSources:
    """What an experiment needs to fetch, and user data that is read in place."""

    def test_just_what_the_conditions_read_is_needed(self):
        experiment = load(
            questions={"dataset": "med_qa"},
            knowledge=["textbooks", "medquad"],
            sources={"medquad": {"url": "here.zip"}, "atomic": {"url": "unused.tgz"}},
            conditions={"none": {}, "ffn": FFN, "without": {"knowledge": ["conceptnet"]}},
        )
        assert list(experiment.needed_sources) == ["med_qa", "medquad"]
        assert experiment.needed_sources["medquad"].url == SecretAddress("here.zip")

    def test_user_data_at_an_address_is_fetched_under_its_name(self):
        experiment = load(
            questions={"dataset": "jsonl", "url": "https://example.org/q.jsonl"},
            knowledge=[{"source": "txt", "url": "books.zip", "name": "books", "sha256": "ab" * 32}],
            conditions={"none": FFN},
        )
        needed = experiment.needed_sources
        assert needed["jsonl_questions"].url == SecretAddress("https://example.org/q.jsonl")
        assert needed["books"].sha256 == "ab" * 32

    def test_user_data_at_a_path_must_be_there(self, tmp_path):
        (tmp_path / "q.csv").touch()
        load(questions={"dataset": "csv", "path": str(tmp_path / "q.csv")})
        message = refused(questions={"dataset": "csv", "path": str(tmp_path / "p.csv")})
        assert message.startswith(f"questions: path: there is nothing at {tmp_path}/p.csv; correct")

    def test_a_path_may_begin_with_the_home_folder(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        (tmp_path / "q.csv").touch()
        questions = {"dataset": "csv", "path": "~/q.csv"}
        files = Layout(load(questions=questions)).question_files
        assert files.path == tmp_path / "q.csv"
        message = refused(questions={"dataset": "csv", "path": "~/p.csv"})
        assert message.startswith("questions: path: there is nothing at ~/p.csv; correct")
        message = refused(questions={"dataset": "csv", "path": "~nobody-here/p.csv"})
        assert message == "questions.csv: path: ~nobody-here/p.csv: there is no such home folder"

    def test_two_sources_of_a_kind_need_names(self, tmp_path):
        one = {"source": "txt", "path": str(tmp_path)}
        assert "a source is given twice in txt, txt; name each" in refused(knowledge=[one, one])
        load(knowledge=[one, one | {"name": "other"}])


# --- what is refused, on one line that names the path of the key


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"baseline": "zero"}, "baseline: 'zero' is not a condition; there are none"),
        ({"seeds": [1, 2, 1]}, "seeds: the same seed is given twice"),
        ({"experiment": "shared"}, "experiment: 'shared' is taken; choose another name"),
        ({"conditions": {"none": None}}, "conditions: Value should have at least 1 item"),
        ({"questions": {"dataset": "jsonl"}}, "questions.jsonl: give either path (read in place)"),
        (
            {"knowledge": [{"source": "txt", "path": "nowhere"}]},
            "conditions.none.knowledge: path: there is nothing at nowhere;",
        ),
        (
            {"knowledge": [{"source": "txt", "path": ".", "name": "atomic"}]},
            "conditions.none: knowledge: name: atomic is taken; choose another one",
        ),
        (
            {
                "conditions": {
                    name: {"knowledge": [{"source": "txt", "url": name, "name": "books"}], **FFN}
                    for name in ("none", "other")
                }
            },
            "knowledge: two sources are called books",
        ),
        ({"sources": {"atomci": {"url": "a.tgz"}}}, "sources: 'atomci' is not a known source"),
        (
            with_condition(model=FFN["model"] | {"facts": 6}, retrieval={"top_k": 5}),
            "conditions.x: model.facts: 6 is more than retrieval.top_k: 5",
        ),
        (
            {"retrieval": {"top_k": 4}, **with_condition(**FFN)},
            "conditions.x: model.facts: 5 is more than retrieval.top_k: 4",
        ),
        (
            with_condition(answer_by="retrieval"),
            "conditions.x: answer_by: retrieval needs retrieval.query: choice",
        ),
        (
            with_condition(model={"injection": "ffn", "key_init": "encoder"}),
            "conditions.x: model.key_init: encoder is for injection: attention with fact_encoder: "
            "layers, whose slots are made of what the layer's own projections read; take identity",
        ),
        (
            with_condition(training={"lora_alpha": 8}),
            "conditions.x: training.lora_alpha: is not read without training.lora_rank",
        ),
        (
            with_condition(training={"keep_states": True}),
            "conditions.x: training.keep_states: nothing of the encoder stays the same with "
            "training.encoder_layers: all",
        ),
        (
            with_condition(model={"layers": [3, 3]}),
            "conditions.x.model.layers: [3, 3] must be [start, end]",
        ),
        (
            with_condition(**FFN, retrieval={"method": "dense", "encoder": "./nowhere"}),
            "conditions.x: retrieval.encoder: ./nowhere is no encoder folder",
        ),
        (with_condition(seeds=[1]), "conditions.x.seeds: unknown key; "),
        ({"seeds[": 1}, "seeds[: unknown key; did you mean seeds?"),
    ],
)
def test_what_cannot_be_done_is_refused(changes, said):
    assert refused(**changes).startswith(said)


@pytest.mark.parametrize(
    ("changes", "path", "suggestion"),
    [
        ({"trainning": {}}, "trainning", "training"),
        ({"training": {"learning_rte": 1}}, "training.learning_rte", "learning_rate"),
        ({"conditions": {"none": {"modle": {}}}}, "conditions.none.modle", "model"),
        (with_condition(model={"injectoin": ""}), "conditions.x.model.injectoin", "injection"),
        (
            {"questions": {"dataset": "social_iqa", "split_sed": 1}},
            "questions.social_iqa.split_sed",
            "split_seed",
        ),
    ],
)
def test_an_unknown_key_is_refused_with_a_hint_and_what_is_allowed(changes, path, suggestion):
    message = refused(**changes)
    assert message.startswith(f"{path}: unknown key; did you mean {suggestion}? allowed here: ")
    allowed = message.split("allowed here: ")[1].split(", ")
    assert allowed == sorted(allowed) and suggestion in allowed


def test_an_unknown_key_that_resembles_nothing_gets_no_hint():
    allowed = refused(questions={"dataset": "demo", "zzz": 1}).split("zzz: unknown key; ")[1]
    assert allowed.startswith("allowed here: ")
    assert "learning_rate" not in allowed  # a key of another section


def test_all_problems_are_listed():
    message = refused(training={"batch_size": 0, "foo": 1}, seeds="one")
    named = {part.split(":")[0] for part in message.split("; ")}
    assert named >= {"training.batch_size", "training.foo", "seeds"}


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"training": {"learning_rate": 0}}, "training.learning_rate"),
        ({"training": {"adam_betas": [0.9, 1.0]}}, "training.adam_betas.1"),
        ({"training": {"precision": "fp8"}}, "training.precision"),
        ({"training": []}, "training"),
        ({"model": {"layers": "top4"}}, "model.layers"),
        ({"model": {"injection": "lora"}}, "model.injection: 'lora' is no injection"),
        ({"knowledge": ["wikipedia"]}, "knowledge.0"),
        ({"questions": {"dataset": "jeopardy"}}, "questions"),
        ({"conditions": {"none": {}, "a b": {}}}, "conditions.a b"),
        ({"experiment": "../escape"}, "experiment"),
        ({"sources": {"atomic": {"sha256": "abc"}}}, "sources.atomic.sha256"),
    ],
)
def test_a_wrong_type_or_number_is_refused_with_its_path(changes, path):
    assert refused(**changes).startswith(path)


@pytest.mark.parametrize("key", ["experiment", "questions", "knowledge", "seeds", "baseline"])
def test_a_missing_key_is_named(key):
    with pytest.raises(KformerError, match=rf"^config\.yaml: {key}: Field required$"):
        load_experiment({k: v for k, v in BASE.items() if k != key}, "config.yaml")


def test_no_knowledge_is_needed_where_no_condition_uses_facts():
    assert load(knowledge=[]).needed_sources == {}
    assert load(knowledge=[], conditions={"none": {}, "ffn": FFN | {"knowledge": ["demo"]}})
    for other in (FFN, {"answer_by": "retrieval", "retrieval": {"query": "choice"}}):
        assert refused(knowledge=[], conditions={"none": {}, "other": other}) == (
            "conditions.other: knowledge: no source is given, but the condition uses facts; add one"
        )


@pytest.mark.parametrize("content", [None, [], "text"])
def test_a_config_that_is_no_mapping_is_refused(content):
    with pytest.raises(KformerError, match=r"^config\.yaml: .*$"):
        load_experiment(content, "config.yaml")


# --- conditions


class TestConditions:
    EXPERIMENT = load(
        knowledge=["demo", {"source": "atomic"}],
        retrieval={
            "top_k": 12,
            "words": {"stop_words": True},
            "match": {"relations": {"where": ["AtLocation"]}},
        },
        model={"facts": 7, "layers": [1, 3]},
        training={"learning_rate": 2e-4},
        conditions={
            "none": {},
            "left-out": None,
            "kformer": {**FFN, "retrieval": {"control": "shuffle"}},
            "other": {"knowledge": ["demo"], "training": {"batch_size": 4}, "retrieval": None},
            "nested": {"retrieval": {"words": {"stemming": True}, "match": {"mode": "boost"}}},
            "any-fact": {"model": {"facts": Model().facts}, "retrieval": {"match": None}},
        },
    )

    def test_an_empty_one_is_the_experiment_itself(self):
        condition = self.EXPERIMENT.condition("none")
        for part in ("knowledge", "retrieval", "model", "training"):
            assert getattr(condition, part) == getattr(self.EXPERIMENT, part)
        assert condition.answer_by == "model"
        assert not condition.uses_facts

    def test_one_that_is_null_is_left_out(self):
        assert "left-out" not in self.EXPERIMENT.conditions

    def test_only_what_is_overridden_changes(self):
        before = self.EXPERIMENT.model_dump()
        condition = self.EXPERIMENT.condition("kformer")
        assert condition.model == Model(injection="ffn", facts=7, layers=(1, 3))
        changed = {"control": "shuffle"}
        assert condition.retrieval == self.EXPERIMENT.retrieval.model_copy(update=changed)
        assert condition.training == Training(learning_rate=2e-4)
        assert condition.knowledge == self.EXPERIMENT.knowledge
        assert condition.uses_facts
        assert self.EXPERIMENT.model_dump() == before

    def test_knowledge_is_replaced_and_not_merged(self):
        condition = self.EXPERIMENT.condition("other")
        assert [reader.source for reader in condition.knowledge] == ["demo"]
        assert condition.training == Training(learning_rate=2e-4, batch_size=4)
        assert condition.retrieval == self.EXPERIMENT.retrieval

    def test_of_nested_sections_too_only_what_is_named_changes(self):
        found = self.EXPERIMENT.condition("nested").retrieval
        assert (found.words.stop_words, found.words.stemming) == (True, True)
        relations = {"where": ["AtLocation"]}
        assert found.match.model_dump() == {"relations": relations, "mode": "boost", "boost": 2.0}

    def test_null_and_a_value_that_equals_the_default_are_overrides_too(self):
        condition = self.EXPERIMENT.condition("any-fact")
        assert condition.retrieval.match is None
        assert condition.model.facts == Model().facts

    @pytest.mark.parametrize(
        ("condition", "uses_facts"),
        [
            ({"answer_by": "retrieval", "retrieval": {"query": "choice"}}, True),
            ({"model": {"injection": "static", "facts": 50}}, False),
        ],
    )
    def test_facts_may_be_more_than_are_retrieved_where_none_are_injected(
        self, condition, uses_facts
    ):
        experiment = load(retrieval={"top_k": 2}, **with_condition(**condition))
        assert experiment.condition("x").uses_facts == uses_facts

    def test_one_is_checked_as_a_whole_and_not_by_what_it_changes(self):
        deep = with_condition(retrieval={"method": "hybrid", "top_k": 150})
        load(retrieval={"candidates": 200}, **deep)
        message = refused(retrieval={"candidates": 120}, **deep)
        assert "candidates: 120 is less than top_k; make it larger" in message


class TestEncoders:
    @staticmethod
    def with_layers(encoder, layers, injection="ffn"):
        model = {"encoder": str(encoder), "layers": layers, "injection": injection}
        return load(**with_condition(model=model), model={"encoder": str(encoder)})

    @pytest.mark.parametrize(
        ("layers", "injection"),
        [([0, 4], "ffn"), ("top3", "ffn"), ([3, 5], "none"), ([3, 5], "concat")],
    )
    def test_layers_that_it_has_or_that_are_not_read(self, tiny_encoder, layers, injection):
        self.with_layers(tiny_encoder, layers, injection)

    @pytest.mark.parametrize("injection", ["ffn", "static"])
    def test_layers_beyond_its_depth_are_refused(self, tiny_encoder, injection):
        with pytest.raises(KformerError, match=r"^config.yaml: conditions\.x: model\.layers: .* 4"):
            self.with_layers(tiny_encoder, [3, 5], injection)

    def test_trained_layers_beyond_its_depth_are_refused(self, tiny_encoder):
        model = {"encoder": str(tiny_encoder)}
        load(training={"encoder_layers": 4}, model=model)
        with pytest.raises(KformerError, match=r"conditions\.none: training\.encoder_layers: 5 is"):
            load(training={"encoder_layers": 5}, model=model)

    def test_states_below_the_lowest_layer_are_refused(self, tiny_encoder):
        recipe = {"training": {"encoder_layers": 0, "keep_states": True}}
        model = {"encoder": str(tiny_encoder), "injection": "static"}
        load(**recipe, model=model | {"layers": [1, 2]})
        with pytest.raises(KformerError, match=r"training\.keep_states: the lowest layer"):
            load(**recipe, model=model | {"layers": "all"})

    def test_a_condition_may_change_one_setting_of_a_recipe(self):
        recipe = {"encoder_layers": 2, "lora_rank": 4}
        changed = with_condition(training={"lora_alpha": 2.0, "keep_states": True})
        load(training=recipe, **changed)

    def test_a_folder_that_is_no_encoder_is_refused(self, tmp_path):
        with pytest.raises(KformerError, match=r"^config.yaml: conditions\.none: model\.encoder: "):
            self.with_layers(tmp_path, "top3")

    def test_an_encoder_of_a_hub_is_not_fetched_to_check_it(self, tmp_path, monkeypatch):
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
        self.with_layers("roberta-base", [0, 100])

    def test_but_checked_if_it_was_fetched_before(self, tiny_encoder, tmp_path, monkeypatch):
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
        snapshot = tmp_path / "models--org--tiny/snapshots/abc"
        shutil.copytree(tiny_encoder, snapshot)
        (snapshot.parents[1] / "refs").mkdir()
        (snapshot.parents[1] / "refs/main").write_text("abc")
        self.with_layers("org/tiny", [0, 4])
        with pytest.raises(KformerError, match=r"model\.layers: .* 4 layers"):
            self.with_layers("org/tiny", [3, 5])

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ('{"model_type": "gpt2"}', "the family 'gpt2' is not supported; supported are bert, "),
            ('{"model_type": ["bert"]}', r"the family \['bert'\] is not supported"),
            ("{}", "the family None is not supported"),
            ("[]", "this is no encoder's config.json"),
            ("{", "this is no encoder's config.json"),
            ("[" * 100_000, "this is no encoder's config.json"),
            ('{"num_hidden_layers": 1000000}', "num_hidden_layers: 1,000,000 are more than any"),
        ],
    )
    def test_an_encoder_that_cannot_be_used_is_refused(self, content, said, tmp_path):
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(KformerError, match=rf"conditions\.none: model\.encoder: .*{said}"):
            self.with_layers(tmp_path, "top3")

    @pytest.mark.parametrize("content", ["{", '{"num_hidden_layers": 1000000}'])
    def test_so_is_a_sentence_encoder(self, content, tmp_path):
        (tmp_path / "config.json").write_text(content)
        dense = {"method": "dense", "encoder": str(tmp_path)}
        message = refused(**with_condition(**FFN, retrieval=dense))
        assert message.startswith(f"conditions.x: retrieval.encoder: {tmp_path}/config.json: ")

    @pytest.mark.parametrize("name", ["x" * 5000, "a/b/c", "what?", "\ud800"])
    def test_a_name_that_no_hub_can_have_is_refused(self, name):
        assert "model.encoder: " in refused(model={"encoder": name})

    def test_all_encoders_that_are_loaded_are_listed(self):
        words = with_condition(**FFN, retrieval={"method": "bm25"})
        assert load(**words).encoders == {"model": ["roberta-base"], "retrieval": []}
        dense = with_condition(
            model={"injection": "ffn", "encoder": "org/x"},
            retrieval={"method": "dense", "encoder": "org/y"},
        )
        assert load(**dense).encoders == {
            "model": ["org/x", "roberta-base"],
            "retrieval": ["org/y"],
        }

    def test_a_condition_without_a_model_needs_no_encoder(self, tmp_path):
        no_encoder = {"model": {"encoder": str(tmp_path)}}
        load(**with_condition(answer_by="retrieval", retrieval={"query": "choice"}, **no_encoder))


# --- parts of a config on the command line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not valid JSON: "),
        ("{'top_k': 3}", "not valid JSON: "),
        ('{"topk": 3}', "topk: unknown key; did you mean top_k"),
        ("[" * 100_000, "the JSON is nested too deeply"),
    ],
    ids=["empty", "no JSON", "unknown key", "deep"],
)
def test_text_that_is_no_section_is_refused(text, said):
    with pytest.raises(KformerError, match=f"^--settings: {said}.*$"):
        load_section(Retrieval, text)
