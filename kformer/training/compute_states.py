"""Computing once what the frozen layers of an encoder make of each input.

All runs that need the same states share them, whatever their seed and what they inject above.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from kformer.compute_precision import precision_of
from kformer.encoder_weights import checksum_of_weights
from kformer.errors import KformerError, listed
from kformer.io.table_schemas import ALL_SPLITS
from kformer.modeling import KformerForMultipleChoice, KformerProcessor
from kformer.modeling.kept_states import states_below
from kformer.modeling.pretrained import load_tokenizer
from kformer.modeling.question_features import Example, TokenisedQuestions
from kformer.modeling.state_store import StatesOrigin, write_states
from kformer.progress import track
from kformer.training.passes import split
from kformer.training.preparation import build_model
from kformer.training.settings import TrainSettings

_TOKENS_AT_ONCE = 8192  # padding included


def compute_states(
    settings: TrainSettings, questions: Path, knowledge: tuple[Path, Path] | None, out: Path
) -> dict[str, float]:
    """Writes the states that enter the lowest layer that is trained or injected into.

    Those of the questions of all splits are computed, without dropout, in the precision that the
    run computes in.

    Args:
        settings: of any run that will read them.
        questions: the tokens of the questions, see `kformer.modeling.featurize`.
        knowledge: the tokens of the facts, and the retrieval table; only read where facts are a
            part of the input.
        out: the folder to write.

    Returns:
        how many questions, inputs and tokens there are, and the size of the states.

    Raises:
        KformerError: encoder missing, layers out of range, tables that do not fit together, states
            that are not finite, or no room for them.
    """
    model = _plain_model(settings)
    processor = KformerProcessor(load_tokenizer(settings.model.encoder), model.config)
    tokenised = TokenisedQuestions(
        processor, questions, knowledge if processor.facts_as_text else None
    )
    examples: list[Example] = []
    for name in ALL_SPLITS:
        limit = settings.training.max_train_questions if name == "train" else None
        of_split = tokenised.split(name, limit)
        examples += (of_split[index] for index in range(len(of_split)))
    torch.nn.Module.to(model, torch.accelerator.current_accelerator() or "cpu")
    origin = StatesOrigin.of(
        model,
        settings.layer_of_states(model.config.encoder.num_hidden_layers),
        precision_of(settings.training.precision),
        checksum_of_weights(model.encoder),
    )
    computed = _computed(model, processor, examples, origin)
    size = write_states(out, origin, examples, computed)
    inputs = [ids for example in examples for ids in example.features.choices]
    return {
        "states_questions": len(examples),
        "states_inputs": len(inputs),
        "states_tokens": sum(map(len, inputs)),
        "states_mb": size / 1e6,
    }


def _plain_model(settings: TrainSettings) -> KformerForMultipleChoice:
    """The model without what it injects, which is above the states, unless that is text."""
    if settings.model.method.fact_input == "text":
        return build_model(settings.model)
    return build_model(settings.model.model_copy(update={"injection": "none"}))


def _computed(
    model: KformerForMultipleChoice,
    processor: KformerProcessor,
    examples: Sequence[Example],
    origin: StatesOrigin,
) -> Iterator[tuple[int, list[Tensor]]]:
    """The position of each example, and the states (L, D) of its inputs."""
    batches = split(examples, _TOKENS_AT_ONCE)
    for batch in track(batches, "computing batches of states", len(batches)):
        chosen = [examples[position] for position in batch]
        inputs = processor.collate([each.features for each in chosen])
        ids, mask = (inputs[name].to(model.device) for name in ("input_ids", "attention_mask"))
        with torch.autocast(ids.device.type, torch.bfloat16, enabled=origin.precision == "bf16"):
            states = states_below(model, origin.layer, ids, mask).cpu()
        if not states.isfinite().all():
            asked = listed(each.question_id for each in chosen)
            raise KformerError(
                f"model.encoder: its states are not numbers for one of the questions {asked}; use "
                "another encoder, or training.precision: fp32"
            )
        for position, of_question in zip(batch, states, strict=True):
            lengths = map(len, examples[position].features.choices)
            # Questions with fewer choices have rows that are no input.
            yield position, [row[:n] for row, n in zip(of_question, lengths, strict=False)]
