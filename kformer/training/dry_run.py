"""`kformer train --dry-run`: tries everything that a training does, for seconds, and says what it takes.

A step with the most tokens and a validation pass with the most tokens show whether the memory is
enough; a few steps and passes drawn at random show how long it will all take.
"""

import random
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import batched
