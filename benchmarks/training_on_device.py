"""Training on a GPU: how fast, with how much memory, and whether its bits can be had again.

    benchmarks/on_gpu.sh                              # with the tests of the model, on a GPU
    python benchmarks/training_on_device.py --tiny    # the same in seconds, also on a CPU

Speed is that of training steps of RoBERTa-base with random weights, on random inputs without
padding: four choices of 32 tokens a question, five facts of 10 tokens, fused AdamW, the
deterministic kernels that `kformer train` uses. Model FLOPs utilisation ("of peak") is the share
of what a large matrix product reaches in the same process; operations are counted by PyTorch in
the model as it is, and none are counted twice.

Then `kformer.training.run.train` trains as `kformer train` does, on a generated world: once with
an encoder of the same size, for its speed, and three times with one of four layers: two
undisturbed, one killed by SIGKILL and started again, which must all end with the same bits.

The exit status is 1 if a check fails.
"""

import argparse
import gc
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import torch
from model import Training
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file
from tiny_encoder import write_tiny_encoder
from torch.profiler import ProfilerActivity, profile
from transformers.utils import logging

from kformer.compute_precision import computes_in_bf16
from kformer.demo_world import DemoWorld, write_world
from kformer.io.output_names import RunFolder
from kformer.io.training_summary import TrainingSummary
from kformer.knowledge.build import build_facts
from kformer.knowledge.demo import DemoFacts
from kformer.modeling.featurize import featurize
from kformer.modeling.settings import Model
from kformer.questions.build import build_questions
from kformer.questions.demo import DemoQuestions
from kformer.retrieval.index import index_words
from kformer.retrieval.retrieve import retrieve
from kformer.retrieval.settings import Retrieval
from kformer.training.determinism import use_deterministic_kernels
from kformer.training.run import train, training_lock
from kformer.training.settings import Training as TrainingSection
from kformer.training.settings import TrainSettings

BAR = 0.4  # of the measured matrix-product peak, by the fastest way to train `none`
FACTS = 5
LONGEST_PROFILE = 12  # kinds of kernels
SEED = 1
COMPARED, KILLED_AT = {"max_steps": 12, "evaluations": 3}, 8  # steps of trainings


@dataclass(frozen=True)
class Sizes:
    """What is measured, at full size or as quickly as can be."""

    encoder: str
    few: int  # questions a step, as in the released runs
    many: int  # questions a step, to fill the device
    steps: int
    matrix: int
    width: int  # of the encoders that `kformer train` has
    timed_steps: int  # of `kformer train`
    trained_questions: int


FULL = Sizes("roberta-base", 16, 256, 10, 8192, 768, 60, 960)
TINY = Sizes("tiny", 2, 4, 2, 512, 64, 2, 96)


@dataclass(frozen=True)
class Setting:
    """One row of the table of speeds."""

    injection: str
    questions: int
    compiled: Literal["layers", "whole"] | None = None

    @property
    def name(self) -> str:
        how = {"layers": ", layers compiled", "whole": ", CUDA graphs", None: ""}
        return self.injection + how[self.compiled]


def settings_to_measure(sizes: Sizes) -> Iterator[Setting]:
    injections = ("none", "ffn", "attention", "concat")
    yield from (Setting(name, sizes.few) for name in injections)
    yield from (Setting(name, sizes.few, "whole") for name in ("none", "ffn"))
    yield from (Setting(name, sizes.many) for name in injections)
    yield from (Setting(name, sizes.many, "layers") for name in injections)


@dataclass(frozen=True)
class Speed:
    """What was measured in one setting; times are in seconds, memory is in MB."""

    setting: Setting
    step: float
    first_step: float
    tokens: int
    flops: int
    peak_mb: float

    def of_peak(self, peak: float) -> float:
        return self.flops / self.step / peak


class Device:
    """The GPU, or without one the CPU."""

    def __init__(self) -> None:
        self.type = "cuda" if torch.cuda.is_available() else "cpu"
        self.bf16 = computes_in_bf16("auto")

    @property
    def is_gpu(self) -> bool:
        return self.type == "cuda"

    @property
    def compiler(self) -> dict[str, str]:
        """PyTorch's own, which needs minutes on a CPU; there, one that only finds the graph."""
        return {} if self.is_gpu else {"backend": "aot_eager"}

    @property
    def description(self) -> str:
        name = torch.cuda.get_device_name() if self.is_gpu else "CPU"
        return f"{name}, {'bf16' if self.bf16 else 'fp32'}, torch {torch.__version__}"

    def wait(self) -> None:
        if self.is_gpu:
            torch.cuda.synchronize()

    def forget_peak(self) -> None:
        gc.collect()  # models and their hooks refer to each other
        if self.is_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    @property
    def peak_mb(self) -> float:
        return torch.cuda.max_memory_allocated() / 2**20 if self.is_gpu else 0.0

    def peak_flops(self, size: int) -> float:
        """Operations per second of a large matrix product: the median of ten turns."""
        kind = torch.bfloat16 if self.bf16 else torch.float32
        one, other = (torch.randn(size, size, device=self.type, dtype=kind) for _ in range(2))
        seconds = []
        for _ in range(13):
            self.wait()
            began = time.perf_counter()
            for _ in range(5):
                one @ other
            self.wait()
            seconds.append((time.perf_counter() - began) / 5)
        return 2 * size**3 / statistics.median(seconds[3:])


def step(training: Training) -> None:
    training.forward_backward()
    training.optimizer.step()
    training.optimizer.zero_grad()


def measure(setting: Setting, sizes: Sizes, device: Device, profiled: bool) -> Speed:
    """The speed of a setting; prints where the time of a step goes, if it is to be profiled."""
    torch.compiler.reset()
    device.forget_peak()
    with torch.device(device.type):
        training = Training(sizes.encoder, setting.injection, FACTS, setting.questions, device.type)
    flops = training.flops_of_a_step()
    device.forget_peak()
    if setting.compiled == "layers":
        # Not with the embeddings: their gradient, compiled, took 22 of 72 ms.
        for layer in training.model.encoder.encoder.layer:
            layer.compile(**device.compiler)
    elif setting.compiled == "whole":
        training.model.compile(**device.compiler, mode="reduce-overhead" if device.is_gpu else None)
    seconds = []
    for count in (1, 2, *[sizes.steps] * 3):
        device.wait()
        began = time.perf_counter()
        for _ in range(count):
            step(training)
        device.wait()
        seconds.append((time.perf_counter() - began) / count)
    if profiled:
        print(setting, *where_time_goes(training, device), sep="\n", file=sys.stderr)
    return Speed(
        setting,
        step=statistics.median(seconds[2:]),
        first_step=seconds[0],
        tokens=training.batch["input_ids"].numel(),
        flops=flops,
        peak_mb=device.peak_mb,
    )


def where_time_goes(training: Training, device: Device) -> list[str]:
    """Lines about a step: how long the GPU was busy, and its kernels by the time they took."""
    with profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as profiler:
        began = time.perf_counter()
        step(training)
        device.wait()
        wall = time.perf_counter() - began
    kernels = [each for each in profiler.key_averages() if each.device_type.name == "CUDA"]
    kernels.sort(key=lambda each: -each.self_device_time_total)
    busy = sum(each.self_device_time_total for each in kernels) / 1e6
    launched = sum(each.count for each in kernels)
    lines = [f"{launched} kernels, {1000 * busy:.1f} ms of {1000 * wall:.1f} ms (profiled)"]
    for each in kernels[:LONGEST_PROFILE]:
        milliseconds = each.self_device_time_total / 1000
        lines.append(f"{milliseconds:8.2f} ms  {each.count:5} × {each.key[:90]}")
    return lines


# --- the same bits


@dataclass(frozen=True)
class KilledAt:
    """A log of training that ends its process by SIGKILL after the validation at a step."""

    step: int | None

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        if step == self.step and "validation_accuracy" in metrics:
            os.kill(os.getpid(), signal.SIGKILL)

    def flush(self) -> None:
        pass


@dataclass(frozen=True)
class World:
    """The folder of a generated world: its tables, an encoder for it, and trainings on it."""

    folder: Path

    def make(self, sizes: Sizes, layers: int) -> None:
        world = DemoWorld(
            train_questions=sizes.trained_questions, validation_questions=96, test_questions=24
        )
        write_world(world, self.folder / "world")
        build_questions(DemoQuestions(), self.folder / "world", self.questions)
        build_facts([DemoFacts()], [self.folder / "world"], self.facts)
        index_words(Retrieval(), self.facts, self.folder / "index")
        found = self.folder / "retrieval.parquet"
        retrieve(Retrieval(top_k=6), self.questions, self.facts, [self.folder / "index"], found)
        write_tiny_encoder(self.folder / "encoder", world, layers, sizes.width)
        for table in (self.questions, self.facts):
            featurize(table, str(self.folder / "encoder"), table.with_suffix(".arrow"))

    @property
    def questions(self) -> Path:
        return self.folder / "questions.parquet"

    @property
    def facts(self) -> Path:
        return self.folder / "facts.parquet"

    def run(self, name: str) -> RunFolder:
        return RunFolder.of(self.folder / "runs", name, SEED)

    def train(self, name: str, limits: Mapping[str, int], killed_at: int | None = None) -> None:
        """Trains `ffn`; the process ends by SIGKILL after the validation at a step."""
        model = Model(encoder=str(self.folder / "encoder"), injection="ffn", max_tokens=128)
        training = TrainingSection(**limits, learning_rate=1e-4, warmup_steps=2)
        out, checkpoints = self.run(name).path, self.folder / "checkpoints" / name
        with training_lock(out, checkpoints) as lock:
            train(
                TrainSettings(model=model, training=training),
                SEED,
                self.questions.with_suffix(".arrow"),
                (self.facts.with_suffix(".arrow"), self.folder / "retrieval.parquet"),
                out,
                checkpoints,
                lock,
                KilledAt(killed_at),
                version="1",
            )

    def train_in_processes(self, trainings: Mapping[str, int | None]) -> list[int]:
        """Trains side by side; the exit status of each, negative = the signal that ended it."""
        started = [
            get_context("spawn").Process(target=self.train, args=(name, COMPARED, killed_at))
            for name, killed_at in trainings.items()
        ]
        for process in started:
            process.start()
        for process in started:
            process.join()
        return [process.exitcode or 0 for process in started]

    def differ(self, one: str, other: str) -> list[str]:
        """The weights in which two runs differ, or what else does."""
        first, second = (self.run(name) for name in (one, other))
        weights, others = (load_file(run.model / "model.safetensors") for run in (first, second))
        names = [name for name in weights if not torch.equal(weights[name], others[name])]
        noted = [TrainingSummary.read(run.summary) for run in (first, second)]
        for field in ("steps", "best_step", "validation_accuracy"):
            if getattr(noted[0], field) != getattr(noted[1], field):
                names.append(field)
        return names


def speed_of_train(sizes: Sizes) -> str:
    """How long a step of `kformer train` takes, as it notes itself."""
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        world.make(sizes, layers=12)
        world.train("timed", {"max_steps": sizes.timed_steps, "evaluations": 1})
        noted = TrainingSummary.read(world.run("timed").summary)
    assert noted.seconds_per_step
    return (
        f"kformer train, ffn, 16 questions of the demo's world a step: "
        f"{1000 * noted.seconds_per_step:.1f} ms/step, {noted.train_seconds:.0f} s in all"
    )


def check_bits(sizes: Sizes) -> dict[str, bool]:
    """Whether the same seed gives the same bits, twice and after a kill."""
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        world.make(sizes, layers=4)
        ended = world.train_in_processes({"whole": None, "again": None, "killed": KILLED_AT})
        if ended != [0, 0, -signal.SIGKILL]:
            return {f"trainings end with 0, 0, SIGKILL: {ended}": False}
        if world.train_in_processes({"killed": None}) != [0]:
            return {"a killed training is resumed": False}
        return {
            "the same seed twice: the same bits": not world.differ("whole", "again"),
            "killed and resumed: the same bits": not world.differ("whole", "killed"),
        }


# --- the report


def table_of(speeds: list[Speed], peak: float) -> Table:
    table = Table(title=f"matrix product: {peak / 1e12:.4g} TFLOP/s", title_justify="left")
    table.add_column("questions a step")
    table.add_column("injection")
    columns = ["ms/step", "questions/s", "tokens/s", "of peak", "peak MB", "first step s"]
    for column in columns:
        table.add_column(column, justify="right")
    for each in speeds:
        table.add_row(
            str(each.setting.questions),
            each.setting.name,
            f"{1000 * each.step:.1f}",
            f"{each.setting.questions / each.step:,.0f}",
            f"{each.tokens / each.step:,.0f}",
            f"{each.of_peak(peak):.1%}",
            f"{each.peak_mb:,.0f}" if each.peak_mb else "–",
            f"{each.first_step:.1f}",
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tiny", action="store_true", help="tiny sizes, for a CPU")
    parser.add_argument("--profile", action="store_true", help="also show kernels, on a GPU")
    options = parser.parse_args()
    sizes = TINY if options.tiny else FULL
    logging.disable_progress_bar()
    use_deterministic_kernels()
    device = Device()
    console = Console(width=120 if not sys.stdout.isatty() else None)
    peak = device.peak_flops(sizes.matrix)
    speeds, checks = [], {}
    for setting in settings_to_measure(sizes):
        try:
            speeds.append(measure(setting, sizes, device, options.profile and device.is_gpu))
        except RuntimeError as error:  # out of memory, or what cannot be compiled
            print(f"{setting}: {error}", file=sys.stderr)
            checks[f"{setting} is measured"] = False
            continue
        print(setting, f"{1000 * speeds[-1].step:.1f} ms/step", file=sys.stderr)
    trained = speed_of_train(sizes)
    checks |= check_bits(sizes)
    if device.is_gpu:
        plain = [each.of_peak(peak) for each in speeds if each.setting.injection == "none"]
        checks[f"none reaches {BAR:.0%} of the matrix product"] = max(plain, default=0) >= BAR
    console.print(device.description)
    console.print(table_of(speeds, peak))
    console.print(trained)
    for check, held in checks.items():
        console.print(f"{'ok    ' if held else 'FAILED'}  {check}")
    sys.exit(not all(checks.values()))


if __name__ == "__main__":
    main()
