"""MLflow, and nothing else knows it.

Where runs go is read from the environment, which Snakemake sets, so that it is nobody's parameter
and changing it re-runs nothing: ``MLFLOW_TRACKING_URI``, ``MLFLOW_EXPERIMENT_NAME``, and
``KFORMER_CONFIG``, the resolved config of the whole experiment. Without an address nothing is
tracked.

A run is first written down, in a journal beside what its stage makes, and is sent from there. In a
study one process sends for all stages, which then do not load MLflow; elsewhere a stage sends by
itself. What cannot be sent stays in the journal until somebody sends it.

Work never fails because of tracking: what cannot be written or sent is reported on stderr, once,
and the results are written all the same. Only `prepare_store`, before any work, raises.
"""

from kformer.tracking.connection import is_server
from kformer.tracking.names import flat
from kformer.tracking.run import (
    SENT_BY_ANOTHER,
    DataSet,
    Resume,
    TrackedRun,
    begin_run,
    end_run,
    tracked,
)
from kformer.tracking.store import STUDY_STAGE, prepare_store
from kformer.tracking.sync import Sync
from kformer.tracking.system_metrics import measuring_system

__all__ = [
    "SENT_BY_ANOTHER",
    "STUDY_STAGE",
    "DataSet",
    "Resume",
    "Sync",
    "TrackedRun",
    "begin_run",
    "end_run",
    "flat",
    "is_server",
    "measuring_system",
    "prepare_store",
    "tracked",
]
