"""Relations in another column than they are read in, by how often they occur and how they look."""

import pytest

from kformer.errors import KformerError
from kformer.knowledge.user_files import CsvFacts, TsvFacts

TSV, CSV = TsvFacts(path="."), CsvFacts(path=".")
COLUMNS = ["head", "relation", "tail"]
OTHER_ORDERS = [["relation", "head", "tail"], ["head", "tail", "relation"]]


def crossed(heads, relations, tails, count):
    """So many triples of these many heads, relations and tails, no two the same."""
    return [
        (
            f"drug {i % heads}",
            f"treats {chr(97 + (i // heads + i) % relations)}",
            f"illness {i * 7 % tails}",
        )
        for i in range(count)
    ]


MANY = [
    crossed(30, 5, 26, 400),
    crossed(12, 5, 13, 60),
    crossed(12, 1, 9, 12),
    crossed(9, 3, 8, 27),
    [("aspirin", "may_prevent", f"illness {i}") for i in range(30)],
    crossed(40, 6, 12, 60),
    crossed(400, 30, 50, 1000),
    crossed(3000, 3, 5, 3000),
    [(f"Q{i}", f"P{30 + i % 3}", f"Q{i % 7}") for i in range(30)],
    [(f"drug {i}", ["treats", "lowers", "raises"][i // 2], f"illness {i}") for i in range(6)],
    # One known relation is enough if none is known in another column.
    [(f"drug {i}", ["treats", "Causes", "lowers"][i % 3], f"illness {i}") for i in range(4)],
    [(f"drug {i}", "Causes" if i % 8 == 0 else f"alters {i}", f"illness {i}") for i in range(99)],
]
# Told by their form.
FEW = [
    [("cat", "_hypernym", "animal"), ("dog", "_hypernym", "pet")],
    [("cat", "_hypernym", "animal"), ("cat", "_has_part", "paw")],
    [("zinc", "Contraindicated_with", "gold"), ("iron", "Contraindicated_with", "tin")],
    [("cat", "is_like", "dog"), ("pen", "is_like", "pencil"), ("car", "runs_on", "gas")],
    [("pen", "UsedBy", "man"), ("cat", "LivesIn", "house"), ("car", "DrivenBy", "girl")],
    [("eat out", "xPlan", "find a place"), ("go home", "xPlan", "take a bus")],
    [("Einstein", "birthPlace", "Ulm"), ("Planck", "birthPlace", "Kiel")],
    [("aspirin", "side_effect", "nausea"), ("zinc", "side_effect", "colds")],
    [("Paris", "is the capital of", "France"), ("Rome", "is the capital of", "Italy")],
]


@pytest.fixture
def facts(folder_of, build):
    def read(rows, order=COLUMNS, reader=TSV):
        at = [COLUMNS.index(name) for name in order]
        separator = "," if reader is CSV else "\t"
        content = "\n".join(separator.join(row[i] for i in at) for row in rows)
        found, _ = build(reader, folder_of({f"a{reader.suffixes[0]}": content}))
        return [(row["origin"], row["relation"]) for row in found]

    return read


@pytest.mark.parametrize("rows", MANY + FEW)
class TestRelationsThatAreNotKnown:
    def test_are_read_from_the_middle(self, facts, rows):
        assert set(facts(rows)) == {row[:2] for row in rows}

    @pytest.mark.parametrize("order", OTHER_ORDERS)
    def test_are_refused_elsewhere_with_the_row_as_read(self, facts, rows, order):
        with pytest.raises(KformerError) as caught:
            facts(rows, order)
        first = [rows[0][COLUMNS.index(name)] for name in order]
        shown = ", ".join(f"{name} {cell!r}" for name, cell in zip(COLUMNS, first, strict=True))
        assert f"a.tsv:1: read as {shown}, but " in str(caught.value)
        assert "name the columns in their order, such as columns: [rel" in str(caught.value)

    @pytest.mark.parametrize("order", OTHER_ORDERS)
    def test_are_read_from_anywhere_if_the_config_says_where(self, facts, rows, order):
        own = TsvFacts(path=".", columns=order)
        assert set(facts(rows, order, own)) == {row[:2] for row in rows}


@pytest.mark.parametrize(
    "rows",
    [
        [("_hypernym", "cat", "animal")],  # one row tells nothing
        [("bird", "feature", "has_wings"), ("fish", "feature", "is_wet")],
        [("has_wings", "feature of", "birds"), ("is_wet", "feature of", "fish")],
        [("hot_dog", "tastes", "good"), ("ice_cream", "melts", "fast")],
        [("hot_dog", "is", "food"), ("ice_cream", "is", "food")],
        [("YouTube", "shows", "films"), ("iPhone", "shows", "mails")],
        # In few rows, a few heads may well be fewer than the relations.
        [
            ("cat", "eats", "mice"),
            ("cat", "likes", "milk"),
            ("dog", "eats", "meat"),
            ("dog", "likes", "bones"),
            ("dog", "chases", "cats"),
        ],
        [("smoking", "is_among", "causes"), *(("zinc", "is_like", f"metal {i}") for i in range(8))],
        [(f"drug {i}", "treats", "Causes" if i == 5 else f"illness {i}") for i in range(20)],
        [(f"http://x/{i}", f"http://x/is_{i}", f"http://y/{i}") for i in range(4)],
        [("Einstein", "http://x/born", "Ulm"), ("Planck", "http://x/born", "Kiel")],
        [("cats", "syn.", "felines")],
        [("Berlin", f"has_value_{i}", f"{i}") for i in range(20)],
        [("Berlin", f"is number {i} of", f"{i % 4}") for i in range(20)],
        # Few countries, and more relations between them.
        [(f"land {i % 9}", f"trade {i % 50}", f"land {(i + 1) % 7}") for i in range(300)],
        [(f"thing {i}", "treats", "all") for i in range(20)],
    ],
)
def test_good_triples_are_read_as_they_are(facts, rows):
    assert set(facts(rows)) == {row[:2] for row in rows}


@pytest.mark.parametrize("heads", [1, 3])
def test_triples_of_few_heads_look_like_those_of_few_relations_and_are_refused(facts, heads):
    rows = [(f"drug {i % heads}", f"alters {i % 4}", f"illness {i}") for i in range(60)]
    message = f"there would be 4 different relations, and just {heads} in the column head, which "
    with pytest.raises(KformerError, match=message):
        facts(rows)
    assert set(facts(rows, reader=TsvFacts(path=".", columns=COLUMNS))) == {r[:2] for r in rows}


@pytest.mark.parametrize("count", [1, 3, 30])
@pytest.mark.parametrize(
    "row",
    [
        ("Cat", "Cats purr. (Some.)", "x"),
        ("Cat", "https://x.org/{}", "Cats purr."),
        ("Cat", "www.x.org/{}", "C"),
        ("Cat", "0.{}", "animal"),
        ("Cat", "Is it? No!", "x"),
    ],
)
def test_sentences_addresses_and_numbers_are_no_relations(facts, row, count):
    rows = [(row[0], row[1].format(i + 1), f"{row[2]} {i}") for i in range(count)]
    with pytest.raises(KformerError, match="but most relations would be sentences, addresses or"):
        facts(rows)


KNOWN = [("cat", "IsA", "animal"), ("pen", "UsedFor", "writing"), ("car", "AtLocation", "street")]


class TestRowsInAnotherOrder:
    @pytest.mark.parametrize("order", [COLUMNS, *OTHER_ORDERS])
    @pytest.mark.parametrize("name", ["IsA", "isa", "is a"])
    def test_are_refused_by_their_line_where_relations_are_known(self, facts, order, name):
        for odd in ((name, "dog", "pet"), ("pet", "dog", name)):
            message = rf"a\.tsv:4: the relation would be 'dog', but '{name}' in the column "
            with pytest.raises(KformerError, match=message):
                facts([*KNOWN, odd], order)

    def test_are_refused_where_they_are_half_of_all(self, facts):
        with pytest.raises(KformerError, match=r"a\.tsv:1: the relation would be 'cat', but 'IsA'"):
            facts([("IsA", "cat", "animal"), ("dog", "IsA", "animal")])
        with pytest.raises(KformerError, match=r"a\.tsv:1: read as head 'IsA', relation 'cat'"):
            facts([("IsA", "cat", "animal"), ("dog", "animal", "IsA")])

    @pytest.mark.parametrize("reader", [TSV, CSV])
    def test_are_refused_below_a_header(self, facts, reader):
        with pytest.raises(KformerError, match=r":5: the relation would be 'dog', but 'IsA' in"):
            facts([tuple(COLUMNS), *KNOWN, ("IsA", "dog", "pet")], reader=reader)

    @pytest.mark.parametrize(
        "row",
        [
            *(("cat", "is_like", "dog"), ("smoking", "is_among", "causes")),
            *(("causes", "RelatedTo", "IsA"), ("synonym", "is_like", "antonym")),
        ],
    )
    def test_are_not_those_of_words_that_are_also_relations(self, facts, row):
        assert facts([*KNOWN, row])[-1] == row[:2]

    def test_are_not_looked_for_where_most_relations_are_unknown(self, facts):
        rows = [*((f"a {i}", "treats", f"b {i}") for i in range(5)), ("IsA", "is_part", "OWL")]
        assert facts([*rows, KNOWN[0]])[-2:] == [("IsA", "is_part"), ("cat", "IsA")]

    def test_are_read_as_they_are_if_the_config_says_the_order(self, facts):
        own = TsvFacts(path=".", columns=COLUMNS)
        assert facts([*KNOWN, ("IsA", "dog", "pet")], reader=own)[-1] == ("IsA", "dog")
