"""Retrieval by words."""

import os

# bm25s imports JAX where it is installed, and JAX takes most of a GPU's memory; it is not used.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
