"""What tests of several parts need: tiny encoders, worlds and folders, made on the spot."""

import io
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # several at once, each on a core of its own
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from kformer import cli
from kformer.demo_world import DemoWorld, write_world
from kformer.io.text_files import read_jsonl
from kformer.knowledge.build import build_facts
from kformer.knowledge.demo import DemoFacts
from kformer.questions.build import build_questions
from kformer.questions.demo import DemoQuestions
from kformer.retrieval.index import index_words
from kformer.retrieval.retrieve import retrieve
from kformer.retrieval.settings import Retrieval


def pytest_addoption(parser: pytest.Parser) -> None:
    about = "where tests of the model compute, such as cuda; training finds a GPU by itself"
    parser.addoption("--device", default="cpu", help=about)


_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
TINY_WORLD = DemoWorld(train_questions=48, validation_questions=24, test_questions=24)


@pytest.fixture(scope="session")
def tiny_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the questions and facts of a tiny demo world."""
    folder = tmp_path_factory.mktemp("world") / "world"
    write_world(TINY_WORLD, folder)
    return folder


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory, tiny_world: Path) -> Path:
    """A folder with a random BERT (4 layers, width 32) and a tokenizer for the demo world."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("encoder")
    rows = [row for _, row in read_jsonl(tiny_world / "facts.jsonl")]
    rows += [row for _, row in read_jsonl(tiny_world / "questions.jsonl")]
    texts = [row.get("text") or f"{row['context']} {row['question']}" for row in rows]
    words = sorted({word for text in texts for word in text.lower().replace(".", " ").split()})
    letters = [f"{prefix}{c}" for prefix in ("", "##") for c in "abcdefghijklmnopqrstuvwxyz.:?,'"]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {word: i for i, word in enumerate(dict.fromkeys([*special, *letters, *words]))}
    BertTokenizerFast(vocab=vocabulary).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=96,
    )
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_tables(tmp_path_factory: pytest.TempPathFactory, tiny_world: Path) -> Path:
    """A folder with the tables of the tiny world: questions, facts, and two of retrieval."""
    folder = tmp_path_factory.mktemp("tables")
    questions, facts = folder / "questions.parquet", folder / "facts.parquet"
    build_questions(DemoQuestions(), tiny_world, questions)
    build_facts([DemoFacts()], [tiny_world], facts)
    index_words(Retrieval(), facts, folder / "index")
    for query in ("question", "choice"):
        settings = Retrieval(top_k=6, query=query)
        retrieve(settings, questions, facts, [folder / "index"], folder / f"{query}.parquet")
    return folder


@pytest.fixture(scope="session")
def tokenise(tiny_encoder: Path) -> Callable[[Path], Path]:
    """Writes the tokens of a table beside it, and returns where."""
    from kformer.modeling.featurize import featurize

    def write(table: Path) -> Path:
        out = table.with_suffix(".arrow")
        featurize(table, str(tiny_encoder), out)
        return out

    return write


@pytest.fixture(scope="session")
def tiny_tokens(tiny_tables: Path, tokenise: Callable[[Path], Path]) -> tuple[Path, Path]:
    """The tokens of questions and facts of the tiny world."""
    return tokenise(tiny_tables / "questions.parquet"), tokenise(tiny_tables / "facts.parquet")


@pytest.fixture(scope="session")
def random_run(tiny_encoder: Path) -> Callable[..., None]:
    """Makes a folder as a training run leaves it, with large random weights."""
    import torch

    from kformer.io.output_names import RunFolder
    from kformer.io.training_summary import TrainingSummary
    from kformer.modeling import KformerForMultipleChoice, KformerProcessor
    from kformer.modeling.pretrained import load_tokenizer
    from kformer.training.finished import finish

    counted = ("seed", "steps", "train_questions", "inputs_cut", "parameters", "added_parameters")
    measured = ("seconds_per_step", "train_seconds", "validation_accuracy", "peak_memory_mb")
    unknown = dict.fromkeys((*measured, "best_step"))
    of_machine = {"precision": "fp32", "device": "cpu", "version": "1"}
    summary = TrainingSummary(**dict.fromkeys(counted, 1), **unknown, **of_machine)

    def make(folder: Path, injection: str, noted: Mapping[str, Any], **settings: Any) -> None:
        torch.manual_seed(0)
        model = KformerForMultipleChoice.from_encoder(tiny_encoder, injection=injection, **settings)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.2)
        processor = KformerProcessor(load_tokenizer(tiny_encoder), model.config)
        finish(RunFolder(folder), model, processor, summary.model_copy(update=dict(noted)))

    return make


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch on one thread, so that what is computed twice is the same to the last bit."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


Content = str | bytes | list[Any]


def as_bytes(content: Content, name: str) -> bytes:
    """What a file holds: rows become Parquet or JSON lines; a text among them is such a line."""
    if isinstance(content, list) and name.endswith(".parquet"):
        file = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(content), file)
        return file.getvalue()
    if isinstance(content, list):
        lines = (row if isinstance(row, str) else json.dumps(row) for row in content)
        return "\n".join(lines).encode()
    return content if isinstance(content, bytes) else content.encode()


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Mapping[str, Content]], Path]:
    """Writes files, named by their paths, into a new folder and returns it."""
    base = tmp_path_factory.mktemp("folders")

    def write(files: Mapping[str, Content]) -> Path:
        folder = Path(tempfile.mkdtemp(dir=base))
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(as_bytes(content, name))
        return folder

    return write


@pytest.fixture
def kformer(monkeypatch, capsys):
    """Runs a command as the shell would; returns its exit status, stdout and stderr."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["kformer", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = (_COLOURS.sub("", text) for text in capsys.readouterr())  # as on GitHub
        if isinstance(ended.value.code, str):  # Python prints it and exits with 1
            return 1, out, f"{err}{ended.value.code}\n"
        return ended.value.code or 0, out, err

    return run
