"""The files of an experiment: which there are, what they depend on, and where they lie."""

import copy
import json
import os
from pathlib import Path

import pytest

from kformer.study import paths, stage_versions
from kformer.study.experiment import load_experiment
from kformer.study.layout import Layout
from kformer.study.stage_versions import VERSIONS, key_of

from .conftest import STUDY

FFN = {"model": {"injection": "ffn"}}
SHUFFLED = {**FFN, "retrieval": {"control": "shuffle"}}
BASE = {
    **STUDY,
    "conditions": {
        "none": {},
        "ffn": FFN,
        "shuffled": SHUFFLED,
        "untrained": {"answer_by": "retrieval", "retrieval": {"query": "choice"}},
    },
}


def study(**changes) -> Layout:
    return Layout(load_experiment({**copy.deepcopy(BASE), **changes}))


def all_keys(of: Layout) -> set[str]:
    return {of.questions_key, *of.facts, *of.indexes, *of.retrievals, *of.tokens}


class TestWhichFilesThereAre:
    def test_a_run_for_each_seed_and_one_where_nothing_is_trained(self):
        runs = [(run.condition, run.seed) for run in study().runs]
        trained = [(name, seed) for name in ("none", "ffn", "shuffled") for seed in (1, 2)]
        assert runs == [*trained, ("untrained", None)]

    @pytest.mark.parametrize("questions", [5, 0])
    def test_a_table_of_the_use_of_facts_for_each_run_that_reads_some(self, questions):
        found = study(evaluation={"use_of_facts_questions": questions})
        reading = {run.title for run in found.runs if run.use_of_facts in found.outputs(run)}
        trained = {f"{name} seed-{seed}" for name in ("ffn", "shuffled") for seed in (1, 2)}
        assert reading == (trained if questions else set())

    def test_a_retrieval_for_each_way_to_retrieve(self):
        found = study()
        assert list(found.retrieval_of) == ["ffn", "shuffled", "untrained"]
        assert len(found.retrievals) == 2  # the control shuffles what ffn retrieves
        assert len(found.facts) == len(found.indexes) == 1

    def test_who_allows_less_to_find_nothing_does_not_take_the_table_of_who_allows_more(self):
        conditions = {
            name: {**FFN, "retrieval": {"max_without_facts": share}}
            for name, share in {"a": 1.0, "b": 0.25}.items()
        }
        found = study(conditions={"none": {}, **conditions}).retrievals.values()
        assert [each.settings.max_without_facts for each in found] == [1.0, 0.25]

    def test_nothing_is_retrieved_where_no_condition_uses_facts(self):
        found = study(conditions={"none": {}, "static": {"model": {"injection": "static"}}})
        assert not (found.retrievals or found.facts or found.indexes)
        assert found.tables_of_facts("none") == found.tables_of_facts("static") == {}

    def test_training_depends_on_all_that_it_is_started_with_but_how_often_it_is_saved(self):
        found = study(training={"checkpoint_minutes": 3, "batch_size": 8})
        depends, given = found.train_settings("none"), found.train_options("none")
        assert depends["model"] == given["model"]
        assert given["training"] == {
            **depends["training"],
            "checkpoint_minutes": 3,
            "keep_models": "all",
        }
        assert depends["training"]["batch_size"] == 8
        assert depends == study(training={"batch_size": 8}).train_settings("none")

    def test_each_control_reads_a_table_of_its_own_of_the_same_retrieval(self):
        random = {**FFN, "retrieval": {"control": "random"}}
        found = study(conditions={**BASE["conditions"], "random": random})
        conditions = {name: found.tables_of_facts(name) for name in ("ffn", "shuffled", "random")}
        assert len({tables["facts"] for tables in conditions.values()}) == 1
        assert len({tables["retrieval"].parent for tables in conditions.values()}) == 1
        assert len({tables["retrieval"] for tables in conditions.values()}) == 3

    def test_all_runs_of_an_encoder_share_two_tables_of_tokens(self):
        limits = {"facts": 9, "max_tokens": 64, "max_fact_tokens": 7}
        methods = ("concat", "attention", "static", "ffn")
        conditions = {name: {"model": {"injection": name, **limits}} for name in methods} | BASE[
            "conditions"
        ]
        found = study(conditions=conditions)
        assert {each.table for each in found.tokens.values()} == {
            found.questions,
            *map(paths.facts_table, found.facts),
        }
        plain, control = found.tables_of_training("none"), found.tables_of_training("shuffled")
        assert list(plain) == ["question_tokens"] == list(found.tables_of_training("static"))
        assert list(control) == ["question_tokens", "fact_tokens", "retrieval"]
        assert control["question_tokens"] == plain["question_tokens"]
        assert control["retrieval"] == found.tables_of_facts("shuffled")["retrieval"]
        assert "untrained" not in found.tokens_of

    def test_each_encoder_and_each_facts_table_has_tokens_of_its_own(self):
        mine = {"model": {"injection": "ffn", "encoder": "somebody/tiny"}}
        found = study(conditions={**BASE["conditions"], "mine": mine})
        assert len(found.tokens) == 4
        encoders = {each.encoder for each in found.tokens_of["mine"].values()}
        assert encoders == {"somebody/tiny"}
        first = found.tables_of_training("ffn")
        for name, table in found.tables_of_training("mine").items():
            assert (table == first[name]) == (name == "retrieval")

    def test_events_are_indexed_instead_of_facts(self):
        found = study(retrieval={"events": 5})
        documents = {index.documents.name for index in found.indexes.values()}
        assert documents == {f"events-{key_of('events')}.parquet"}

    @pytest.mark.parametrize(
        ("method", "kinds"),
        [
            ("bm25", ["words"]),
            ("rank_bm25", []),
            ("dense", ["embeddings"]),
            ("hybrid", ["words", "embeddings"]),
        ],
    )
    def test_a_method_has_the_indexes_that_it_searches(self, method, kinds):
        found = study(retrieval={"method": method})
        assert [key.split("-")[0] for key in found.indexes] == kinds


class TestWhatFilesDependOn:
    @pytest.mark.parametrize(
        "changes",
        [
            {"experiment": "other"},
            {"seeds": [3]},
            {"training": {"batch_size": 4}},
            {"tracking": {"uri": "http://127.0.0.1:5000"}},
            {"retrieval": {"encoder": "roberta-base"}},  # which bm25 does not read
        ],
    )
    def test_what_data_does_not_depend_on_changes_no_key(self, changes):
        assert all_keys(study(**changes)) == all_keys(study())

    @pytest.mark.parametrize(
        ("changes", "same"),
        [
            ({"demo_world": {"seed": 8}}, set()),
            ({"retrieval": {"top_k": 9}}, {"questions", "facts", "tokens", "indexes"}),
            ({"retrieval": {"words": {"stemming": True}}}, {"questions", "facts", "tokens"}),
            (
                {"model": {"encoder": "somebody/tiny"}},
                {"questions", "facts", "indexes", "retrievals"},
            ),
        ],
    )
    def test_a_change_reaches_just_what_depends_on_it(self, changes, same):
        before, after = study(), study(**changes)
        parts = {
            "questions": lambda of: of.questions_key,
            "facts": lambda of: set(of.facts),
            "tokens": lambda of: set(of.tokens),
            "indexes": lambda of: set(of.indexes),
            "retrievals": lambda of: set(of.retrievals),
        }
        assert {name for name, part in parts.items() if part(before) == part(after)} == same

    @pytest.mark.parametrize(
        ("stage", "reached"),
        [
            ("demo_world", {"questions", "facts", "tokens", "index", "retrieval"}),
            ("questions", {"questions", "tokens", "retrieval"}),
            ("facts", {"facts", "tokens", "index", "retrieval"}),
            ("featurize", {"tokens"}),
            ("index_words", {"index", "retrieval"}),
            ("retrieve", {"retrieval"}),
            ("index_embeddings", set()),
        ],
    )
    def test_another_version_of_a_stage_reaches_all_that_comes_of_it(
        self, monkeypatch, stage, reached
    ):
        def by_kind():
            found = study()
            return {
                "questions": {found.questions_key},
                "facts": set(found.facts),
                "tokens": set(found.tokens),
                "index": set(found.indexes),
                "retrieval": set(found.retrievals),
            }

        before = by_kind()
        monkeypatch.setitem(stage_versions.VERSIONS, stage, VERSIONS[stage] + 1)
        after = by_kind()
        assert {kind for kind in before if before[kind] != after[kind]} == reached

    def test_an_index_of_events_depends_on_how_they_are_listed(self, monkeypatch):
        before = set(study(retrieval={"events": 5}).indexes)
        monkeypatch.setitem(stage_versions.VERSIONS, "events", VERSIONS["events"] + 1)
        assert set(study(retrieval={"events": 5}).indexes) != before

    def test_user_files_are_followed_by_their_content(self, tmp_path):
        (tmp_path / "q.jsonl").write_text("{}")
        (tmp_path / ".hidden").write_text("{}")

        def files():
            return study(questions={"dataset": "jsonl", "path": str(tmp_path)}).question_files

        before = files()
        assert before.in_place
        os.utime(tmp_path / "q.jsonl", (1, 1))
        (tmp_path / ".hidden").write_text("{ }")
        assert files() == before
        (tmp_path / "q.jsonl").write_text("{ }")
        assert files().key != before.key

    def test_an_index_of_embeddings_depends_on_the_content_of_a_local_encoder(self, tiny_encoder):
        def indexes(method):
            settings = {"method": method, "encoder": str(tiny_encoder)}
            return set(study(retrieval=settings).indexes)

        before, of_words = indexes("dense"), indexes("bm25")
        weights = tiny_encoder / "model.safetensors"
        kept = weights.read_bytes()
        try:
            weights.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
            assert indexes("dense").isdisjoint(before)
            assert indexes("bm25") == of_words
        finally:
            weights.write_bytes(kept)

    def test_a_source_is_named_by_its_checksum(self):
        found = study(questions={"dataset": "med_qa"})
        assert found.question_files.path == Path("resources/med_qa-1c2ca8130b3d")
        assert found.question_files.planned_content == "-"


class TestWhereFilesLie:
    def test_what_experiments_share_is_outside_of_their_folders(self):
        found = study()
        assert found.questions.parts[:3] == ("results", "shared", "questions")
        assert found.run("ffn", 1).predictions == Path(
            "results/study/runs/ffn/seed-1/predictions.parquet"
        )
        assert found.comparison.numbers == Path("results/study/comparison.json")

    def test_a_path_takes_a_wildcard_for_a_key(self):
        assert str(paths.facts_table("{key}")) == "results/shared/facts/{key}/facts.parquet"
        seed = study().run("{condition}", "{seed}").summary
        assert str(seed) == "results/study/runs/{condition}/seed-{seed}/training.json"

    def test_unfinished_training_lies_outside_of_the_run(self):
        found = study()
        assert found.run("ffn", 1).path not in found.checkpoints("ffn", 1).parents


class TestEnvironment:
    @pytest.fixture(autouse=True)
    def shell(self, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
        return monkeypatch

    @staticmethod
    def tracking(**changes):
        environment = study(**changes).environment
        return environment["MLFLOW_TRACKING_URI"], environment["MLFLOW_EXPERIMENT_NAME"]

    def test_by_default_runs_go_to_one_file(self, tmp_path):
        assert self.tracking() == (f"sqlite:///{tmp_path}/results/mlflow.db", "study")

    def test_in_a_folder_that_no_address_can_name_it_is_found_from_there(self, tmp_path, shell):
        (tmp_path / "why?").mkdir()
        shell.chdir(tmp_path / "why?")
        assert self.tracking() == ("sqlite:///results/mlflow.db", "study")

    def test_the_shells_address_counts_where_the_config_has_none(self, shell):
        shell.setenv("MLFLOW_TRACKING_URI", "http://me:pw@host:5000")
        assert self.tracking() == ("http://me:pw@host:5000", "study")
        shell.setenv("MLFLOW_EXPERIMENT_NAME", "ours")
        assert self.tracking() == ("http://me:pw@host:5000", "ours")
        assert self.tracking(tracking={"uri": "http://a:b@c"}) == ("http://a:b@c", "study")

    def test_an_empty_variable_is_none(self, shell, tmp_path):
        shell.setenv("MLFLOW_TRACKING_URI", "")
        shell.setenv("MLFLOW_EXPERIMENT_NAME", "")
        assert self.tracking() == (f"sqlite:///{tmp_path}/results/mlflow.db", "study")

    def test_fetching_gets_whole_addresses_and_nothing_else_does(self):
        url = "https://me:hidden@host/q.jsonl?token=hidden"
        found = study(
            questions={"dataset": "jsonl", "url": url}, tracking={"uri": "http://a:hidden@b"}
        )
        sources = json.loads(found.environment["KFORMER_SOURCES"])
        assert sources["jsonl_questions"]["url"] == url
        assert "hidden" not in repr(found.experiment)
        assert "hidden" not in found.experiment.model_dump_json()

    def test_just_another_password_changes_no_key(self):
        keys = [
            all_keys(study(questions={"dataset": "jsonl", "url": f"https://me:{password}@host/q"}))
            for password in ("one", "two")
        ]
        assert keys[0] == keys[1]


class TestKeys:
    def test_equal_settings_have_equal_keys_however_they_are_written(self):
        experiment = study().experiment
        settings = experiment.retrieval.model_dump(mode="json")
        turned = dict(reversed(settings.items()))
        assert key_of("retrieve", experiment.retrieval) == key_of("retrieve", turned)

    def test_other_parts_or_another_stage_give_another_key(self):
        found = {
            key_of("retrieve", "a", "b"),
            key_of("retrieve", "b", "a"),
            key_of("facts", "a", "b"),
        }
        assert len(found) == 3
        assert all(key.isalnum() and len(key) == 10 for key in found)

    def test_a_key_is_the_same_tomorrow(self, monkeypatch):
        # Finished files are found by it: a change here makes everything anew everywhere.
        monkeypatch.setitem(stage_versions.VERSIONS, "facts", 1)
        assert key_of("facts", {"top_k": 30, "method": "bm25"}, "demo", None) == "7d4019da94"
