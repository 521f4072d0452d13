"""An encoder for scripts that try the machinery, not the method: random, and made in a second."""

import tempfile
from pathlib import Path
from string import ascii_lowercase

import torch
from transformers import BertConfig, BertModel, BertTokenizerFast

from kformer.demo_world import DemoWorld, write_world
from kformer.io.text_files import read_jsonl


def write_tiny_encoder(folder: Path, of: DemoWorld, layers: int = 4, width: int = 32) -> None:
    """Writes a random BERT, tiny or not, and a tokenizer for the words of a demo world."""
    with tempfile.TemporaryDirectory() as scratch:
        world = Path(scratch) / "world"
        write_world(of, world)
        files = (world / f"{name}.jsonl" for name in ("facts", "questions"))
        rows = [row for file in files for _, row in read_jsonl(file)]
    texts = [row.get("text") or f"{row['context']} {row['question']}" for row in rows]
    words = sorted({word for text in texts for word in text.lower().replace(".", " ").split()})
    letters = [f"{prefix}{letter}" for prefix in ("", "##") for letter in f"{ascii_lowercase}.:?,'"]
    tokens = dict.fromkeys(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *words])
    vocabulary = {token: number for number, token in enumerate(tokens)}
    BertTokenizerFast(vocab=vocabulary).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=max(4, width // 64),
        intermediate_size=4 * width,
        max_position_embeddings=96,
    )
    BertModel(config).save_pretrained(folder)
