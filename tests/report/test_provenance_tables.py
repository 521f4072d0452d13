"""Where numbers come from, on the page and as tables."""

from kformer.report.provenance_tables import provenance_tables

PROVENANCE = {
    "experiment": "small",
    "command": "snakemake --cores all all",
    "config": "results/small/config.json",
    "seeds": [1, 2],
    "workflow": {"commit": "c" * 40, "changed": False},
    "software": {"python": "3.11", "kformer": "0.1", "torch": "2.13", "unknown": "9"},
    "machine": {
        "system": "Linux",
        "processor": "a chip",
        "cores": 2,
        "memory_mb": 24152,
        "gpus": [],
    },
    "data": [{"name": "yours", "path": "my.csv", "sha256": "d" * 64}],
    "encoders": [{"name": "tiny", "used_for": "model"}, {"name": "tiny", "used_for": "retrieval"}],
    "runs": [
        {"condition": "none", "seed": 1, "predictions_sha256": "p" * 64}
        | {"model_checksums": "m" * 64, "make_again": "snakemake none"},
        {"condition": "search", "seed": None, "predictions_sha256": "q" * 64}
        | {"make_again": "snakemake search"},
    ],
}


def tables(**changes):
    return {table.name: table for table in provenance_tables(PROVENANCE | changes)}


def test_what_was_run_from_which_data_and_how_to_make_it_again():
    found = tables()
    assert list(found) == ["provenance", "data", "runs"]
    summary = dict(found["provenance"].rows)
    assert summary["commit"] == "c" * 40
    assert summary["versions"] == "kformer 0.1, torch 2.13, python 3.11"
    assert summary["machine"] == "a chip, 2 cores, 24 GB, no GPU, Linux"
    assert (summary["encoders"], summary["seeds"]) == ("tiny", "1, 2")
    assert found["data"].rows == [["yours", "my.csv", "d" * 64]]
    assert found["runs"].rows == [
        ["none, seed 1", "p" * 12, "m" * 12, "snakemake none"],
        ["search, untrained", "q" * 12, "", "snakemake search"],
    ]


def test_a_tree_that_was_changed_is_said_and_so_is_no_repository():
    changed = {"commit": "c" * 40, "changed": True}
    assert (
        "changes that are not committed"
        in dict(tables(workflow=changed)["provenance"].rows)["commit"]
    )
    assert dict(tables(workflow=None)["provenance"].rows)["commit"] == "in no git repository"


def test_a_generated_world_has_no_files():
    assert "data" not in tables(data=[])
