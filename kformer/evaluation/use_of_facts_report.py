"""What the report says of the use of facts: a table with one row a condition, and sentences."""

from kformer.evaluation.results import Proportion, SplitComparison
from kformer.io.formatting import percent

HOW_TO_READ_USE = """\
- **use of facts**: a sample of the test questions, the same for all conditions, is answered again
  by the same models. **without facts**, **another's facts**: how many answers in 100 are then other
  ones, with Wilson's 95 % CI over questions; of another question's facts those are left out that
  the question reads itself. Answers that stay owe nothing to the facts, whatever the accuracy. Of
  those that rest on facts alone some stay by luck, one in four where there are four choices; and
  where a model only guesses, its scores are so near each other that some answers change for no
  reason: look at the margin, and at a control.
- **margin**: what facts add to the logit of the right choice minus that of the best other one.
- **gold first**: how often in 100 cases the fact without which this margin falls most is a gold
  one, of the questions that read a gold fact and for which some fact adds anything. **by chance**:
  the same for a fact that is drawn from those that were read."""


def statement_on_use(split: SplitComparison) -> str:
    """What the table shows."""
    questions = split.use_of_facts[0].changed_without_facts.questions
    return (
        f"Use of facts, on {questions:,} of these questions: how many answers in 100 change "
        "without facts, and with another question's; what facts add to the margin of the right "
        "choice; how often the fact that adds most is a gold one."
    )


def use_header(split: SplitComparison) -> list[str]:
    """The columns of the table; a line end is where one may break."""
    header = ["use of facts", "without\nfacts", "another's\nfacts", "margin"]
    return [*header, "gold\nfirst", "by\nchance"] if _have_gold(split) else header


def use_cells(split: SplitComparison) -> list[list[list[str]]]:
    """Its rows: in each cell a value, and its interval if it has one."""
    return [
        [
            [each.condition],
            _share(each.changed_without_facts),
            _share(each.changed_with_other_facts),
            [f"{each.margin_gain:+z.2f}"],
            *([_share(each.gold_mattered_most), _chance(each.gold_by_chance)] * _have_gold(split)),
        ]
        for each in split.use_of_facts
    ]


def _have_gold(split: SplitComparison) -> bool:
    return any(each.gold_mattered_most for each in split.use_of_facts)


def _share(share: Proportion | None) -> list[str]:
    return [] if share is None else [percent(share.value), "-".join(map(percent, share.ci95))]


def _chance(share: float | None) -> list[str]:
    return [] if share is None else [percent(share)]
