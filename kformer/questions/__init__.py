"""Readers of question sets: one class a data set, chosen in the config by its ``dataset`` name.

A reader is its own settings, see `kformer.questions.reader`. Most data sets need no reader: the
config names their fields in `columns:`. One that needs code is a file here and two lines below.
"""

from typing import Annotated

from pydantic import Field

from kformer.questions.demo import DemoQuestions
from kformer.questions.med_qa import MedQa
from kformer.questions.open_book_qa import OpenBookQa
from kformer.questions.qasc import Qasc
from kformer.questions.social_iqa import SocialIqa
from kformer.questions.user_files import CsvQuestions, JsonlQuestions, ParquetQuestions

QuestionSource = Annotated[
    CsvQuestions
    | DemoQuestions
    | JsonlQuestions
    | MedQa
    | OpenBookQa
    | ParquetQuestions
    | Qasc
    | SocialIqa,
    Field(discriminator="dataset"),
]
