"""Which facts may answer which question: a table of question types and relations of facts."""

from collections.abc import Mapping, Sequence, Set

from kformer.errors import KformerError, listed
from kformer.retrieval.settings import Match

Relations = frozenset[str | None]
"""Relations of facts; None among them = facts without a relation."""

# Social IQA's types of question ask for what ATOMIC's dimensions hold. Relations that ATOMIC-2020
# added are listed with the dimension that they refine.
ATOMIC: Mapping[str, Sequence[str]] = {
    "oEffect": ["oEffect"],
    "oReact": ["oReact"],
    "oWant": ["oWant"],
    "xAttr": ["xAttr"],
    "xEffect": ["xEffect"],
    "xIntent": ["xIntent", "xReason"],
    "xNeed": ["xNeed"],
    "xReact": ["xReact"],
    "xWant": ["xWant"],
}


def _table(match: Match) -> Mapping[str, Sequence[str]]:
    return ATOMIC if match.relations == "atomic" else match.relations


def matching_relations(match: Match | None, question_type: str | None) -> Relations | None:
    """The relations that facts must have to answer a type of question; None = any will do."""
    if match is None:
        return None
    table = _table(match)
    if question_type is None or question_type not in table:
        return None
    return frozenset(table[question_type])


def check_match(match: Match, types: Set[str | None], relations: Relations) -> None:
    """Checks a table against the types that questions have and the relations that facts have.

    Raises:
        KformerError: it fits no question or no fact, or it is the user's own and names an unknown
            type or relation.
    """
    table = _table(match)
    wanted = {relation for each in table.values() for relation in each}
    is_own = match.relations != "atomic"
    if (unknown := table.keys() - types) and (is_own or unknown == table.keys()):
        raise KformerError(
            f"retrieval.match.relations: no question is of type {listed(unknown)}; the "
            f"questions' types are {listed(types)}"
        )
    if (missing := wanted - relations) and (is_own or missing == wanted):
        raise KformerError(
            f"retrieval.match.relations: no fact has relation {listed(missing)}; the facts' "
            f"relations are {listed(relations)}"
        )
