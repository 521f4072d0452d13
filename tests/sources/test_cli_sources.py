"""`kformer fetch` and `kformer sources` as a user types them."""

import json
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
    return str(CATALOGUE[name].files[0].url)


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
        assert kformer("fetch", "atomic", "--out", "got", *settings)[0] == 0
        assert files_in(tmp_path / "got") == TEXTS

    def test_the_users_own_data_is_locked(self, kformer, tmp_path):
        (tmp_path / "my.zip").write_bytes(zipped(TEXTS))
        options = (*override(mine={"url": "my.zip"}), "--lock", "my.lock")
        assert kformer("fetch", "mine", "--out", "got", *options)[0] == 0
        assert json.loads((tmp_path / "my.lock").read_text())["my.zip"]["source"] == "mine"
        (tmp_path / "my.zip").write_bytes(OFFICIAL)
        status, _, err = kformer("fetch", "mine", "--out", "new", *options)
        assert status == 1
        assert "delete the entry 'my.zip' from my.lock" in err

    @pytest.mark.parametrize("option", [("--downloads", "shared"), ()])
    def test_the_cache_can_be_shared(self, option, kformer, monkeypatch):
        kept("atomic", "shared").write_bytes(OFFICIAL)
        if not option:
            monkeypatch.setenv("KFORMER_DOWNLOADS", "shared")
        assert kformer("fetch", "atomic", "--out", "got", *option)[0] == 0

    def test_without_internet_all_that_is_missing_is_listed_in_one_line(self, kformer):
        settings = override(atomic={}, medquad={})
        status, _, err = kformer("fetch", "medquad", "--out", "got", *settings)
        assert status == 1
        message = err.splitlines()[-1]
        assert message.startswith(f"error: source medquad: {url_of('medquad')} cannot be reached: ")
        assert f" get it by hand and put it at {kept('medquad')}, or " in message
        facts = f" ({len(OFFICIAL):,} bytes, sha256 {sha256(OFFICIAL)})"
        assert message.endswith(
            f"; missing, too: atomic: {url_of('atomic')}{facts} -> {kept('atomic')}"
        )

    @pytest.mark.parametrize("way", ["option", "environment"])
    def test_what_is_too_large_is_not_fetched(self, way, kformer, site, monkeypatch):
        site.content = zipped(TEXTS)
        options = ["--max-download", "10"] if way == "option" else []
        if way == "environment":
            monkeypatch.setenv("KFORMER_MAX_DOWNLOAD", "10")
        settings = override(mine={"url": site.url()})
        status, _, err = kformer("fetch", "mine", "--out", "got", *settings, *options)
        assert status == 1
        assert "has more than 10 bytes, and nobody published its size; set KFORMER_MAX" in err

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
        assert "  here, verified  " in out.splitlines()[0]
        assert out.splitlines()[2].split() == ["found", "at", str(kept("atomic"))]

    def test_without_a_checksum_it_is_locked_once_it_was_fetched(self, kformer):
        kept("medquad").write_bytes(zipped(TEXTS))
        assert "  here, not locked  " in kformer("sources", "medquad")[1]
        assert kformer("fetch", "medquad", "--out", "got")[0] == 0
        assert "  here, locked  " in kformer("sources", "medquad")[1]
        kept("medquad").unlink()
        _, out, _ = kformer("sources", "medquad")
        assert "  not here  " in out
        assert f"  {len(zipped(TEXTS))} bytes" in out  # as locked

    def test_what_is_damaged_or_differs_from_the_lock_file_is_named_and_kept(self, kformer):
        kept("medquad").write_bytes(zipped(TEXTS))
        kformer("fetch", "medquad", "--out", "got")
        kept("medquad").write_bytes(OFFICIAL)
        kept("atomic").write_bytes(b"rotten")
        status, out, err = kformer("sources")
        assert (status, out.count("\n"), err.count("\n")) == (1, 6, 1)
        assert out.count("  here, DAMAGED  ") == err.count("has sha256") == 2
        assert err.startswith(f"error: source atomic: {kept('atomic')} has sha256 ")
        assert "; delete that file to get it again, or set sources.atomic.sha256 if" in err
        assert f"delete the entry {url_of('medquad')!r} from sources.lock.json" in err
        assert kept("atomic").exists()

    def test_the_users_own_data_mirrors_and_paths(self, kformer, tmp_path):
        (tmp_path / "my.zip").write_bytes(zipped(TEXTS))
        files = {"train": "my.zip", "test": "none.jsonl"}
        settings = override(mine={"files": files}, atomic={"mirrors": ["a.tgz", "b.tgz"]})
        _, out, _ = kformer("sources", *settings)
        lines = [" ".join(line.split()) for line in out.splitlines()]
        assert f"from {url_of('atomic')} (and 2 mirrors)" in lines
        assert f"mine.train here, not locked {len(zipped(TEXTS))} bytes your own" in lines
        assert f"found at {tmp_path / 'my.zip'}" in lines
        assert f"put at {tmp_path / 'none.jsonl'}" in lines

    def test_mistakes(self, mistake, tmp_path):
        assert "'wikipedia' is not a known source; known are: " in mistake("sources", "wikipedia")
        (tmp_path / "sources.lock.json").write_text("{")
        assert "sources.lock.json: not a lock file of sources: " in mistake("sources")


def test_the_real_catalogue_fits_80_columns_has_whole_addresses_and_loads_nothing_heavy(tmp_path):
    code = (
        "import sys\nfrom kformer import cli\nsys.argv = ['kformer', 'sources']\n"
        "try:\n    cli.main()\nexcept SystemExit:\n    pass\n"
        "print({'torch', 'transformers', 'mlflow'} & sys.modules.keys())"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    *lines, heavy = done.stdout.splitlines()
    assert heavy == "set()"
    assert all(len(line) <= 80 for line in lines[::3])
    assert "  from     hf://datasets/bigbio/med_qa/data_clean.zip" in lines
    assert any(line.endswith("/conceptnet-assertions-5.7.0.csv.gz") for line in lines)
