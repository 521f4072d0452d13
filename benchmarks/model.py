"""What each injection costs in a training step: time, memory and parameters, relative to none.

    python benchmarks/model.py                        # both encoders, 5, 20 and 100 facts
    python benchmarks/model.py --encoder roberta-base --facts 5 --questions 64

Steps of all injections take turns with those of none in one process (concat, which needs much
memory, in another), so that a busy machine slows all of them; each ratio is the median over the
turns. Inputs end at the longest that an encoder reads: concat has 48 of 100 facts in 512 tokens.
Peak memory is that of a process for each injection alone. Inputs are random: four choices of
32 tokens a question, facts of 10. On a CUDA device the throughput and the model FLOPs utilisation
are shown as well.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode
from transformers import RobertaConfig
from transformers.utils import logging

from kformer.compute_precision import computes_in_bf16
from kformer.encoder_lookup import BUNDLED, layer_span
from kformer.modeling import KformerConfig, KformerForMultipleChoice
from kformer.modeling.injections import find_injection
from kformer.training.preparation import parameter_counts

TIMED_TOGETHER = [["none", "static", "ffn", "attention"], ["none", "concat"]]
CHOICES, TOKENS, FACT_TOKENS = 4, 32, 10
WARM_UP = 1  # steps
RANDOM = {  # encoders with random weights, by what is not as in RoBERTa-base
    "roberta-base": {},
    "tiny": {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4}
    | {"num_hidden_layers": 3, "vocab_size": 4000},
}
# Of the 30,522 tokens of the bundled encoder, 14,045 occur in the ATOMIC triples.
VOCABULARY_OF_FACTS = 0.46
PEAK_BF16_FLOPS = {  # dense, as the makers state it
    "B200": 2250e12,
    "H200": 989e12,
    "H100": 989e12,
    "L40S": 362e12,
    "A100": 312e12,
}


def build(encoder: str, injection: str, facts: int) -> KformerForMultipleChoice:
    torch.manual_seed(0)
    if encoder == BUNDLED:
        model = KformerForMultipleChoice.from_encoder(encoder, injection=injection, facts=facts)
    else:
        config = RobertaConfig(type_vocab_size=1, max_position_embeddings=514, **RANDOM[encoder])
        top = layer_span("top3", config.num_hidden_layers)
        model = KformerForMultipleChoice(
            KformerConfig(encoder=config, injection=injection, injection_layers=top, facts=facts)
        )
    return model


def random_batch(
    model: KformerForMultipleChoice, questions: int, facts: int, device: str
) -> dict[str, torch.Tensor]:
    length = TOKENS
    if find_injection(model.config.injection).fact_input == "text":
        length = min(TOKENS + facts * FACT_TOKENS, model.config.max_tokens)
    tokens = 1000 + int(VOCABULARY_OF_FACTS * model.config.encoder.vocab_size)
    input_ids = torch.randint(1000, tokens, (questions, CHOICES, length))
    batch = {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids)}
    if model.fact_embeddings is not None:
        model.fact_embeddings.train_only(range(1000, tokens))
        fact_ids = torch.randint(1000, tokens, (questions, facts, FACT_TOKENS))
        batch |= {"fact_input_ids": fact_ids, "fact_attention_mask": torch.ones_like(fact_ids)}
    batch["labels"] = torch.zeros(questions, dtype=torch.long)
    return {name: tensor.to(device) for name, tensor in batch.items()}


class Training:
    """One model in training on one batch."""

    def __init__(
        self, encoder: str, injection: str, facts: int, questions: int, device: str
    ) -> None:
        model = build(encoder, injection, facts)
        self.added = parameter_counts(model)["added_parameters"]
        self.batch = random_batch(model, questions, facts, device)
        self.model = model.train()
        model.to(device)
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=True)
        self.device, self.bf16 = torch.device(device), computes_in_bf16("auto")

    def forward_backward(self) -> None:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            loss = self.model(**self.batch).loss
        loss.backward()

    def seconds_of_a_step(self) -> float:
        self._wait()
        began = time.perf_counter()
        self.forward_backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self._wait()
        return time.perf_counter() - began

    def flops_of_a_step(self) -> int:
        with FlopCounterMode(display=False) as counter:
            self.forward_backward()
        self.optimizer.zero_grad()
        return counter.get_total_flops()

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def measure(
    encoder: str, injections: list[str], facts: int, questions: int, turns: int, device: str
) -> dict[str, dict[str, float]]:
    """Seconds a step, ratio to the first injection, memory of the process, and parameters."""
    trainings = {name: Training(encoder, name, facts, questions, device) for name in injections}
    seconds: dict[str, list[float]] = {name: [] for name in injections}
    ratios: dict[str, list[float]] = {name: [] for name in injections}
    for turn in range(-WARM_UP, turns):
        first = 0.0
        for name, training in trainings.items():
            taken = training.seconds_of_a_step()
            first = first or taken
            if turn >= 0:
                seconds[name].append(taken)
                ratios[name].append(taken / first)
    if device == "cuda":
        peak = torch.cuda.max_memory_allocated() / 2**20
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return {
        name: {
            "seconds": statistics.median(seconds[name]),
            "ratio": statistics.median(ratios[name]),
            "peak_mb": peak,
            "added": training.added,
            "flops": training.flops_of_a_step() if device == "cuda" else 0,
        }
        for name, training in trainings.items()
    }


def in_a_process(settings: dict[str, Any]) -> dict[str, dict[str, float]]:
    command = [sys.executable, __file__, "--measure", json.dumps(settings)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def measure_all(common: dict[str, Any], turns: int) -> dict[str, dict[str, float]]:
    """The measurements of every injection, with the peak memory of a process for each."""
    setting = f"{common['encoder']}, {common['facts']} facts"
    print(f"{setting}: time", file=sys.stderr)
    fewer = max(turns // 4, 3)  # concat is slow
    others, with_concat = (
        in_a_process({**common, "injections": names, "turns": count})
        for names, count in zip(TIMED_TOGETHER, (turns, fewer), strict=True)
    )
    measured = others | {"concat": with_concat["concat"]}
    for name in measured:
        print(f"{setting}: memory of {name}", file=sys.stderr)
        alone = in_a_process({**common, "injections": [name], "turns": 1})
        measured[name]["peak_mb"] = alone[name]["peak_mb"]
    return measured


def as_table(common: dict[str, Any], measured: dict[str, dict[str, float]]) -> Table:
    encoder, facts, questions, device = common.values()
    table = Table(title=f"{encoder}, {facts} facts, {questions} questions", title_justify="left")
    on_cuda = ["questions/s", "MFU"] if device == "cuda" else []
    table.add_column("injection")
    for column in ["ms/step", "× none", "peak MB", "× none", "added parameters", *on_cuda]:
        table.add_column(column, justify="right")
    for name, each in measured.items():
        cells = [
            name,
            f"{1000 * each['seconds']:.0f}",
            f"{each['ratio']:.2f}",
            f"{each['peak_mb']:.0f}",
            f"{each['peak_mb'] / measured['none']['peak_mb']:.2f}",
            f"{each['added']:,.0f}",
        ]
        if on_cuda:
            rate = questions / each["seconds"]
            cells += [f"{rate:.0f}", utilisation(each["flops"] / each["seconds"])]
        table.add_row(*cells)
    return table


def utilisation(flops_per_second: float) -> str:
    """The share of what the device can do at best, where that is known."""
    name = torch.cuda.get_device_name()
    peaks = [peak for device, peak in PEAK_BF16_FLOPS.items() if device in name]
    return f"{flops_per_second / peaks[0]:.1%}" if peaks else "–"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--encoder", choices=[BUNDLED, *RANDOM], action="append")
    parser.add_argument("--facts", type=int, nargs="+", default=[5, 20, 100])
    parser.add_argument("--questions", type=int, help="a step (16 and, for RoBERTa on a CPU, 4)")
    parser.add_argument("--turns", type=int, default=12, help="steps measured (concat: a quarter)")
    available = ["cuda", "cpu"] if torch.cuda.is_available() else ["cpu"]
    parser.add_argument("--device", choices=available, default=available[0])
    parser.add_argument("--measure", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    logging.disable_progress_bar()
    if options.measure:
        print(json.dumps(measure(**options.measure)))
        return
    precision = "bf16 autocast" if computes_in_bf16("auto") else "fp32"
    console = Console(width=100 if not sys.stdout.isatty() else None)
    console.print(f"{options.device}, {precision}, torch {torch.__version__}")
    for encoder in options.encoder or [BUNDLED, "roberta-base"]:
        few = encoder != BUNDLED and options.device == "cpu"
        questions = options.questions or (4 if few else 16)
        for facts in options.facts:
            common = {
                "encoder": encoder,
                "facts": facts,
                "questions": questions,
                "device": options.device,
            }
            console.print(as_table(common, measure_all(common, options.turns)))


if __name__ == "__main__":
    main()
