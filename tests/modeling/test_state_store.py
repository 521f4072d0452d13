"""Kept states on disk: what is written is read, and what is damaged or of other inputs is not."""

import re
import shutil
from types import SimpleNamespace

import pytest
import torch

from kformer.errors import KformerError
from kformer.modeling import Features
from kformer.modeling import state_store as store
from kformer.modeling.state_store import KeptStates, StatesOrigin, write_states

LENGTHS = {"first": [3, 5], "sec\nond": [4], "third": [2, 2, 6]}
ORIGIN = StatesOrigin("config", "weights", layer=2, width=8, precision="fp32", device="cpu")


def question(name, lengths):
    choices = [[10 * number + i for i in range(n)] for number, n in enumerate(lengths)]
    return SimpleNamespace(question_id=name, features=Features(choices, [], False, 0))


QUESTIONS = [question(name, lengths) for name, lengths in LENGTHS.items()]


def states_of(each):
    generator = torch.Generator().manual_seed(len(each.question_id))
    return [torch.randn(len(ids), 8, generator=generator) for ids in each.features.choices]


def written(folder, origin=ORIGIN):
    computed = ((position, states_of(QUESTIONS[position])) for position in (2, 0, 1))
    write_states(folder, origin, QUESTIONS, computed)
    return folder


@pytest.mark.parametrize(("precision", "size"), [("fp32", 4), ("bf16", 2)])
def test_what_is_written_in_any_order_is_read_in_any_batch(precision, size, tmp_path):
    origin = StatesOrigin("config", "weights", 2, 8, precision, "cpu")
    kept = KeptStates(written(tmp_path / "states", origin))
    assert kept.origin == origin
    assert (tmp_path / "states/states.bin").stat().st_size == 22 * 8 * size
    for chosen in ([0, 1, 2], [2], [1, 0], [1, 1]):
        batch = [QUESTIONS[i] for i in chosen]
        padded = kept.padded(batch)
        longest = max(each.features.length for each in batch)
        most = max(len(each.features.choices) for each in batch)
        assert padded.shape == (len(batch), most, longest, 8)
        assert padded.dtype == (torch.bfloat16 if precision == "bf16" else torch.float32)
        for of_question, each in zip(padded, batch, strict=True):
            for number, states in enumerate(states_of(each)):
                expected = states.to(padded.dtype)
                assert torch.equal(of_question[number, : len(states)], expected)
                assert not of_question[number, len(states) :].any()
            assert not of_question[len(each.features.choices) :].any()


def test_the_same_states_are_the_same_bytes(tmp_path):
    one, other = written(tmp_path / "one"), written(tmp_path / "other")
    for name in ("states.bin", "inputs.parquet"):
        assert (one / name).read_bytes() == (other / name).read_bytes()


@pytest.mark.parametrize(
    "asked",
    [
        question("fourth", [3]),
        question("first", [3]),
        question("first", [3, 4]),
        SimpleNamespace(question_id="first", features=Features([[1, 2, 3], [0] * 5], [], False, 0)),
    ],
)
def test_states_of_other_inputs_are_refused(asked, tmp_path):
    kept = KeptStates(written(tmp_path / "states"))
    with pytest.raises(KformerError, match=f"of other inputs, .*{asked.question_id!r}"):
        kept.padded([QUESTIONS[1], asked])


@pytest.mark.parametrize(
    ("field", "other"),
    [("encoder", "x"), ("encoder_weights", "x"), ("layer", 3), ("precision", "bf16")],
)
def test_states_of_another_origin_are_refused_and_have_another_identity(field, other, tmp_path):
    kept = KeptStates(written(tmp_path / "states"))
    kept.check_origin(ORIGIN)
    changed = StatesOrigin(**vars(ORIGIN) | {field: other})
    with pytest.raises(KformerError, match=f"the {field} of these states is .* {other}; delete"):
        kept.check_origin(changed)
    assert changed.identity != ORIGIN.identity


def test_any_damage_is_found_when_it_is_read(tmp_path):
    whole = written(tmp_path / "states")
    for name in ("states.bin", "inputs.parquet"):
        content = (whole / name).read_bytes()
        changes = [content[:-1], content + b"0"]
        for position in range(0, len(content), max(1, len(content) // 40)):
            flipped = bytes([content[position] ^ 4])
            changes.append(content[:position] + flipped + content[position + 1 :])
        for number, change in enumerate(changes):
            folder = shutil.copytree(whole, tmp_path / f"{name}-{number}")
            (folder / name).write_bytes(change)
            with pytest.raises(KformerError, match=r"damaged \(.*\); delete the folder"):
                KeptStates(folder).padded(QUESTIONS)


@pytest.mark.parametrize("missing", ["states.bin", "inputs.parquet"])
def test_a_missing_file_is_said(missing, tmp_path):
    folder = written(tmp_path / "states")
    (folder / missing).unlink()
    with pytest.raises(KformerError, match="no kept states; run `kformer states` first"):
        KeptStates(folder)


def test_states_of_another_version_are_refused(tmp_path, monkeypatch):
    folder = written(tmp_path / "states")
    monkeypatch.setattr(store, "_VERSION", 99)
    with pytest.raises(KformerError, match="states of another version; delete the folder"):
        KeptStates(folder)


def test_a_failure_leaves_nothing_and_what_is_there_is_kept(tmp_path):
    def failing():
        yield 0, states_of(QUESTIONS[0])
        raise ValueError

    with pytest.raises(ValueError):
        write_states(tmp_path / "states", ORIGIN, QUESTIONS, failing())
    assert list(tmp_path.iterdir()) == []
    written(tmp_path / "states")
    with pytest.raises(KformerError, match="this folder is there already"):
        written(tmp_path / "states")


def test_too_small_a_disk_is_said_before_anything_is_computed(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "spare_bytes", lambda folder: 100_000_000)
    origin = StatesOrigin("config", "weights", 2, 10_000_000, "fp32", "cpu")
    computed = iter([pytest.fail])
    message = re.escape("they need 0.9 GB, and 0.1 GB can be spared there; make room")
    with pytest.raises(KformerError, match=message):
        write_states(tmp_path / "states", origin, QUESTIONS, computed)
    assert len(list(computed)) == 1 and list(tmp_path.iterdir()) == []
