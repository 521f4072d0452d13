"""How many steps a training has."""

import pytest

from kformer.training.arguments import training_arguments
from kformer.training.settings import Training


@pytest.mark.parametrize(
    ("limits", "questions", "steps"),
    [
        ({"max_steps": 4, "epochs": 5.0}, 48, 4),
        ({"max_steps": 99, "epochs": 2.0}, 48, 6),
        ({"max_steps": 99, "epochs": 0.5}, 48, 2),
        ({"max_steps": 4, "epochs": None}, 48, 4),
        ({"max_steps": 99, "epochs": 1.0}, 17, 2),
        ({"max_steps": 2, "epochs": 0.01}, 48, 1),
    ],
)
def test_training_ends_after_max_steps_or_epochs_whichever_comes_first(
    limits, questions, steps, tmp_path
):
    settings = Training(batch_size=16, **limits)
    assert training_arguments(settings, questions, 1, tmp_path, bf16=False).max_steps == steps
