"""How fast `kformer train` trains, beside the usual ways to train the same model.

    python benchmarks/training.py --triples atomic_triples.tsv.gz \\
        --social-iqa socialiqa-train-dev.zip
    python benchmarks/training.py … --encoder all-mpnet-base-v2 --ways "plain loop" none kformer
    python benchmarks/training.py … --at-once 2

The same real questions of Social IQA, the same number of them a step, the same encoder:

    plain loop  as in the released code: one forward pass for each choice, padded to the longest
                of a random batch, fp32, Adam that is not fused
    Trainer     Hugging Face's, with its defaults, on AutoModelForMultipleChoice
    none, …     `kformer train` itself, whole commands; its `training.json` says how long steps
                took

All take turns, each in a process of its own with all threads, so that a busy machine slows all of
them; every number is the median over the turns, of the median step of a turn. With `--at-once`, a
turn is so many trainings side by side, which share the threads, as a study runs them. Between the
turns large matrix products are measured, in bf16 where the hardware computes in it, else in fp32.
The share of it that a way reaches counts the operations that plain training of the encoder needs
for tokens that are no padding, whatever a way does beyond that or can do without.
"""

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from rich.console import Console
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode
from training_on_device import Device
from transformers import (
    AutoModelForMultipleChoice,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)
from transformers.utils import logging

from kformer.encoder_lookup import BUNDLED, locate_encoder
from kformer.knowledge.build import build_facts
from kformer.knowledge.user_files import TsvFacts
from kformer.modeling import KformerProcessor
from kformer.modeling.featurize import featurize
from kformer.modeling.pretrained import load_tokenizer
from kformer.modeling.question_features import TokenisedQuestions
from kformer.modeling.settings import Model
from kformer.questions.build import build_questions
from kformer.questions.social_iqa import SocialIqa
from kformer.retrieval.index import index_words
from kformer.retrieval.retrieve import retrieve
from kformer.retrieval.settings import Match, Retrieval
from kformer.sources.archives import unpack
from kformer.training.preparation import build_model

T = TypeVar("T")

QUESTIONS = 640  # to train on
BATCH = 16  # questions a step
MATRIX = 2048
# As workflow/rules/common.smk sets it for all jobs.
MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**32)}
PLAIN, TRAINER = "plain loop", "Trainer"
KFORMER: Mapping[str, Mapping[str, Any]] = {
    "none": {},
    "kformer": {"model": {"injection": "ffn"}},
    "attention": {"model": {"injection": "attention"}},
    "concat": {"model": {"injection": "concat"}},
    "kformer, top 3": {"model": {"injection": "ffn"}, "training": {"encoder_layers": 3}},
    "kformer, top 3, states kept": {
        "model": {"injection": "ffn"},
        "training": {"encoder_layers": 3, "keep_states": True},
    },
    "kformer, encoder frozen": {"model": {"injection": "ffn"}, "training": {"encoder_layers": 0}},
    "kformer, LoRA": {"model": {"injection": "ffn"}, "training": {"lora_rank": 8}},
}
# (way, at most so many times the seconds of, another way)
BARS = [
    ("kformer", 1 / 4, PLAIN),
    ("kformer", 1 / 3.5, TRAINER),
    ("kformer", 1.08, "none"),
    ("kformer, top 3, states kept", 1 / 3, "kformer"),
]


@dataclass(frozen=True)
class Work:
    """What is trained on, in a folder, and with what."""

    folder: Path
    encoder: str
    steps: int

    def table(self, name: str) -> Path:
        return self.folder / name

    def make(self, triples: Path, social_iqa: Path) -> None:
        """Writes the tables, as the workflow does."""
        source, questions, facts = (
            self.table(name) for name in ("source", "q.parquet", "f.parquet")
        )
        source.mkdir()
        unpack(social_iqa, social_iqa.name, source)
        build_questions(SocialIqa(), source, questions)
        build_facts([TsvFacts(path=str(triples))], [triples], facts)
        settings = Retrieval(match=Match(), top_k=30)
        index_words(settings, facts, self.table("index"))
        retrieve(settings, questions, facts, [self.table("index")], self.table("r.parquet"))
        featurize(questions, self.encoder, self.table("q.arrow"))
        featurize(facts, self.encoder, self.table("f.arrow"))

    def batches(self) -> list[dict[str, torch.Tensor]]:
        """Random batches for `none`, padded, with labels."""
        model = build_model(Model(encoder=self.encoder))
        processor = KformerProcessor(load_tokenizer(self.encoder), model.config)
        examples = TokenisedQuestions(processor, self.table("q.arrow"), None).split(
            "train", QUESTIONS
        )
        order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(0)).tolist()
        chosen = [order[i * BATCH : (i + 1) * BATCH] for i in range(self.steps)]
        batches = []
        for each in chosen:
            batch = [examples[i] for i in each]
            batches.append(
                processor.collate([e.features for e in batch], [e.answer for e in batch])
            )
        return batches


@dataclass(frozen=True)
class Turn:
    """What one turn of a way measured; seconds of a step, and memory in MB."""

    step: float
    peak_mb: float


def in_a_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns that runs in a new process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def peak_mb() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def plain_loop(work: Work) -> Turn:
    """The released code's way to train."""
    batches = work.batches()
    set_seed(0)
    model = AutoModelForMultipleChoice.from_pretrained(locate_encoder(work.encoder)).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-5, foreach=False)
    seconds = []
    for batch in batches:
        began = time.perf_counter()
        choices = range(batch["input_ids"].shape[1])
        logits = [
            model(
                input_ids=batch["input_ids"][:, [choice]],
                attention_mask=batch["attention_mask"][:, [choice]],
            ).logits
            for choice in choices
        ]
        torch.nn.functional.cross_entropy(torch.cat(logits, 1), batch["labels"]).backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - began)
    return Turn(statistics.median(seconds[2:]), peak_mb())


class StepTimes(TrainerCallback):
    def __init__(self) -> None:
        self.began, self.seconds = 0.0, []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.began = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.seconds.append(time.perf_counter() - self.began)


def hugging_face(work: Work) -> Turn:
    """Trainer with its defaults."""
    batches = work.batches()
    set_seed(0)
    model = AutoModelForMultipleChoice.from_pretrained(locate_encoder(work.encoder))
    times = StepTimes()
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model,
            TrainingArguments(
                folder,
                per_device_train_batch_size=1,  # of our batches, which are whole
                max_steps=work.steps,
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                remove_unused_columns=False,
            ),
            data_collator=lambda batch: batch[0],
            train_dataset=batches,
            callbacks=[times],
        )
        trainer.train()
    return Turn(statistics.median(times.seconds[2:]), peak_mb())


def settings_of(work: Work, way: str) -> dict[str, Any]:
    """What `kformer train` is told to do."""
    return {
        "model": {"encoder": work.encoder, **KFORMER[way].get("model", {})},
        "training": {
            "batch_size": BATCH,
            "max_steps": work.steps,
            "max_train_questions": QUESTIONS,
            "evaluations": 1,
            **KFORMER[way].get("training", {}),
        },
    }


def kformer_train(work: Work, way: str) -> Turn:
    """`kformer train`, as the workflow starts it."""
    settings = settings_of(work, way)
    facts = ["--fact-tokens", work.table("f.arrow"), "--retrieval", work.table("r.parquet")]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "benchmark" / "seed-1"
        tokens = ["--question-tokens", work.table("q.arrow")]
        tokens += facts if "injection" in settings["model"] else []
        tokens += states_of(work, settings)
        command = ["kformer", "train", *tokens, "--out", out, "--seed", "1"]
        command += [
            "--checkpoints",
            Path(folder) / "unfinished",
            "--settings",
            json.dumps(settings),
        ]
        environment = os.environ | MEMORY | {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
        subprocess.run(command, check=True, env=environment, stderr=subprocess.DEVNULL)
        measured = json.loads((out / "training.json").read_text())
    return Turn(measured["seconds_per_step"], measured["peak_memory_mb"])


def states_of(work: Work, settings: Mapping[str, Any]) -> list[Any]:
    """The option that names kept states, which are computed the first time; nothing without."""
    if not settings["training"].get("keep_states"):
        return []
    folder = work.table("states")
    if not folder.exists():
        options = ["--question-tokens", work.table("q.arrow"), "--settings", json.dumps(settings)]
        tracking = {"MLFLOW_TRACKING_URI": f"sqlite:///{work.folder}/mlflow.db"}
        command = ["kformer", "states", *options, "--out", folder]
        subprocess.run(command, check=True, env=os.environ | tracking)
    return ["--states", folder]


def matrix_product() -> float:
    """Operations per second of a large matrix product."""
    return Device().peak_flops(MATRIX)


def needed_flops(work: Work) -> float:
    """Operations that plain training needs for a step's tokens, padding not counted."""
    batches = work.batches()
    model = AutoModelForMultipleChoice.from_pretrained(locate_encoder(work.encoder))
    tokens = statistics.mean(int(batch["attention_mask"].sum()) for batch in batches)
    row = batches[0]["input_ids"][:1, :1, :32]
    with FlopCounterMode(display=False) as counter:
        model(input_ids=row, attention_mask=torch.ones_like(row)).logits.sum().backward()
    return counter.get_total_flops() / row.numel() * tokens


def side_by_side(count: int, function: Callable[[], T]) -> list[T]:
    """What a function returns in each of so many threads, which start processes."""
    with ThreadPoolExecutor(count) as threads:
        return [each.result() for each in [threads.submit(function) for _ in range(count)]]


def turn_of(way: str, work: Work, at_once: int) -> Turn:
    """Of trainings side by side the mean."""
    turns = side_by_side(at_once, lambda: alone(way, work))
    return Turn(statistics.fmean(turn.step for turn in turns), max(turn.peak_mb for turn in turns))


def alone(way: str, work: Work) -> Turn:
    if way == PLAIN:
        return in_a_process(plain_loop, work)
    if way == TRAINER:
        return in_a_process(hugging_face, work)
    return kformer_train(work, way)


def as_table(turns: Mapping[str, list[Turn]], peak: float, flops: float, at_once: int) -> Table:
    table = Table(title=f"matrix product: {peak / 1e9:,.0f} GFLOP/s", title_justify="left")
    table.add_column("way")
    for column in ("s/step", "questions/s", "× plain loop", "× Trainer", "of peak", "peak MB"):
        table.add_column(column, justify="right")
    for way, each in turns.items():
        step = statistics.median(turn.step for turn in each)
        ratios = [
            f"{ratio(turns, other, way):.2f}" if other in turns else "–"
            for other in (PLAIN, TRAINER)
        ]
        table.add_row(
            way,
            f"{step:.3f}",
            f"{at_once * BATCH / step:.1f}",
            *ratios,
            f"{at_once * flops / step / peak:.0%}",
            f"{max(turn.peak_mb for turn in each):,.0f}",
        )
    return table


def ratio(turns: Mapping[str, list[Turn]], way: str, other: str) -> float:
    """The seconds of a way, as times those of another: the median over the turns."""
    pairs = zip(turns[way], turns[other], strict=True)
    return statistics.median(one.step / two.step for one, two in pairs)


def verdicts(turns: Mapping[str, list[Turn]]) -> Table:
    table = Table()
    for column in ("seconds of …", "÷ those of", "median", "each turn", "bar", "verdict"):
        table.add_column(column)
    for way, most, other in BARS:
        if way not in turns or other not in turns:
            continue
        found = ratio(turns, way, other)
        each = ", ".join(
            f"{one.step / two.step:.2f}" for one, two in zip(turns[way], turns[other], strict=True)
        )
        met = "met" if found <= most else "not met"
        table.add_row(way, other, f"{found:.2f}", each, f"≤ {most:.2f}", met)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--triples", type=Path, required=True, help="triples of ATOMIC, TSV")
    parser.add_argument("--social-iqa", type=Path, required=True, help="the official archive")
    parser.add_argument("--encoder", default=BUNDLED, help="a name, or a folder")
    parser.add_argument("--ways", nargs="+", choices=[PLAIN, TRAINER, *KFORMER])
    parser.add_argument("--steps", type=int, default=24, help="of a turn; two are not counted")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--at-once", type=int, default=1, help="trainings side by side")
    options = parser.parse_args()
    at_once = options.at_once
    threads = torch.get_num_threads() // at_once
    os.environ["OMP_NUM_THREADS"] = str(threads)  # read by the processes that are started
    logging.disable_progress_bar()
    ways = options.ways or [PLAIN, TRAINER, *KFORMER]
    console = Console(width=110 if not sys.stdout.isatty() else None)
    with tempfile.TemporaryDirectory() as folder:
        work = Work(Path(folder), options.encoder, options.steps)
        work.make(options.triples, options.social_iqa)
        flops = in_a_process(needed_flops, work)
        for way in set(ways) & KFORMER.keys():
            states_of(work, settings_of(work, way))
        turns: dict[str, list[Turn]] = {way: [] for way in ways}
        peaks = []
        for number in range(options.turns):
            for way in ways:
                peaks.append(sum(side_by_side(at_once, lambda: in_a_process(matrix_product))))
                turns[way].append(turn_of(way, work, at_once))
                print(f"turn {number + 1}: {way}: {turns[way][-1]}", file=sys.stderr)
        console.print(
            f"{options.encoder}, {BATCH} questions a step, {at_once} at once, threads of each: "
            f"{threads}, "
            f"torch {torch.__version__}, Python {platform.python_version()}, "
            f"load {os.getloadavg()[0]:.1f}"
        )
        console.print(as_table(turns, statistics.median(peaks), flops, at_once))
        console.print(verdicts(turns))


if __name__ == "__main__":
    main()
