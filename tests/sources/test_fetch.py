"""Fetching: from every kind of address, mirrors, the cache, and what to do by hand."""

import json
import multiprocessing
import time

import pytest

from kformer.errors import KformerError
from kformer.io.locks import Lock
from kformer.questions.user_files import ParquetQuestions
from kformer.sources import fetch
from kformer.sources.catalogue import UserSource, resolve
from kformer.sources.checksum_lock import check_unpacked, trust
from kformer.sources.fetch import fetch_source
from kformer.sources.unpacked_folder import BadArchive

from ..conftest import as_bytes
from .conftest import TEXTS, files_in, gzipped, sha256, source_of, tarred, unpublished, zipped


@pytest.fixture
def get(downloads, lock, out):
    """Fetches a source into the folder ``out``, or another one."""

    def run(source, to=out, needed=()):
        return fetch_source(source, downloads, lock, to, needed)

    return run


@pytest.fixture
def refusal(get, out):
    """The message of the expected error, after checking what holds for every one."""

    def run(source, needed=()):
        with pytest.raises(KformerError) as caught:
            get(source, needed=needed)
        message = str(caught.value)
        assert message.startswith("source atomic: ")
        assert len(message.splitlines()) == 1
        assert not out.exists()
        assert not out.parent.exists() or not list(out.parent.iterdir())
        return message

    return run


def change(lock, content):
    """Makes the lock file expect another checksum than that of some content."""
    lock.write_text(lock.read_text().replace(sha256(content), "ab" * 32))


# Every kind of address


@pytest.mark.parametrize("way", ["http", "file:", "path", "relative"])
@pytest.mark.parametrize(
    ("name", "content", "files"),
    [
        ("a #1.zip", zipped(TEXTS), TEXTS),
        ("a.tsv.gz", gzipped({"a.tsv": b"a\tb\n"}), {"a.tsv": b"a\tb\n"}),
        ("a.tsv", b"a\tb\n", {"a.tsv": b"a\tb\n"}),
    ],
    ids=["zip", "gz", "plain"],
)
def test_every_kind_of_file_comes_from_every_kind_of_address(
    way, name, content, files, site, tmp_path, downloads, out, get, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    site.content = content
    local = tmp_path / "my files" / name
    local.parent.mkdir()
    local.write_bytes(content)
    urls = {"http": site.url(name.replace(" #", "")), "file:": local.as_uri(), "path": local}
    metrics = get(source_of(content, urls.get(way, f"my files/{name}")))
    assert files_in(out) == files
    assert metrics.pop("seconds") > 0
    unpacked = {"files": len(files), "unpacked_bytes": sum(map(len, files.values()))}
    assert metrics == {"bytes": len(content), **unpacked}
    assert downloads.exists() == (way == "http")  # local files are not copied


# The cache


def test_a_finished_download_is_not_fetched_again(site, downloads, out, get):
    site.content = tarred(TEXTS)
    source = source_of(site.content, site.url())
    assert get(source)["bytes"] == get(source, out.with_name("again"))["bytes"]
    assert len(site.requests) == 1
    assert [path.name for path in downloads.glob("[!.]*")] == [f"atomic-{source.key}"]


def test_a_finished_download_is_verified_again(site, downloads, refusal):
    source = source_of(b"right", site.url())
    kept = downloads / f"atomic-{source.key}"
    downloads.mkdir()
    kept.write_bytes(b"rotten")
    assert refusal(source) == (
        f"source atomic: {kept} has sha256 {sha256(b'rotten')} (6 bytes), expected "
        f"{sha256(b'right')}; deleted it: get it again, or set sources.atomic.sha256 if these are "
        "the bytes that you want"
    )
    assert not kept.exists()


def test_a_cache_that_one_may_only_read_is_good_enough(dead, downloads, out, get, monkeypatch):
    content = tarred(TEXTS)
    source = source_of(content, dead)
    downloads.mkdir()
    (downloads / f"atomic-{source.key}").write_bytes(content)
    monkeypatch.setattr(fetch, "Lock", None)  # it would write; root may write anywhere
    get(source)
    assert files_in(out) == TEXTS


def test_two_processes_that_fetch_the_same_file_transfer_it_once(
    site, tmp_path, downloads, lock, capfd
):
    site.content = tarred({"a.bin": b"x" * 100, **TEXTS})
    source = source_of(site.content, site.url())
    context = multiprocessing.get_context("spawn")
    outs = [tmp_path / "one", tmp_path / "two"]
    processes = [
        context.Process(target=fetch_source, args=(source, downloads, lock, out)) for out in outs
    ]
    with Lock(downloads / f"atomic-{source.key}", work="fetching"):  # so that both have to wait
        for process in processes:
            process.start()
        time.sleep(1.5)
        assert site.requests == []
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert len(site.requests) == 1
    assert files_in(outs[0]) == files_in(outs[1]) != {}
    assert list(downloads.glob(".*")) == []
    said = capfd.readouterr().err
    assert f"/atomic-{source.key}: " in said and " is fetching it; waiting until that ends" in said


# What is not the expected file


def test_a_wrong_download_is_named_and_deleted(site, downloads, refusal):
    site.content = tarred(TEXTS)
    message = refusal(source_of(b"other", site.url()))
    assert f"the file from {site.url()} has sha256 {sha256(site.content)}" in message
    assert list(downloads.iterdir()) == []


def test_a_local_file_that_is_wrong_missing_or_a_folder_is_named_and_kept(tmp_path, refusal):
    (tmp_path / "a.zip").write_bytes(zipped(TEXTS))
    message = refusal(source_of(b"other", tmp_path / "a.zip"))
    assert f"{tmp_path}/a.zip has sha256 {sha256(zipped(TEXTS))}" in message
    assert (tmp_path / "a.zip").exists()
    message = refusal(source_of(b"", tmp_path / "none.zip"))
    assert f"{tmp_path}/none.zip does not exist; correct sources.atomic.url" in message
    assert f"{tmp_path} is a folder, not a file" in refusal(source_of(b"", tmp_path))


def test_a_file_without_permission_is_named(tmp_path, refusal, monkeypatch):
    def deny(*_):
        raise PermissionError(13, "Permission denied", "a.zip")

    (tmp_path / "a.zip").write_bytes(b"")
    monkeypatch.setattr(fetch, "unpack", deny)  # root may read everything
    assert "no permission to use a.zip" in refusal(source_of(b"", tmp_path / "a.zip"))


def test_a_damaged_archive_is_named(tmp_path, refusal):
    content = tarred(TEXTS)[:-20]
    (tmp_path / "a.tgz").write_bytes(content)
    message = refusal(source_of(content, tmp_path / "a.tgz"))
    assert f"archive {tmp_path}/a.tgz is truncated or damaged" in message
    assert message.endswith("; get it again, or set sources.atomic.url to a good copy")


@pytest.mark.parametrize("error", [KeyboardInterrupt, BadArchive("is bad")])
def test_an_interrupted_unpacking_leaves_nothing_and_can_be_repeated(
    error, tmp_path, lock, out, get, monkeypatch
):
    def interrupted(_archive, _name, folder):
        (folder / "half").write_text("half")
        raise error

    (tmp_path / "a.zip").write_bytes(zipped(TEXTS))
    source = unpublished(tmp_path / "a.zip")
    with monkeypatch.context() as patch:
        patch.setattr(fetch, "unpack", interrupted)
        with pytest.raises((KeyboardInterrupt, KformerError)):
            get(source)
    assert not out.exists()
    assert not lock.exists()
    get(source)
    assert files_in(out) == TEXTS


# Mirrors


def test_the_mirror_is_asked_only_where_nobody_answers(site, mirror, dead, out, get, caplog):
    site.content = mirror.content = tarred(TEXTS)
    get(source_of(site.content, site.url(), mirror.url()), out / "one")
    assert mirror.requests == []
    get(source_of(mirror.content, dead, mirror.url(), name="other"), out / "two")
    assert files_in(out / "two") == TEXTS
    (line,) = (each for each in caplog.messages if "trying again" not in each)
    refused = "cannot be reached: connection refused"
    assert line == f"source other: {dead} {refused}; trying {mirror.url()}"


def test_where_the_bytes_are_wrong_the_mirror_is_asked_for_all_of_it(
    site, mirror, downloads, out, get, caplog
):
    mirror.content = tarred({"a.bin": bytes(range(256)) * 100, **TEXTS})
    site.content, site.breaks_after = b"wrong bytes " * 100, 100
    source = source_of(mirror.content, site.url(), mirror.url())
    get(source)
    assert "a.bin" in files_in(out)
    assert mirror.ranges == [None]
    assert f"the file from {site.url()} has sha256 {sha256(site.content)}" in caplog.text
    assert (downloads / f"atomic-{source.key}").read_bytes() == mirror.content


def test_a_mirror_may_be_a_path_and_a_missing_path_may_have_a_mirror(dead, site, tmp_path, get):
    site.content = tarred(TEXTS)
    local = tmp_path / "a.tgz"
    local.write_bytes(site.content)
    get(source_of(site.content, dead, local), tmp_path / "one")
    get(source_of(site.content, tmp_path / "none.tgz", site.url()), tmp_path / "two")
    assert files_in(tmp_path / "one") == files_in(tmp_path / "two") == TEXTS


def test_a_plain_file_is_called_as_in_the_first_address_whoever_gives_it(dead, site, out, get):
    site.content = b"a\tb\n"
    dead = dead.replace(".tgz", ".tsv")
    get(source_of(site.content, dead, site.url("download?id=7")))
    assert files_in(out) == {"atomic_data.tsv": b"a\tb\n"}


def test_if_all_fail_each_address_and_its_reason_is_named(
    site, mirror, tmp_path, downloads, refusal
):
    site.statuses = [404] * 2
    mirror.content, none = b"wrong", tmp_path / "none.tgz"
    message = refusal(source_of(b"", site.url(), mirror.url(), none))
    assert f"{site.url()} cannot be fetched: HTTP 404 Not Found; " in message
    assert f"the file from {mirror.url()} has sha256 {sha256(b'wrong')} (5 bytes), " in message
    assert f"{none} does not exist; correct sources.atomic.mirrors" in message
    source = source_of(b"", site.url())
    assert refusal(source).endswith(
        f"HTTP 404 Not Found; correct the address, or get it by hand (sha256 {sha256(b'')}) and "
        f"put it at {downloads}/atomic-{source.key}, or set sources.atomic.url to its path"
    )


# Without internet


def test_without_internet_one_message_says_which_files_to_put_where(
    dead, downloads, refusal, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    atomic = source_of(b"1", dead, f"{dead}-mirror", size=1_234_567)
    here = source_of(b"2", "https://host/2", name="here")
    local = source_of(b"3", "data/3.zip", name="local")
    other = unpublished("https://host/4.zip", name="other")
    hub = unpublished("hf://datasets/me/mine/a b.zip", name="hub")
    downloads.mkdir()
    (downloads / f"here-{here.key}").write_bytes(b"2")

    message = refusal(atomic, needed=[here, local, atomic, other, hub])

    refused = "cannot be reached: connection refused"
    web = "https://huggingface.co/datasets/me/mine/resolve/main/a%20b.zip"
    assert message == (
        f"source atomic: {dead} {refused}; {dead}-mirror {refused}; correct the address, or run "
        f"again later, or get it by hand (1,234,567 bytes, sha256 {sha256(b'1')}) and put it at "
        f"{downloads}/atomic-{atomic.key}, or set sources.atomic.url to its path; missing, too: "
        f"other: https://host/4.zip -> {downloads}/other-{other.key}; "
        f"hub: {web} -> {downloads}/hub-{hub.key}"
    )


@pytest.mark.parametrize("published", [True, False])
def test_a_file_that_was_put_there_by_hand_is_used(published, dead, downloads, lock, out, get):
    content = tarred(TEXTS)
    source = source_of(content, dead) if published else unpublished(dead)
    with pytest.raises(KformerError) as caught:
        get(source)
    path = str(caught.value).rpartition(" put it at ")[2].partition(", or ")[0]
    with open(path, "wb") as file:  # noqa: PTH123 the message is all that a user has
        file.write(content)
    get(source)
    assert files_in(out) == TEXTS
    assert lock.exists() == (not published)


def test_a_locked_file_is_listed_with_its_checksum(dead, downloads, lock, refusal):
    (file,) = unpublished(dead).files
    (lock.parent / "a.tgz").write_bytes(b"1234")
    trust(file, lock.parent / "a.tgz", lock)
    facts = f"(4 bytes, sha256 {sha256(b'1234')})"
    assert f" {facts} and put it at {downloads}/atomic-" in refusal(unpublished(dead))


@pytest.mark.parametrize("page", [b"<html>Please log in", b"", b"Rar!\x1a\x07"])
def test_what_is_no_archive_is_neither_kept_nor_locked(page, site, lock, out, get):
    """Such as the page of a proxy, whatever it says that it is."""
    site.content = page
    with pytest.raises(KformerError, match=r"is (a web page|empty|a 7z or rar).*; deleted it: run"):
        get(unpublished(site.url()))
    assert not lock.exists()
    site.content = zipped(TEXTS)
    get(unpublished(site.url()))
    assert files_in(out) == TEXTS


def test_a_folder_that_is_not_of_the_locked_file_is_refused(site, lock, out, get):
    site.content = zipped(TEXTS)
    source = unpublished(site.url())
    get(source)
    check_unpacked(source, out, lock)
    change(lock, site.content)
    with pytest.raises(KformerError, match="delete that folder to fetch it again, or correct"):
        check_unpacked(source, out, lock)
    lock.unlink()
    check_unpacked(source, out, lock)


# Several files


FILES = {
    "train-0.jsonl": b'{"a": 1}\n',
    "dev.zip": zipped({"some/dev.v1.jsonl": b"{}\n"}),
    "test.parquet": b"x",
}


@pytest.fixture
def several(hub):
    """A data set on the hub: a plain file, an archive with one, and one whose checksum is known."""
    folder, names = "/datasets/me/mine/resolve/main", ("train-0.jsonl", "dev.zip", "test.parquet")
    hub.contents = {f"{folder}/{name}": FILES[name] for name in names}
    train, dev, test = (f"hf://datasets/me/mine/{name}" for name in names)
    known = {"url": test, "sha256": sha256(FILES["test.parquet"])}
    files = {"train": train, "dev": {"url": dev}, "test": known}
    return resolve("mine", {"mine": UserSource(files=files)})


def test_named_files_are_unpacked_under_their_names_and_locked(several, downloads, lock, out, get):
    metrics = get(several)
    unpacked = {"train.jsonl": b'{"a": 1}\n', "dev.jsonl": b"{}\n", "test.parquet": b"x"}
    assert files_in(out) == unpacked
    del metrics["seconds"]
    sizes = {"files": 3, "unpacked_bytes": sum(map(len, unpacked.values()))}
    assert metrics == {"bytes": sum(map(len, FILES.values())), **sizes}
    locked = json.loads(lock.read_text())
    assert [(url.rpartition("/")[2], each["source"]) for url, each in locked.items()] == [
        *(("dev.zip", "mine.dev"), ("train-0.jsonl", "mine.train"))
    ]
    kept = {path.name.rpartition("-")[0] for path in downloads.glob("[!.]*")}
    assert kept == {"mine.dev", "mine.test", "mine.train"}


def test_each_of_several_files_is_verified(several, lock, out, get):
    get(several)
    check_unpacked(several, out, lock)
    change(lock, FILES["dev.zip"])
    with pytest.raises(KformerError, match=r"source mine\.dev: .* delete that folder"):
        check_unpacked(several, out, lock)
    with pytest.raises(KformerError, match=r"mine\.dev-\w+ has sha256"):
        get(several, out.with_name("again"))
    assert not out.with_name("again").exists()


def test_several_files_under_one_name_are_refused(tmp_path, get):
    (tmp_path / "a.zip").write_bytes(zipped(TEXTS))
    files = {"train": str(tmp_path / "a.zip")}
    with pytest.raises(KformerError, match=r"a\.zip holds 2 files.* give the archive as url"):
        get(resolve("mine", {"mine": UserSource(files=files)}))


@pytest.mark.parametrize("first", ["a", "a.jsonl"])
def test_files_that_would_have_the_same_name_are_refused(tmp_path, get, first):
    (tmp_path / "x.jsonl").write_bytes(b"{}")
    (tmp_path / "plain").write_bytes(b"{}")
    addresses = {"a": tmp_path / "x.jsonl", "a.jsonl": tmp_path / "plain"}
    names = sorted(addresses, key=first.__ne__)
    source = resolve("m", {"m": UserSource(files={name: f"{addresses[name]}" for name in names})})
    problem = rf"^source m\.{names[1]}: it would be called a\.jsonl, as another .*\.{names[1]}$"
    with pytest.raises(KformerError, match=problem):
        get(source)


def test_a_list_of_files_is_fetched_as_the_parts_of_one_split(hub, get, out, lock, downloads):
    folder, asked = "/datasets/me/mine/resolve/main", {}
    for name in ("x", "y", "test"):
        row = {"question": f"{name}?", "choices": ["a", "b"], "answer": 0}
        asked[name] = hub.contents[f"{folder}/{name}.parquet"] = as_bytes([row], "x.parquet")
    hub_file = "hf://datasets/me/mine/{}.parquet".format
    known = {"url": hub_file("y"), "sha256": sha256(asked["y"])}
    reader = ParquetQuestions(files={"train": [hub_file("x"), known], "test": [hub_file("test")]})
    again = ParquetQuestions.model_validate(reader.model_dump(mode="json"))
    assert again == reader
    source = resolve(reader.archive, {reader.archive: again.override})
    get(source)
    assert files_in(out) == {
        "train-00000-of-00002.parquet": asked["x"],
        "train-00001-of-00002.parquet": asked["y"],
        "test-00000-of-00001.parquet": asked["test"],
    }
    assert len(json.loads(lock.read_text())) == 2
    assert sorted(row["question"] for row in reader.read(out) if row["split"] == "test") == [
        "test?"
    ]
    for kept in downloads.glob("*train-00001*"):
        kept.write_bytes(b"rotten")
    with pytest.raises(KformerError, match=r"train-00001-of-00002-\w+ has sha256"):
        get(source, out.with_name("again"))


def test_a_data_set_on_the_hub_is_read_with_columns(hub, get, out):
    """Parquet files as the hub has them, here with all choices of a question in one object."""
    files = {}
    for split in ("train", "validation", "test"):
        choices = {"text": ["skin", "pancreas"], "label": ["A", "B"]}
        row = {"question_stem": f"Which {split}?", "choices": choices, "answerKey": "B"}
        name = f"main/{split}-00000-of-00001.parquet"
        hub.contents[f"/datasets/me/mine/resolve/main/{name}"] = as_bytes([row], name)
        files[split] = f"hf://datasets/me/mine/{name}"
    columns = {"question": "question_stem", "choices": "choices.text", "labels": "choices.label"}
    reader = ParquetQuestions(files=files, columns={**columns, "answer": "answerKey"})
    get(resolve(reader.archive, {reader.archive: reader.override}))
    rows = sorted((row["question_id"], row["split"], row["answer"]) for row in reader.read(out))
    assert rows == [(f"{split}-000001", split, 1) for split in ("test", "train", "validation")]
