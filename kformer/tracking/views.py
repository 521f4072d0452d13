"""Addresses in MLflow's UI that show a study at once: runs by accuracy, and conditions compared.

By itself the UI opens on an empty page about traces, and then on a table with none of the numbers
that matter. It takes the state of that page from a tag of the experiment, which the address names,
as its own button *Share* writes it; such tags are set here.
"""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kformer.tracking.connection import be_quiet, connect
from kformer.tracking.store import one_line

if TYPE_CHECKING:
    from mlflow import MlflowClient

_STATE = "mlflow.sharedViewState."
_ACCURACY = "metrics.`test_accuracy`"
_TRAININGS = "tags.stage = 'run'"
_RUNS = {
    "searchFilter": _TRAININGS,
    "orderByKey": _ACCURACY,
    "orderByAsc": False,
    "selectedColumns": [
        _ACCURACY,
        "params.`condition`",
        "params.`seed`",
        "metrics.`cpu_seconds`",
        "params.`changes`",
    ],
}
_CONDITIONS = {
    **_RUNS,
    "groupBy": {
        "aggregateFunction": "average",
        "groupByKeys": [{"mode": "param", "groupByData": "condition"}],
    },
    "chartsSearchFilter": "^(test_accuracy|validation_accuracy|cpu_seconds|train_loss)$",
}


@dataclass(frozen=True)
class Views:
    """Where the UI shows an experiment, as what follows the address of the server.

    Attributes:
        experiment: its name.
        runs: all training runs, the most accurate first.
        conditions: charts of the conditions, their seeds averaged.
    """

    experiment: str
    runs: str
    conditions: str


def views(uri: str) -> list[Views]:
    """The views of all experiments that have training runs, the last one first.

    Raises:
        KformerError: the store cannot be reached or used.
    """
    be_quiet()
    with one_line(uri):
        client = connect(uri)
        return [
            _views(client, each.experiment_id, each.name)
            for each in client.search_experiments(order_by=["last_update_time DESC"])
            if client.search_runs([each.experiment_id], _TRAININGS, max_results=1)
        ]


def _views(client: "MlflowClient", number: str, name: str) -> Views:
    for key, state in (("runs", _RUNS), ("conditions", _CONDITIONS)):
        client.set_experiment_tag(number, f"{_STATE}{key}", json.dumps(state))
    page = f"/#/experiments/{number}/runs?workflowType=machine_learning&viewStateShareKey="
    return Views(name, f"{page}runs", f"{page}conditions&compareRunsMode=CHART")
