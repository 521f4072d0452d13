"""Where the time of a training step goes on a CPU, by PyTorch's profiler.

    python benchmarks/where_time_goes.py --triples atomic_triples.tsv.gz \\
        --social-iqa socialiqa-train-dev.zip

The steps are those of `kformer train` in `benchmarks/training.py`, in this process, with all
threads. Beside the shares stands how fast the matrix products were, and how fast one large one is.
"""

import argparse
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.table import Table
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode
from training import BATCH, KFORMER, Work, matrix_product, settings_of

from kformer.encoder_lookup import BUNDLED
from kformer.io.locks import Lock
from kformer.training.checkpoints import Checkpoints
from kformer.training.dry_run import NoLog
from kformer.training.preparation import prepare
from kformer.training.settings import TrainSettings

STEPS = 12
# The first whose word is in the name of an operation has it.
KINDS = {
    "matrix products": ("::mm", "::addmm", "::bmm"),
    "casts and copies": ("copy",),
    "AdamW": ("adam", "Optimizer"),
    "GELU": ("gelu",),
    "dropout": ("Dropped", "::ge", "::mul"),
    "softmax": ("softmax",),
    "layer norms": ("layer_norm",),
    "gradient norm": ("vector_norm", "_foreach_norm"),
    "word and fact embeddings": ("embedding", "index", "where", "gather"),
}
REST = "sums, masks, allocation, autograd and Python's calls"


def kind_of(operation: str) -> str:
    return next((kind for kind, words in KINDS.items() if any(w in operation for w in words)), REST)


def steps_of(work: Work, way: str, folder: Path) -> Iterator[Callable[[], None]]:
    """The steps of a training, to be computed in any order and number."""
    settings = TrainSettings.model_validate(settings_of(work, way))
    facts = (work.table("f.arrow"), work.table("r.parquet"))
    reads_facts = settings.model.method.fact_input != "none"
    prepared = prepare(
        settings,
        1,
        work.table("q.arrow"),
        facts if reads_facts else None,
        Checkpoints(folder, "", Lock(folder)),
        NoLog(),
        way,
    )
    trainer, questions = prepared.trainer, prepared.training_set
    trainer.make_ready()
    order = list(trainer._get_train_sampler() or ())
    for start in range(0, len(order) - BATCH, BATCH):
        yield partial(trainer.step_alone, [questions[i] for i in order[start : start + BATCH]])


def shares(work: Work, way: str, folder: Path) -> tuple[dict[str, float], float]:
    """The share of each kind of operation in the time, and operations a second in products."""
    steps = list(islice(steps_of(work, way, folder), STEPS))
    with FlopCounterMode(display=False) as counter:  # apart, as it slows all else down
        for step in steps:
            step()
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        for step in steps:
            step()
    seconds: Counter[str] = Counter()
    for each in profiled.key_averages():
        seconds[kind_of(each.key)] += each.self_cpu_time_total / 1e6
    whole = seconds.total()
    speed = counter.get_total_flops() / seconds["matrix products"]
    return {kind: seconds[kind] / whole for kind in (*KINDS, REST)}, speed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--triples", type=Path, required=True, help="triples of ATOMIC, TSV")
    parser.add_argument("--social-iqa", type=Path, required=True, help="the official archive")
    parser.add_argument("--encoder", default=BUNDLED, help="a name, or a folder")
    parser.add_argument("--ways", nargs="+", choices=KFORMER, default=["none", "kformer"])
    options = parser.parse_args()
    table = Table("what")
    columns = []
    with tempfile.TemporaryDirectory() as folder:
        work = Work(Path(folder), options.encoder, STEPS)
        work.make(options.triples, options.social_iqa)
        for way in options.ways:
            found, speed = shares(work, way, Path(folder) / "unfinished")
            columns.append([f"{found[kind]:.0%}" for kind in (*KINDS, REST)])
            title = f"{way} (products at {speed / 1e9:,.0f} GFLOP/s)"
            table.add_column(title, justify="right")
    for kind, *cells in zip((*KINDS, REST), *columns, strict=True):
        table.add_row(kind, *cells)
    console = Console(width=110)
    console.print(f"a large product: {matrix_product() / 1e9:,.0f} GFLOP/s")
    console.print(table)


if __name__ == "__main__":
    main()
