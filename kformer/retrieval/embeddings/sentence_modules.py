"""Loading the modules of a sentence encoder, with exactly the weights that they describe."""

from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import InputModule
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from transformers import PreTrainedModel

from kformer.encoder_lookup import (
    BUNDLED,
    check_bundled_weights,
    is_on_this_machine,
    locate_encoder,
    missing_encoder,
)
from kformer.encoder_weights import (
    check_numbers,
    check_vocabulary,
    checking_all_models,
    knows_words,
    loading,
)
from kformer.errors import KformerError
from kformer.retrieval.embeddings.sentence_encoder import KEY

_WORDS_TRIED = 16


def load_modules(name: str) -> Any:
    """A sentence encoder, ready to embed; code that comes with it is never run.

    Raises:
        KformerError: there is no such encoder, it is damaged, its weights are not those of the
            modules that it describes or no finite numbers, modules do not fit together, or
            what it embeds is always the same.
    """
    if name == BUNDLED:
        check_bundled_weights(Path(locate_encoder(name, KEY)))
    model = _load(name, {}, device="cuda" if torch.cuda.is_available() else "cpu")
    check_numbers(model, KEY, name)
    _check_embeddings(model, name)
    return model


def check_modules(name: str) -> None:
    """Checks a sentence encoder that is on this machine, or was downloaded before.

    Raises:
        EncoderMissingError: it is not on this machine, or damaged.
        KformerError: its weights have not the names and shapes of the modules that it describes,
            or its tokenizer has more tokens than they embed.
    """
    _load(name, {"device_map": "meta"}, local_files_only=True)


def _load(name: str, weights: dict[str, Any], **options: Any) -> Any:
    with loading(name, KEY), checking_all_models(name, KEY) as missing:
        model = SentenceTransformer(
            locate_encoder(name, KEY),
            trust_remote_code=False,
            model_kwargs={"dtype": torch.float32, "use_safetensors": True, **weights},
            **options,
        )
    if not isinstance(model[0], InputModule):
        raise KformerError(
            f"{KEY}: the first module in {name} is {type(model[0]).__name__}, which reads no text; "
            "correct the order in its modules.json"
        )
    _check_nothing_is_made_up(model, name)
    # Weights of a pooler may be missing where the states of tokens are pooled instead.
    if missing and any(map(_reads_pooler, model.modules())):
        raise KformerError(
            f"{KEY}: the weights of its pooler, which it reads, are missing in {name}; "
            "give other weights"
        )
    for module in model.modules():
        rows = _embedded_tokens(module)
        if rows is not None and model.tokenizer is not None:
            check_vocabulary(model.tokenizer, rows, KEY, name)
    _cut_at_last_position(model, name)
    return model.eval()


def _check_nothing_is_made_up(model: Any, name: str) -> None:
    """Refuses an encoder for whose missing files the libraries have put something else."""
    lacking = None
    if model.tokenizer is not None and not knows_words(model.tokenizer):
        lacking = "tokenizer"
    if is_on_this_machine(name):
        folder = Path(locate_encoder(name, KEY))
        if any(folder.glob("*_*/config.json")) and not (folder / "modules.json").is_file():
            lacking = "modules.json for its modules"
    if lacking:
        raise missing_encoder(name, ValueError(f"it has no {lacking}"), KEY)


def _cut_at_last_position(model: Any, name: str) -> None:
    """Makes sure that texts are cut where an encoder's positions end; longer ones would fail."""
    for module in model.modules():
        positions = getattr(module, "position_embeddings", None)
        longest = model.get_max_seq_length()
        if longest is None or not isinstance(positions, torch.nn.Embedding):
            continue
        if longest > positions.num_embeddings:
            raise KformerError(
                f"{KEY}: texts are cut at {longest:,} tokens, the weights in {name} have "
                f"{positions.num_embeddings:,} positions; correct its max_seq_length"
            )
        # RoBERTa's positions start behind the padding id, which its own limit leaves out.
        skipped = 0 if positions.padding_idx is None else positions.padding_idx + 1
        if longest > positions.num_embeddings - skipped:
            model.max_seq_length = positions.num_embeddings - skipped


def _reads_pooler(module: Any) -> bool:
    inputs = getattr(module, "modality_config", None) or {}
    return any(each.get("method_output_name") == "pooler_output" for each in inputs.values())


def _embedded_tokens(module: Any) -> int | None:
    """For how many tokens a module has embeddings, if it is one that embeds tokens."""
    if isinstance(module, PreTrainedModel):
        return getattr(module.config.get_text_config(), "vocab_size", None)
    return module.embedding.num_embeddings if isinstance(module, StaticEmbedding) else None


def _check_embeddings(model: Any, name: str) -> None:
    """Embeds some words, since nothing else tells whether modules fit together and compute."""
    with loading(name, KEY), torch.inference_mode():
        words = {
            key: value.to(model.device) if isinstance(value, torch.Tensor) else value
            for key, value in model.preprocess(_some_words(model.tokenizer)).items()
        }
        embeddings = model(words)["sentence_embedding"].float()
    found, width = embeddings.shape[-1], model.get_embedding_dimension()
    if found != width and not (model.truncate_dim is not None and found > width):
        raise KformerError(
            f"{KEY}: the modules in {name} do not fit together: embeddings are {found} wide, its "
            f"configuration says {width}; correct the config.json of its pooling, or give another "
            "encoder"
        )
    directions = torch.nn.functional.normalize(embeddings[:, :width], dim=1)
    # Float16, as which they are stored, does not tell apart what is closer.
    if len(directions) > 1 and torch.allclose(directions, directions[:1], rtol=0, atol=1e-5):
        raise KformerError(
            f"{KEY}: what {name} computes is the same for every word, so that nothing can be "
            "found; give other weights, or another encoder"
        )


def _some_words(tokenizer: Any) -> list[str]:
    """Different words, all of which a tokenizer knows, if it has a vocabulary at all."""
    known = sorted(tokenizer.get_vocab()) if tokenizer is not None else []
    words = [word for word in known if word.isalpha()]
    return words[:: max(1, len(words) // _WORDS_TRIED)] or ["word"]
