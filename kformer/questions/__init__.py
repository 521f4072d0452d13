"""Readers of question sets: one class a data set, chosen in the config by its ``dataset`` name.

A reader is its own settings: a `Section` with the name as discriminator, ``source`` (where its
bytes come from, see `kformer.sources`), and ``read(folder)``, which yields rows of the questions
table. A new data set is one file here and one line below.
"""

from typing import Annotated

from pydantic import Field

from kformer.questions.demo import Demo
from kformer.questions.social_iqa import SocialIqa

Questions = Annotated[Demo | SocialIqa, Field(discriminator="dataset")]
