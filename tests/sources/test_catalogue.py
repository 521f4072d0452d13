"""The catalogue, what a config may change in it, and where addresses lead."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from kformer.config_section import SecretAddress
from kformer.errors import KformerError
from kformer.sources.addresses import locate
from kformer.sources.catalogue import CATALOGUE, SourceOverride, UserSource, resolve

from .conftest import unpublished


def test_the_catalogue_is_keyed_by_name_and_all_its_addresses_are_of_the_web():
    for name, source in CATALOGUE.items():
        assert source.name == name
        for file in source.files:
            assert all(str(address.target).startswith("https://") for address in file.addresses)


@pytest.mark.parametrize("overrides", [{}, {"atomci": SourceOverride(sha256="ab" * 32)}])
def test_an_unknown_name_is_answered_with_the_known_ones(overrides):
    with pytest.raises(KformerError, match="'atomci' is not a known source; known are: atomic, "):
        resolve("atomic" if overrides else "atomci", overrides)


def test_another_url_must_have_the_official_bytes_and_other_bytes_have_another_key():
    official = CATALOGUE["atomic"]
    moved = resolve("atomic", {"atomic": SourceOverride(url="mirror/atomic.tgz")})
    assert moved.files[0] == official.files[0].model_copy(
        update={"url": SecretAddress("mirror/atomic.tgz")}
    )
    assert moved.key == official.key
    other = resolve("atomic", {"atomic": SourceOverride(sha256="AB" * 32)})
    (file,) = other.files
    assert (file.url, file.sha256, file.size) == (official.files[0].url, "ab" * 32, None)
    assert other.key == "ab" * 6


@pytest.mark.parametrize(
    ("given", "addresses"),
    [
        ({}, ["http://a/official", "http://a/mirror"]),
        ({"mirrors": ["b"]}, ["http://a/official", "b"]),
        ({"url": "b"}, ["b"]),
        ({"url": "b", "mirrors": ["c", "d"]}, ["b", "c", "d"]),
    ],
)
def test_a_url_replaces_all_addresses_and_mirrors_only_mirrors(given, addresses, monkeypatch):
    official = unpublished("http://a/official", "http://a/mirror")
    monkeypatch.setitem(CATALOGUE, "atomic", official)
    (file,) = resolve("atomic", {"atomic": SourceOverride(**given)}).files
    assert [str(address.text) for address in file.addresses] == addresses


def test_without_a_checksum_the_key_is_the_address_and_the_age_of_a_local_file(tmp_path):
    path = tmp_path / "a.zip"
    before = unpublished(path).key
    assert re.fullmatch("[0-9a-f]{12}", before)
    assert unpublished(path, "c.zip").key == before != unpublished("b.zip").key
    path.write_bytes(b"one")
    first = unpublished(path).key
    assert unpublished(path).key == first != before
    path.write_bytes(b"other")
    assert unpublished(path).key != first


def test_just_another_password_or_signature_is_the_same_source():
    keys = {
        unpublished(f"https://{user}@a/data.zip?id=7&X-Amz-Signature={signature}").key
        for user, signature in [("me:1", "abc"), ("me:2", "abc"), ("me:2", "def")]
    }
    assert len(keys) == 1
    assert unpublished("https://me:1@a/data.zip?id=8&X-Amz-Signature=abc").key not in keys


@pytest.mark.parametrize("password", ["pa/ss-w0rd", "pa?ss-w0rd", "p@ss/w0rd", "pass#w0rd"])
def test_a_password_that_must_be_encoded_is_not_shown(password):
    with pytest.raises(KformerError, match="as %2F") as caught:
        resolve("mine", {"mine": SourceOverride(url=f"https://me:{password}@host/data.zip")})
    assert "https://…@host/data.zip" in str(caught.value)
    assert "w0rd" not in str(caught.value)
    assert "me:" not in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"sha256": text} for text in ("ab", "g" * 64, "a" * 65, "a" * 64 + "\n")),
        *({"url": " "}, {"mirrors": [""]}, {"mirrors": "a.zip"}),
        *({"files": files} for files in ({}, {"train": " "}, {"../train": "a.zip"}, "a.zip")),
        *({"files": {"train": files}} for files in ([], ["a", " "], [["a"]])),
        {"files": {"train": ["a"], "train-00000-of-00001": "b"}},
    ],
)
def test_an_override_that_is_none_is_refused(wrong):
    with pytest.raises(ValidationError):
        UserSource(**wrong)


# Data of the user's own


def test_a_name_with_a_url_is_the_users_own_data():
    given = SourceOverride(url="my.zip", mirrors=["other.zip"], sha256="AB" * 32)
    source = resolve("my_data", {"my_data": given, "atomic": SourceOverride()})
    assert (source.name, source.licence) == ("my_data", "your own")
    assert [str(address.text) for address in source.files[0].addresses] == ["my.zip", "other.zip"]


def test_named_files_are_files_of_one_source_and_of_the_users_own_data_only():
    files = {"train": "a.jsonl", "test": {"url": "b.jsonl", "sha256": "AB" * 32}}
    source = resolve("mine", {"mine": UserSource(files=files)})
    assert [(file.part, str(file.url), file.sha256) for file in source.files] == [
        *(("train", "a.jsonl", None), ("test", "b.jsonl", "ab" * 32))
    ]
    renamed = UserSource(files={"dev": files["train"], "test": files["test"]})
    assert resolve("mine", {"mine": renamed}).key != source.key
    with pytest.raises(KformerError, match=r"sources\.atomic\.files: .* give url"):
        resolve("atomic", {"atomic": UserSource(files=files)})


def test_the_name_of_a_file_counts_in_the_key_of_the_users_own_data_also_with_a_checksum():
    def key(name, **override):
        return resolve(name, {name: UserSource(**override)}).key

    def key_of_file(url):
        return key("mine", url=url, sha256="ab" * 32)

    def key_of_named_file(url):
        return key("mine", files={"train": {"url": url, "sha256": "ab" * 32}})

    for key_at in (key_of_file, key_of_named_file):
        assert key_at("https://a/train.jsonl") != key_at("https://a/other.jsonl")
        assert key_at("https://a/train.jsonl") == key_at("https://b/c/train.jsonl")
    assert key_of_file("train.jsonl") != key_of_named_file("train.jsonl")
    official = {"sha256": "ab" * 32}
    assert key("atomic", url="a/x.tgz", **official) == key("atomic", url="a/y.tgz", **official)


@pytest.mark.parametrize("name", ["../mine", "a/b", "", ".mine", "a b"])
def test_a_name_that_cannot_be_a_file_name_is_refused(name):
    with pytest.raises(KformerError, match=r"^sources: name: .+$"):
        resolve(name, {name: SourceOverride(url="my.zip")})


# Addresses


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("https://host/a.zip", "https://host/a.zip"),
        ("file:///data/a%20b.zip", Path("/data/a b.zip")),
        ("file://localhost/data/a.zip", Path("/data/a.zip")),
        ("file:a.zip", Path("a.zip")),
        ("data/a #1.zip", Path("data/a #1.zip")),
        ("hf://datasets/me/mine/a.zip", "https://hub/datasets/me/mine/resolve/main/a.zip"),
        ("hf://me/mine@v1/b/a.zip", "https://hub/me/mine/resolve/v1/b/a.zip"),
        (
            "hf://datasets/me/mine@refs/convert/parquet/b/a.zip",
            "https://hub/datasets/me/mine/resolve/refs%2Fconvert%2Fparquet/b/a.zip",
        ),
    ],
)
def test_an_address_leads_to_the_web_or_to_a_path(address, target, monkeypatch):
    from huggingface_hub import constants

    template = "https://hub/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    assert locate(address) == target


@pytest.mark.parametrize(
    "address",
    [
        *("ftp://host/a.zip", "file://host/a.zip", "http://[1/a.zip", "~nobody-here/a.zip"),
        *("http:///a.zip", "http:a.zip", "https://:80/a.zip", "http://host:port/a.zip"),
        *("hf://", "hf:a.zip", "hf://datasets/mine/a.zip", "hf://datasets/me/mine", "hf://me"),
        *("hf://me/mine@/a.zip", "hf://me/mine//a.zip", "hf://m e/mine/a.zip", "hf://buckets/m/b"),
    ],
)
def test_other_kinds_of_address_are_refused_before_anything_is_fetched(address):
    problem = rf"^source atomic: the address {re.escape(repr(address))} cannot be used: .+; "
    with pytest.raises(KformerError, match=problem + r"correct sources\.atomic\.url$"):
        resolve("atomic", {"atomic": SourceOverride(url=address)})


@pytest.mark.parametrize(
    ("name", "override", "setting"),
    [
        ("atomic", {"mirrors": ["b.tgz", "ftp://a/b"]}, "sources.atomic.mirrors"),
        ("csv_questions", {"url": "ftp://a/b"}, "questions.url"),
        ("csv_questions", {"files": {"train": "ftp://a/b"}}, "questions.files.train.url"),
        ("books", {"url": "ftp://a/b"}, "knowledge (books).url"),
    ],
)
def test_a_bad_address_names_the_key_of_the_config(name, override, setting):
    with pytest.raises(KformerError, match=rf"; correct {re.escape(setting)}$"):
        resolve(name, {name: UserSource(**override)})
