"""What was found in the user's own data, and how that is said."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Report:
    """What was found in a file or folder."""

    fine: Counter[str] = field(default_factory=Counter)
    """How many questions, facts and lines of text have no problem."""
    problems: int = 0
    splits: Counter[str] = field(default_factory=Counter)
    """Questions by split; ``no split`` for those that will get one at random."""
    doubts: list[str] = field(default_factory=list)
    """What makes a result on these questions doubtful, though each of them is fine."""
    duplicates: int = 0
    """Facts with the text of an earlier one, which will be dropped."""
    unread_columns: Counter[str] = field(default_factory=Counter)
    """Keys or columns that are not read, with how many records have them."""
    misspelt_columns: dict[str, str] = field(default_factory=dict)
    """Those of them that are like one that is read but missing, with that one."""
    rows: list[str] = field(default_factory=list)
    """The first rows of each format as the stage has read them."""


def summary(report: Report) -> str:
    """A report as text: what is fine, and what is worth knowing."""
    parts = [f"{count:,} {kind} are fine" for kind, count in report.fine.items()] or [
        "nothing is fine"
    ]
    if report.splits:
        splits = ", ".join(f"{split} {count:,}" for split, count in report.splits.items())
        parts[-1] += f" ({splits})"
    parts.append(f"{report.problems:,} {'problem' if report.problems == 1 else 'problems'}")
    parts += report.doubts
    if report.duplicates:
        parts.append(f"{report.duplicates:,} facts are there twice and will be dropped")
    if report.unread_columns:
        meant = {key: f"; is it {name}?" for key, name in report.misspelt_columns.items()}
        keys = ", ".join(
            f"{' '.join(key.split()) or 'no name':.60} ({count:,}{meant.get(key, '')})"
            for key, count in report.unread_columns.most_common()
        )
        parts.append(f"not read: {keys}")
    return "; ".join(parts)
