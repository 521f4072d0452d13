"""`kformer fetch` and `kformer sources` as a user types them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kformer.sources.catalogue import CATALOGUE

from .conftest import TEXTS, files_in, sha256, source_of, tarred, unpublished, zipped

OFFICIAL = tarred(TEXTS)


@pytest.fixture(autouse=True)
def catalogue(monkeypatch, tmp_path, dead):
    """Two sources whose addresses nobody answers, one of them with a published checksum."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("KFORMER_DOWNLOADS", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    for name in CATALOGUE.keys() - {"atomic", "medquad"}:
        monkeypatch.delitem(CATALOGUE, name)
    monkeypatch.setitem(CATALOGUE, "atomic", source_of(OFFICIAL, dead, size=len(OFFICIAL)))
    monkeypatch.setitem(CATALOGUE, "medquad", unpublished(f"{dead}-quad", name="medquad"))


@pytest.fixture
def mistake(kformer):
    """Runs a command that fails; returns its one line."""

    def run(*arguments):
        status, out, err = kformer(*arguments)
        assert (status, out) == (1, "")
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        return err

    return run


def kept(name, folder="resources/downloads"):
    path = Path(folder).absolute() / f"{name}-{CATALOGUE[name].key}"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def url_of(name):
    return CATALOGUE[name].files[0].url


def override(**settings):
    return ("--settings", json.dumps(settings))


class TestFetch:
    def test_a_source_of_the_catalogue(self, kformer, tmp_path):
        kept("atomic").write_bytes(OFFICIAL)
        status, out, err = kformer("fetch", "atomic", "--out", "got")
        assert (status, out) == (0, "")
        assert err.startswith(f"fetch atomic: bytes {float(len(OFFICIAL)):.4g}, files 2, ")
        assert files_in(tmp_path / "got") == TEXTS
        assert not (tmp_path / "sources.lock.json").exists()

    def test_settings_name_sources(self, kformer, tmp_path):
        (tmp_path / "other.zip").write_bytes(zipped(TEXTS))
        changed = {"url": "other.zip", "sha256": sha256(zipped(TEXTS))}
        settings = override(atomic=changed, medquad={})
        status, _, err = kformer("fetch", "atomic", "--out", "got", *settings)
        assert status == 0, err
        assert files_in(tmp_path / "got") == TEXTS

    def test_the_users_own_data_is_locked(self, kformer, tmp_path):
        (tmp_path / "my.zip").write_bytes(zipped(TEXTS))
        settings = override(mine={"url": "my.zip"})
        status, _, err = kformer("fetch", "mine", "--out", "got", *settings, "--lock", "my.lock")
        assert status == 0, err
        assert json.loads((tmp_path / "my.lock").read_text())["my.zip"]["source"] == "mine"
        (tmp_path / "my.zip").write_bytes(OFFICIAL)
        status, _, err = kformer("fetch", "mine", "--out", "new", *settings, "--lock", "my.lock")
        assert status == 1
        assert "delete the entry 'my.zip' from my.lock" in err

    @pytest.mark.parametrize("option", [("--downloads", "shared"), ()])
    def test_the_cache_can_be_shared(self, option, kformer, monkeypatch):
        kept("atomic", "shared").write_bytes(OFFICIAL)
        if not option:
            monkeypatch.setenv("KFORMER_DOWNLOADS", "shared")
        status, _, err = kformer("fetch", "atomic", "--out", "got", *option)
        assert status == 0, err

    def test_without_internet_all_that_is_missing_is_listed(self, kformer):
        settings = override(atomic={}, medquad={})
        status, _, err = kformer("fetch", "medquad", "--out", "got", *settings)
        assert status == 1
        first, *rest = err.splitlines()[-3:]
        assert first.startswith("error: source medquad: ")
        assert sorted(rest) == sorted(
            [
                f"  atomic: {url_of('atomic')} ({len(OFFICIAL):,} bytes, "
                f"sha256 {sha256(OFFICIAL)}) -> {kept('atomic')}",
                f"  medquad: {url_of('medquad')} -> {kept('medquad')}",
            ]
        )

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ("{", "--settings: not valid JSON"),
            ('{"atomic": {"urk": "x"}}', "atomic.urk: unknown key; did you mean url? allowed here"),
            ('{"atomci": {}}', "'atomci' is not a known source; known are: atomic, medquad"),
            ('{"atomic": {"sha256": "x"}}', "atomic.sha256: "),
        ],
    )
    @pytest.mark.parametrize("command", [("fetch", "atomic", "--out", "got"), ("sources",)])
    def test_mistakes_in_settings(self, command, settings, words, mistake):
        assert words in mistake(*command, "--settings", settings)


class TestSources:
    def test_nothing_is_here(self, kformer, tmp_path):
        status, out, err = kformer("sources")
        assert (status, err) == (0, "")
        assert [line.split() for line in out.splitlines()] == [
            ["atomic", "not", "here", str(len(OFFICIAL)), "bytes", "none"],
            ["from", url_of("atomic")],
            ["put", "at", str(kept("atomic"))],
            ["medquad", "not", "here", "size", "unknown", "none"],
            ["from", url_of("medquad")],
            ["put", "at", str(kept("medquad"))],
        ]

    def test_what_is_here_is_verified(self, kformer):
        kept("atomic").write_bytes(OFFICIAL)
        status, out, err = kformer("sources", "atomic")
        assert (status, err) == (0, "")
        first, _, last = out.splitlines()
        assert "  here, verified  " in first
        assert last.split() == ["lies", "at", str(kept("atomic"))]

    def test_without_a_checksum_it_is_locked_once_it_was_fetched(self, kformer):
        kept("medquad").write_bytes(zipped(TEXTS))
        assert "  here, not locked  " in kformer("sources", "medquad")[1]
        assert kformer("fetch", "medquad", "--out", "got")[0] == 0
        assert "  here, locked  " in kformer("sources", "medquad")[1]
        kept("medquad").unlink()
        _, out, _ = kformer("sources", "medquad")
        assert "  not here  " in out
        assert f"  {len(zipped(TEXTS))} bytes" in out  # as locked

    def test_a_damaged_file_is_named_and_kept(self, kformer):
        kept("atomic").write_bytes(b"rotten")
        status, out, err = kformer("sources")
        assert status == 1
        assert "  here, DAMAGED  " in out
        assert out.count("\n") == 6
        assert err.startswith(f"error: source atomic: {kept('atomic')} has sha256 ")
        assert "; delete that file to get it again, or set sources.atomic.sha256 if" in err
        assert err.count("\n") == 1
        assert kept("atomic").exists()

    def test_what_differs_from_the_lock_file_is_damaged_and_all_problems_are_in_one_line(
        self, kformer
    ):
        kept("medquad").write_bytes(zipped(TEXTS))
        kformer("fetch", "medquad", "--out", "got")
        kept("medquad").write_bytes(OFFICIAL)
        kept("atomic").write_bytes(b"rotten")
        status, out, err = kformer("sources")
        assert status == 1
        assert out.count("  here, DAMAGED  ") == err.count("has sha256") == 2
        assert err.count("\n") == 1
        assert f"delete the entry {url_of('medquad')!r} from sources.lock.json" in err

    def test_the_users_own_data_mirrors_and_paths(self, kformer, tmp_path):
        (tmp_path / "my.zip").write_bytes(zipped(TEXTS))
        settings = override(mine={"url": "my.zip"}, atomic={"mirrors": ["a.tgz", "b.tgz"]})
        _, out, _ = kformer("sources", *settings)
        lines = [" ".join(line.split()) for line in out.splitlines()]
        assert f"from {url_of('atomic')} (and 2 mirrors)" in lines
        assert f"mine here, not locked {len(zipped(TEXTS))} bytes your own" in lines
        assert f"lies at {tmp_path / 'my.zip'}" in lines
        files = {"files": {"train": "my.zip", "test": "none.jsonl"}}
        _, out, _ = kformer("sources", "mine", *override(mine=files))
        assert "mine.train  here, not locked" in out
        assert f"put at   {tmp_path / 'none.jsonl'}" in out

    def test_an_unknown_name(self, mistake):
        assert "'wikipedia' is not a known source; known are: " in mistake("sources", "wikipedia")

    def test_a_malformed_lock_file(self, mistake, tmp_path):
        (tmp_path / "sources.lock.json").write_text("{")
        assert "sources.lock.json: not a lock file of sources: " in mistake("sources")


def in_a_shell(folder, *arguments, **environment):
    clean = {key: value for key, value in os.environ.items() if not key.startswith("KFORMER")}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env=clean | {"COLUMNS": "80"} | environment,
        timeout=60,
        check=True,
    )


def test_every_head_line_of_the_real_catalogue_fits_80_columns_and_addresses_are_whole(tmp_path):
    done = in_a_shell(tmp_path, "-c", "from kformer import cli; cli.main()", "sources")
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert all(len(line) <= 80 for line in lines[::3])
    assert "  from     hf://datasets/bigbio/med_qa/data_clean.zip" in lines
    assert any(line.endswith("/conceptnet-assertions-5.7.0.csv.gz") for line in lines)


def test_nothing_heavy_is_loaded(tmp_path):
    code = (
        "import sys\nfrom kformer import cli\nsys.argv = ['kformer', 'sources']\n"
        "try:\n    cli.main()\nexcept SystemExit:\n    pass\n"
        "print({'torch', 'transformers', 'mlflow'} & sys.modules.keys())"
    )
    assert in_a_shell(tmp_path, "-c", code).stdout.splitlines()[-1] == "set()"
