"""Encoders and texts for tests of embeddings."""

import numpy as np
import pytest

from kformer.retrieval.embeddings.sentence_encoder import SentenceEncoder

WORDS = "pet job dog cat pilot rain river city likes wants because zorbak personx's".split()


@pytest.fixture(scope="session")
def some_texts():
    """Makes texts of random words."""

    def make(count, seed=0, longest=60):
        random = np.random.default_rng(seed)
        return [" ".join(random.choice(WORDS, random.integers(1, longest))) for _ in range(count)]

    return make


@pytest.fixture(scope="session")
def tiny(tiny_encoder):
    return SentenceEncoder(str(tiny_encoder))
