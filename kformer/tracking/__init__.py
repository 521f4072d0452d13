"""MLflow, and nothing else knows it.

Where runs go is read from the environment, which Snakemake sets, so that it is nobody's parameter
and changing it re-runs nothing: ``MLFLOW_TRACKING_URI``, ``MLFLOW_EXPERIMENT_NAME``, and
``KFORMER_CONFIG``, the resolved config of the whole experiment. Without an address nothing is
tracked.

Work never fails because of tracking: what cannot be logged is reported on stderr, once, and the
results are written all the same. Only `prepare_store`, before any work, raises.
"""

from kformer.tracking.run import Resume, TrackedRun, tracked
from kformer.tracking.store import prepare_store

__all__ = ["Resume", "TrackedRun", "prepare_store", "tracked"]
