"""What is measured of a trained model beside its answers."""

from pydantic import NonNegativeInt

from kformer.config_section import Section


class Evaluation(Section):
    """What is measured of a trained model beside its answers to the test questions."""

    use_of_facts_questions: NonNegativeInt = 200
    """How many test questions a condition that reads facts answers again without each of its facts,
    without any, and with another question's, the same for all conditions; 0 = none."""
