"""Kformer: does knowledge injected into a Transformer's feed-forward layers help?

A study is a line of stages that meet only in files; ``docs/how-it-works.md`` draws it.
"""

from importlib.metadata import version

__version__ = version("kformer")
