"""The versions of the stages, and keys: short names for what the files of a stage depend on.

A key stands for the stage's version, its settings, and the keys of its inputs. So experiments share
what is the same for both, and after an update of the program nothing is compared that two versions
of a stage made.
"""

import hashlib
import json
from typing import Any, Literal

from kformer.modeling.injections import origin_of

StageName = Literal[
    "demo_world",
    "questions",
    "facts",
    "events",
    "index_words",
    "index_embeddings",
    "retrieve",
    "control",
    "featurize",
    "states",
    "describe_retrieval",
    "train",
    "evaluate",
    "use_of_facts",
    "answer_by_retrieval",
    "compare",
    "report",
]

# Raise a stage's version when its results change: tests/study/test_versions.py fails until you do.
# Fetching has none: what it unpacks is named by its checksum.
VERSIONS: dict[StageName, int] = {
    "demo_world": 2,
    "questions": 2,
    "facts": 2,
    "events": 2,
    "index_words": 2,
    "index_embeddings": 2,
    "retrieve": 3,
    "control": 1,
    "featurize": 1,
    "states": 2,
    "describe_retrieval": 3,
    "train": 4,
    "evaluate": 6,
    "use_of_facts": 1,
    "answer_by_retrieval": 4,
    "compare": 7,
    "report": 1,
}


def key_of(stage: StageName, *parts: Any) -> str:
    """Ten hex digits: equal version of the stage and equal parts, equal key.

    Args:
        stage: whose files are named.
        parts: settings (sections of the config, or JSON) and keys of inputs.
    """
    canonical = json.dumps(
        [stage, VERSIONS[stage], parts],
        sort_keys=True,
        default=lambda part: part.model_dump(mode="json"),
    )
    return hashlib.sha256(canonical.encode()).hexdigest()[:10]


def train_version(injection: str) -> str:
    """The version of training with an injection, such as ``1`` or ``1 gated 1.0 5c1f9a0b7d``.

    It is that of the stage, and for an injection of another package also what its code is: see
    `kformer.modeling.injections.origin_of`, whose errors it raises.
    """
    return " ".join(filter(None, [str(VERSIONS["train"]), origin_of(injection)]))
