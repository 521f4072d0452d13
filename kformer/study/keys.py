"""Names for what a file depends on."""

import hashlib
import json
from typing import Any

from kformer import __version__


def fingerprint(*parts: Any) -> str:
    """A short name for settings: equal settings and equal version of kformer, equal name."""
    canonical = json.dumps(
        [__version__, parts], sort_keys=True, default=lambda part: part.model_dump(mode="json")
    )
    return hashlib.sha256(canonical.encode()).hexdigest()[:10]
