"""What of a model is trained, at which rate, and that LoRA ends as a plain model."""

from types import SimpleNamespace

import pytest
import torch
from transformers import Trainer, TrainingArguments
from transformers.optimization import get_linear_schedule_with_warmup

from kformer.errors import KformerError
from kformer.modeling import KformerConfig, KformerForMultipleChoice
from kformer.modeling.settings import Model
from kformer.training.preparation import build_model
from kformer.training.recipe import Recipe
from kformer.training.settings import Training, TrainSettings

from ..modeling.conftest import FACTS, FAMILIES, INPUTS, encoder_config, to_tensors
from .conftest import Killed, assert_same_weights, of_steps, weights

DEPTH = 4
METHODS = ["none", "ffn", "attention", "static"]

every_family = pytest.mark.parametrize("family", FAMILIES)
every_method = pytest.mark.parametrize("method", METHODS)


def prepared(method="none", family="bert", **training):
    """A tiny model in training mode, prepared by a recipe, and the recipe."""
    torch.manual_seed(0)
    config = KformerConfig(
        encoder=encoder_config(family), injection=method, injection_layers=(1, 3), facts=3
    )
    model = KformerForMultipleChoice(config)
    settings = Model(injection=method, layers=(1, 3))
    recipe = Recipe(model, TrainSettings(model=settings, training=Training(**training)))
    return model.train(), recipe


def tensors():
    return to_tensors(INPUTS, FACTS, filler=1)


def names_with_gradients(model):
    model(**tensors(), labels=torch.tensor([0, 2])).loss.backward()
    return {name for name, each in model.named_parameters() if each.grad is not None}


def names_in(model, modules):
    wanted = {id(parameter) for module in modules for parameter in module.parameters()}
    return {name for name, each in model.named_parameters() if id(each) in wanted}


def outside_encoder(model):
    return {name for name, _ in model.named_parameters() if not name.startswith("encoder.")}


# --- layers


@every_family
@every_method
@pytest.mark.parametrize("trained", [0, 1, 4])
def test_the_top_layers_are_trained_and_nothing_below_them(family, method, trained):
    model, recipe = prepared(method, family, encoder_layers=trained)
    layers = model.adapter.layers_of(model.encoder)
    above = model.adapter.modules_above(model.encoder) if trained else []
    expected = names_in(model, [*layers[DEPTH - trained :], *above]) | outside_encoder(model)
    assert names_with_gradients(model) == expected
    assert recipe.trained_parameters == sum(
        each.numel() for name, each in model.named_parameters() if name in expected
    )


@every_family
def test_frozen_layers_have_no_dropout_and_draw_no_random_number(family):
    model, _ = prepared("none", family, encoder_layers=1)
    entering = []
    model.adapter.layers_of(model.encoder)[3].register_forward_pre_hook(
        lambda _, args: entering.append((args[0], torch.get_rng_state()))
    )
    for seed in (1, 2):
        torch.manual_seed(seed)
        drawn = torch.get_rng_state()
        model.train()
        model(**tensors())
        assert torch.equal(entering[-1][1], drawn)
    (first, _), (second, _) = entering
    assert torch.equal(first, second) and not first.requires_grad
    assert not torch.equal(model(**tensors()).logits, model(**tensors()).logits)  # above there is


def test_gradients_flow_through_frozen_layers_that_facts_go_into():
    model, recipe = prepared("ffn", encoder_layers=1)
    assert recipe.lowest_changing == 1
    first = model.injection.layers[0]
    names_with_gradients(model)
    assert all(parameter.grad.abs().sum() > 0 for parameter in first.parameters())


def test_frozen_layers_above_an_injection_are_checkpointed():
    """With the same gradients: they have no dropout, also when they are computed again."""

    def gradients(checkpointed):
        model, _ = prepared("ffn", encoder_layers=0)
        runs = []
        site = model.adapter.sites(model.encoder)[3].feed_forward_in
        site.register_forward_pre_hook(lambda *_: runs.append(1))
        if checkpointed:
            model.activation_checkpointing_enable()
        names_with_gradients(model)
        assert len(runs) == (2 if checkpointed else 1)
        return {name: each.grad for name, each in model.named_parameters() if each.requires_grad}

    expected, found = gradients(checkpointed=False), gradients(checkpointed=True)
    torch.testing.assert_close(found, expected)


def test_more_layers_than_there_are_are_refused():
    with pytest.raises(KformerError, match=r"^training.encoder_layers: 5 .* 4 layers; .* 0 to 4"):
        prepared(encoder_layers=5)


# --- what can be kept


@pytest.mark.parametrize(
    ("method", "trained", "lowest"), [("none", 0, 4), ("none", 3, 1), ("ffn", 0, 1), ("ffn", 4, 0)]
)
def test_states_stay_the_same_up_to_the_lowest_layer_that_changes(method, trained, lowest):
    assert prepared(method, encoder_layers=trained)[1].lowest_changing == lowest


def test_states_that_are_not_there_cannot_be_kept():
    with pytest.raises(KformerError, match=r"^training.keep_states: the lowest layer is trained"):
        prepared(encoder_layers=4, keep_states=True)


def test_nor_those_of_an_injection_that_names_no_layers(monkeypatch):
    monkeypatch.setattr("kformer.modeling.injections.StaticInjection.has_slots", False)
    with pytest.raises(KformerError, match="static does not say which layers it changes"):
        prepared("static", encoder_layers=1, keep_states=True)


@pytest.mark.parametrize(
    ("training", "said"),
    [
        ({"lora_alpha": 8}, "lora_alpha: is not read"),
        ({"lora_rank": 4, "encoder_layers": 0}, "lora_rank: there is no layer for it"),
        ({"keep_states": True}, "keep_states: nothing of the encoder stays the same"),
    ],
)
def test_settings_that_exclude_each_other_are_refused(training, said):
    with pytest.raises(ValueError, match=f"training.{said}"):
        TrainSettings(model=Model(), training=Training(**training))


@pytest.mark.parametrize(
    "change",
    [
        {"encoder_layers": 3},
        {"keep_states": True},
        {"lora_rank": 4},
        {"lora_alpha": 4.0},
        {"injection_learning_rate": 1e-3},
    ],
)
def test_a_run_depends_on_its_recipe(change):
    assert Training(**change).relevant_settings() != Training().relevant_settings()


# --- LoRA


@every_family
@every_method
def test_lora_changes_nothing_at_first_and_is_merged_in_the_end(family, method):
    model, _ = prepared(method, family)
    names = list(model.state_dict())

    def outputs():
        with torch.no_grad():
            return model.eval()(**tensors(), output_facts=True)

    before = outputs()
    settings = TrainSettings(model=Model(injection=method), training=Training(lora_rank=2))
    recipe = Recipe(model, settings)
    added = outputs()
    for name, value in before.items():
        assert torch.equal(added[name], value), name
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.add_(torch.randn_like(parameter), alpha=0.3)
    trained = outputs()
    recipe.merge()
    merged = outputs()
    assert not torch.allclose(trained.logits, before.logits, atol=1e-4)
    for name, value in trained.items():
        torch.testing.assert_close(merged[name], value, atol=1e-5, rtol=1e-4)
    assert list(model.state_dict()) == names


@every_family
@pytest.mark.parametrize("layers", ["all", 1])
def test_lora_is_all_that_is_trained_of_the_encoder(family, layers):
    model, recipe = prepared("ffn", family, lora_rank=2, encoder_layers=layers)
    trained = names_with_gradients(model)
    of_lora = {name for name in trained if "lora_" in name}
    assert trained - of_lora == outside_encoder(model)
    linear = [
        module
        for layer in model.adapter.layers_of(model.encoder)[0 if layers == "all" else 3 :]
        for module in layer.modules()
        if hasattr(module, "base_layer")
    ]
    assert len(of_lora) == 2 * len(linear) > 0
    assert all({*each.scaling.values()} == {2.0} for each in linear)
    assert recipe.lowest_changing == (0 if layers == "all" else 1)


# --- rates


def optimizer_of(recipe, model, **training):
    settings = Training(**training)
    decayed = Trainer.get_decay_parameter_names(SimpleNamespace(), model)
    groups = recipe.parameter_groups(decayed)
    return torch.optim.AdamW(groups, lr=settings.learning_rate), groups


def test_all_parameters_have_the_weight_decay_that_trainer_gives_them(tmp_path):
    model, recipe = prepared("ffn", weight_decay=0.1)
    arguments = TrainingArguments(str(tmp_path), weight_decay=0.1, report_to="none", use_cpu=True)
    expected = Trainer(model, arguments).create_optimizer().param_groups
    _, groups = optimizer_of(recipe, model)

    def decays(groups):
        return {id(each): group["weight_decay"] for group in groups for each in group["params"]}

    assert decays(groups) == decays(expected)
    assert {group["lr"] for group in groups} == {1e-5}
    assert set(decays(groups).values()) == {0.0, 0.1}


def test_injection_and_fact_embeddings_have_their_own_rate_and_the_same_schedule():
    rates = {"learning_rate": 1e-4, "injection_learning_rate": 1e-2}
    model, recipe = prepared("ffn", **rates)
    model.fact_embeddings.train_only([31, 32])
    optimizer, groups = optimizer_of(recipe, model, **rates)
    names = {id(each): name for name, each in model.named_parameters()}
    fast = {names[id(each)] for group in groups if group["lr"] == 1e-2 for each in group["params"]}
    assert fast == {name for name in names.values() if name.startswith(("injection.", "fact_"))} - {
        "fact_embeddings.weight"
    }
    schedule = get_linear_schedule_with_warmup(optimizer, 4, 8)
    for step in range(8):
        share = step / 4 if step < 4 else (8 - step) / 4
        assert schedule.get_last_lr() == pytest.approx(
            [1e-4 * share, 1e-4 * share, 1e-2 * share, 1e-2 * share]
        )
        optimizer.step()
        schedule.step()


# --- whole runs


@pytest.mark.parametrize("recipe", [{"encoder_layers": 1}, {"lora_rank": 2}])
def test_a_run_changes_what_it_trains_and_counts_it(recipe, settings, run):
    done = run(settings("ffn", **recipe))
    before, after = build_model(settings("ffn").model).state_dict(), weights(done.out)
    assert before.keys() == after.keys()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    of_encoder = {name for name in changed if name.startswith("encoder.")}
    if "lora_rank" in recipe:
        expected = {
            f"encoder.encoder.layer.{layer}.{part}.weight"
            for layer in range(4)
            for part in [
                *(f"attention.self.{name}" for name in ("query", "key", "value")),
                *("attention.output.dense", "intermediate.dense", "output.dense"),
            ]
        }
        assert of_encoder == expected
    else:
        assert of_encoder == {name for name in after if name.startswith("encoder.encoder.layer.3.")}
    assert 0 < done.summary["trained_parameters"] < done.summary["parameters"]
    assert "parameters" in done.summary and not any("lora" in name for name in after)


def test_what_a_full_run_trains_is_counted(whole_run):
    summary = whole_run("none").summary
    unused = summary["parameters"] - summary["trained_parameters"]
    assert unused > 0 and unused % 32 == 0  # rows of words that no training text has


@pytest.mark.parametrize(
    "recipe",
    [
        {"lora_rank": 2},
        {"lora_rank": 2, "encoder_layers": 2, "gradient_checkpointing": True},
        {"encoder_layers": 1, "injection_learning_rate": 1e-2},
    ],
)
def test_a_killed_run_resumes_as_if_nothing_had_happened(recipe, settings, run):
    def kill(metrics, step):
        if step == 6 and "validation_accuracy" in metrics:
            raise Killed

    whole = run(settings("ffn", **recipe), "whole")
    with pytest.raises(Killed):
        run(settings("ffn", **recipe), "killed", log=kill)
    resumed = run(settings("ffn", **recipe), "killed")
    for metric in ("train_loss", "learning_rate", "validation_accuracy", "validation_loss"):
        expected = of_steps(whole.logged, metric)
        assert of_steps(resumed.logged, metric) == {
            step: value for step, value in expected.items() if step > 4
        }
    assert_same_weights(weights(resumed.out), weights(whole.out))
    for key in ("steps", "best_validation_accuracy", "best_step", "trained_parameters"):
        assert resumed.summary[key] == whole.summary[key]


def test_the_rate_of_the_encoder_is_the_one_that_is_logged(settings, run, whole_run):
    rates = of_steps(run(settings("ffn", injection_learning_rate=0.5)).logged, "learning_rate")
    assert rates == of_steps(whole_run("ffn").logged, "learning_rate")
