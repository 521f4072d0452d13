"""``python -m kformer``: the command line."""

from kformer.cli import main

main()
