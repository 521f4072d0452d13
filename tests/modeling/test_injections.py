"""What each injection reads, and injections that other packages bring along."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from kformer.errors import KformerError
from kformer.evaluation.predict import predict
from kformer.io.tables import read_rows
from kformer.io.training_summary import TrainingSummary
from kformer.modeling import KformerForMultipleChoice, KformerProcessor
from kformer.modeling.injections import INJECTION_SETTINGS, INJECTIONS, find_injection, origin_of
from kformer.modeling.pretrained import load_tokenizer
from kformer.modeling.settings import Model
from kformer.study.stage_versions import VERSIONS, train_version
from kformer.training.run import train, training_lock
from kformer.training.settings import Training, TrainSettings

CHANGES = [{"layers": "bottom3"}, {"facts": 2}, {"key_init": "identity"}, {"key_scale": 2.0}]
CHANGES += [{"fact_encoder": "layers"}, {"match": "cosine"}, {"scores_in_keys": True}]
CHANGES += [{"filter": "retrieval", "facts": 2}]
CHANGES += [{"value_init": "identity"}, {"value_scale": 2.0}, {"max_fact_tokens": 2}]
CHANGES += [{f"{part}_init": "identity", f"{part}_scale": 2.0} for part in ("key", "value")]
SCORES = [5.0, 3.0, 2.0, 1.0, 0.5]
METHOD = "class Method(Injection)"


@pytest.fixture
def device():
    """Of these tests those that compute train a model, which finds a GPU by itself."""
    return "cpu"


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs a package of one file that names an injection, as a wheel would."""

    def package(name, value, file=None, number=1):
        site = tmp_path / f"site-{number}"
        info = site / f"outside{number}-1.0.dist-info"
        info.mkdir(parents=True)
        about = f"Metadata-Version: 2.1\nName: outside{number}\nVersion: 1.0"
        (info / "METADATA").write_text(about)
        (info / "entry_points.txt").write_text(f"[kformer.injections]\n{name} = {value}\n")
        if file:
            shutil.copy(file, site)
        monkeypatch.syspath_prepend(str(site))

    yield package
    for name in ("gated_injection", "outside"):
        sys.modules.pop(name, None)


@pytest.fixture
def module(tmp_path):
    """Writes the code of the module ``outside``."""

    def write(code):
        file = tmp_path / "outside.py"
        file.write_text(f"from kformer.modeling.injections import Injection\n{code}\n")
        return file

    return write


# --- what is read


def computed(settings):
    """The weights at the start, the input of a question, and its logits after a little noise."""
    torch.manual_seed(0)
    fields = settings.model_dump(exclude={"encoder"})
    model = KformerForMultipleChoice.from_encoder(settings.encoder, **fields).eval()
    processor = KformerProcessor(load_tokenizer(settings.encoder), model.config)
    facts = ["the pet of abc", "d e f", "the job", "food", "of of of of"]
    batch = processor.collate([processor("who", "what", ["a", "b"], facts, SCORES)])
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        for parameter in model.parameters():  # what starts at zero must count, too
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
        logits = model(**batch).logits
    return weights | {"input_ids": batch["input_ids"], "logits": logits}


def are_same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("injection", INJECTIONS)
def test_a_setting_is_relevant_if_it_changes_what_is_computed(injection, tiny_encoder):
    def settings(change):
        return Model(encoder=str(tiny_encoder), injection=injection, **change)

    for change in CHANGES:
        of_both = {
            name: change[name] for name in change if name.endswith("init") or name == "facts"
        }
        base = settings(of_both if len(change) == 2 else {})
        changed = settings(change)
        same = base.relevant_settings() == changed.relevant_settings()
        assert are_same(computed(base), computed(changed)) == same, change


def test_general_settings_are_always_relevant():
    general = Model.model_fields.keys() - INJECTION_SETTINGS
    assert all(Model(injection=name).relevant_settings().keys() >= general for name in INJECTIONS)


def test_a_config_needs_neither_torch_nor_transformers():
    read = "s.Model(injection='ffn').relevant_settings()"
    check = "assert not {'torch', 'transformers'} & sys.modules.keys()"
    read += "; from kformer.study.stage_versions import train_version; train_version('ffn')"
    code = f"import sys, kformer.modeling.settings as s; {read}; {check}"
    subprocess.run([sys.executable, "-c", code], check=True)


# --- other packages


def test_an_injection_of_another_package_is_trained_and_predicts(
    install, tiny_encoder, tiny_tables, tiny_tokens, tmp_path
):
    file = Path(__file__).with_name("gated_injection.py")
    install("gated", "gated_injection:GatedInjection", file)
    model = Model(encoder=str(tiny_encoder), injection="gated", max_tokens=64, facts=2)
    as_ffn = Model(**model.model_dump() | {"injection": "ffn"})
    assert model.relevant_settings() == as_ffn.relevant_settings() | {"injection": "gated"}

    questions, facts = tiny_tokens
    knowledge = (facts, tiny_tables / "question.parquet")
    training = Training(max_steps=2, evaluations=1, warmup_steps=0, learning_rate=0.01)
    settings = TrainSettings(model=model, training=training)
    out, steps = tmp_path / "gated" / "seed-1", []

    log = SimpleNamespace(log=lambda _, step: steps.append(step), flush=lambda: None)
    checkpoints, version = tmp_path / "checkpoints", train_version("gated")
    with training_lock(out, checkpoints) as lock:
        train(settings, 1, questions, knowledge, out, checkpoints, lock, log, version)
    assert TrainingSummary.read(out / "training.json").version == train_version("gated")
    assert max(steps) == 2
    weights = load_file(out / "model" / "model.safetensors")
    gates = [value for name, value in weights.items() if name.endswith(".gate")]
    assert len(gates) == 3 and all(0 < gate.abs() < 0.1 for gate in gates)  # closed at first
    predict(out, questions, knowledge, out / "predictions.parquet")
    rows = list(read_rows(out / "predictions.parquet", "predictions"))
    assert len(rows) == 24 and all(len(ids) == 2 for row in rows for ids in row["fact_ids"])


def test_an_unknown_name_is_refused_with_the_known_ones(install):
    install("gated", "gated_injection:GatedInjection")
    with pytest.raises(ValidationError, match=r"no injection; did you mean 'gated'.*'ffn'"):
        Model(injection="gate")


@pytest.mark.parametrize(
    ("code", "value", "reason"),
    [
        (None, "nowhere:Injection", "nowhere"),
        (None, "shutil:Missing", "Missing"),
        (None, "no entry point", "cannot be loaded"),
        ("raise RuntimeError('one\\ntwo')", "outside:Method", r"\(RuntimeError: one two\)"),
        ("raise SystemExit(3)", "outside:Method", r"\(SystemExit: 3\)"),
        ("class", "outside:Method", "SyntaxError"),
        (None, "shutil:copy", "no subclass of kformer.modeling.injections.Injection"),
        (None, "pathlib:Path", "no subclass"),
        (f"{METHOD}: fact_input = 'facts'", "outside:Method", "fact_input 'facts'; it must be one"),
    ],
)
def test_an_entry_point_that_leads_to_no_injection_is_named(code, value, reason, install, module):
    install("broken", value, code and module(code))
    with pytest.raises(KformerError, match=f"'broken': {value} of the .* outside1 1.0") as caught:
        find_injection("broken")
    assert re.search(reason, str(caught.value))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("read", ["{'layers', 'gates'}", "['layers']", "None"])
def test_an_injection_that_reads_no_known_settings_is_refused(read, install, module):
    install("broken", "outside:Method", module(f"{METHOD}: reads = lambda settings: {read}"))
    with pytest.raises(ValidationError, match=r"outside1 1\.0 reads .*a set of fact_encoder"):
        Model(injection="broken")


def test_a_name_is_not_given_twice(install):
    for number in (1, 2):
        install("twice", f"package{number}:Injection", number=number)
    install("ffn", "package3:Injection", number=3)
    with pytest.raises(KformerError, match=r"package1:Injection.* and package2:Injection"):
        find_injection("twice")
    with pytest.raises(KformerError, match=r"'ffn' is .*kformer, and package3:Injection.*outside3"):
        find_injection("ffn")


def test_the_origin_of_an_injection_changes_with_its_code(install, module):
    file = module(f"{METHOD}: pass")
    install("mine", "outside:Method", file)
    package, version, code = origin_of("mine").split()
    assert (package, version) == ("outside1", "1.0")
    installed = Path(sys.modules["outside"].__file__)
    installed.write_text(f"{METHOD}: has_slots = True")  # as in an editable package
    assert origin_of("mine").split()[:2] == [package, version]
    assert origin_of("mine").split()[2] != code
    assert origin_of("ffn") is None
    assert train_version("ffn") == str(VERSIONS["train"])
    assert train_version("mine") == f"{VERSIONS['train']} {origin_of('mine')}"


def test_the_schema_does_not_depend_on_what_is_installed(install):
    before = Model.model_json_schema()
    install("mine", "outside:Method")
    assert Model.model_json_schema() == before
    names = before["properties"]["injection"]["anyOf"]
    assert names == [{"enum": list(INJECTIONS), "type": "string"}, {"type": "string"}]
