"""Where the numbers of a report come from: a few tables of the `provenance.json` of a study."""

from collections.abc import Mapping, Sequence
from typing import Any

from kformer.report.tables import Table

_SHOWN = ("kformer", "torch", "transformers", "snakemake", "numpy", "pyarrow", "python")
_DIGITS = 12  # of a checksum; all of them stand in the JSON


def provenance_tables(provenance: Mapping[str, Any]) -> list[Table]:
    """What was run, from which data, and how each run is made again."""
    tables = [
        Table("provenance", "What was run, and with what.", ["what", ""], _summary(provenance)),
        Table(
            "runs",
            "Each run, and the command that makes it again.",
            ["run", "predictions, SHA-256", "model, SHA-256", "command"],
            [_run(each) for each in provenance["runs"]],
        ),
    ]
    if data := provenance["data"]:
        header = ["data", "from", "SHA-256"]
        files = "Each file of data; those called yours lay on the machine."
        tables.insert(1, Table("data", files, header, [_file(each) for each in data]))
    return tables


def _summary(provenance: Mapping[str, Any]) -> list[list[str]]:
    machine, software = provenance["machine"], provenance["software"]
    workflow = provenance["workflow"] or {"commit": "in no git repository", "changed": False}
    changed = ", with changes that are not committed" if workflow["changed"] else ""
    versions = [f"{name} {software[name]}" for name in _SHOWN if name in software]
    gpus = ", ".join(machine["gpus"]) or "no GPU"
    return [
        ["command", provenance["command"]],
        ["config", provenance["config"]],
        ["commit", workflow["commit"] + changed],
        ["versions", ", ".join(versions)],
        [
            "machine",
            f"{machine['processor']}, {machine['cores']} cores, "
            f"{machine['memory_mb'] / 1000:.0f} GB, {gpus}, {machine['system']}",
        ],
        ["encoders", ", ".join(dict.fromkeys(each["name"] for each in provenance["encoders"]))],
        ["seeds", ", ".join(map(str, provenance["seeds"]))],
    ]


def _file(file: Mapping[str, Any]) -> Sequence[str]:
    places = file.get("addresses") or [file.get("path", "")]
    return [file["name"], ", ".join(places), file["sha256"] or ""]


def _run(run: Mapping[str, Any]) -> Sequence[str]:
    seed = "untrained" if run["seed"] is None else f"seed {run['seed']}"
    checksums = (run["predictions_sha256"], run.get("model_checksums") or "")
    short = [each[:_DIGITS] for each in checksums]
    return [f"{run['condition']}, {seed}", *short, run["make_again"]]
