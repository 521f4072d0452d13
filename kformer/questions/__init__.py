"""Readers of question sets: one class a data set, chosen in the config by its ``dataset`` name.

A reader is its own settings, see `kformer.questions.reader`. A new data set is one file here and
one line below.
"""

from typing import Annotated

from pydantic import Field

from kformer.questions.demo import Demo
from kformer.questions.med_qa import MedQa
from kformer.questions.social_iqa import SocialIqa
from kformer.questions.user_files import CsvQuestions, JsonlQuestions

QuestionSource = Annotated[
    CsvQuestions | Demo | JsonlQuestions | MedQa | SocialIqa, Field(discriminator="dataset")
]
