"""The catalogue, what a config may change in it, and where addresses lead."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from kformer.errors import KformerError
from kformer.sources.catalogue import CATALOGUE, Source, SourceOverride, locate, resolve

from .conftest import unpublished


def test_the_catalogue_is_keyed_by_name_and_fully_described():
    for name, source in CATALOGUE.items():
        assert source.name == name
        assert source.licence
        assert str(locate(source, source.url)).startswith("https://")
    assert CATALOGUE.keys() >= {"social_iqa", "atomic", "med_qa", "medquad", "atomic2020"}
    assert CATALOGUE.keys() >= {"conceptnet"}


def test_an_unknown_source_is_answered_with_the_known_ones():
    with pytest.raises(KformerError, match="'atomci' is not a known source; known are: atomic, "):
        resolve("atomci", {})


def test_a_misspelt_override_is_not_passed_over():
    with pytest.raises(KformerError, match="'atomci' is not a known source"):
        resolve("atomic", {"atomci": SourceOverride(sha256="ab" * 32)})


def test_a_mirror_must_have_the_official_bytes():
    mirrored = resolve("atomic", {"atomic": SourceOverride(url="mirror/atomic.tgz")})
    assert mirrored.url == "mirror/atomic.tgz"
    assert mirrored.sha256 == CATALOGUE["atomic"].sha256
    assert mirrored.size == CATALOGUE["atomic"].size
    assert mirrored.key == CATALOGUE["atomic"].key


def test_other_bytes_have_another_key_and_no_known_size():
    other = resolve("atomic", {"atomic": SourceOverride(sha256="AB" * 32)})
    assert other.url == CATALOGUE["atomic"].url
    assert (other.sha256, other.key, other.size) == ("ab" * 32, "ab" * 6, None)


@pytest.mark.parametrize(
    ("given", "addresses"),
    [
        ({}, ("http://a/official", "http://a/mirror")),
        ({"mirrors": ["b"]}, ("http://a/official", "b")),
        ({"url": "b"}, ("b",)),
        ({"url": "b", "mirrors": ["c", "d"]}, ("b", "c", "d")),
    ],
)
def test_a_url_replaces_all_addresses_and_mirrors_only_mirrors(given, addresses, monkeypatch):
    official = unpublished("http://a/official", "http://a/mirror")
    monkeypatch.setitem(CATALOGUE, "atomic", official)
    assert resolve("atomic", {"atomic": SourceOverride(**given)}).addresses == addresses


def test_without_a_checksum_the_key_is_the_address():
    one, two = unpublished("a.zip"), unpublished("b.zip")
    assert re.fullmatch("[0-9a-f]{12}", one.key)
    assert one.key != two.key
    assert one.key == unpublished("a.zip", "c.zip").key


@pytest.mark.parametrize("wrong", ["ab", "g" * 64, "a" * 65, "a" * 64 + "\n"])
def test_a_checksum_is_64_hex_digits(wrong):
    with pytest.raises(ValidationError):
        SourceOverride(sha256=wrong)


@pytest.mark.parametrize("wrong", [{"url": " "}, {"mirrors": [""]}, {"mirrors": "a.zip"}])
def test_an_address_is_not_empty(wrong):
    with pytest.raises(ValidationError):
        SourceOverride(**wrong)


# Data of the user's own


def test_a_name_with_a_url_is_the_users_own_data():
    given = SourceOverride(url="my.zip", mirrors=["other.zip"], sha256="AB" * 32)
    own = resolve("my_data", {"my_data": given})
    assert (own.name, own.url, own.mirrors) == ("my_data", "my.zip", ("other.zip",))
    assert (own.licence, own.sha256, own.size) == ("your own", "ab" * 32, None)


def test_own_data_stands_beside_the_catalogue():
    overrides = {"mine": SourceOverride(url="my.zip"), "atomic": SourceOverride()}
    assert resolve("atomic", overrides) == CATALOGUE["atomic"]


@pytest.mark.parametrize("name", ["../mine", "a/b", "", ".mine", "a b"])
def test_a_name_that_cannot_be_a_file_name_is_refused(name):
    with pytest.raises(KformerError, match="sources: name: ") as caught:
        resolve(name, {name: SourceOverride(url="my.zip")})
    assert "\n" not in str(caught.value)


# Addresses


@pytest.mark.parametrize(
    ("address", "place"),
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
def test_an_address_leads_to_the_web_or_to_a_path(address, place, monkeypatch):
    from huggingface_hub import constants

    template = "https://hub/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    assert locate(unpublished("a"), address) == place


MALFORMED = [
    *("ftp://host/a.zip", "file://host/a.zip", "http://[1/a.zip", "~nobody-here/a.zip"),
    *("hf://", "hf:a.zip", "hf://datasets/mine/a.zip", "hf://datasets/me/mine", "hf://me"),
    *("hf://me/mine@/a.zip", "hf://me/mine//a.zip", "hf://m e/mine/a.zip", "hf://buckets/me/b/a"),
]


@pytest.mark.parametrize("address", MALFORMED)
def test_other_kinds_of_address_are_refused(address):
    source = Source(name="atomic", url=address, licence="none")
    with pytest.raises(KformerError, match="source atomic: the address ") as caught:
        locate(source, source.url)
    message = str(caught.value)
    assert f"{address!r} cannot be used: " in message
    assert message.endswith("; correct sources.atomic.url")
    assert "\n" not in message


def test_a_malformed_address_in_the_config_is_told_before_anything_is_fetched():
    with pytest.raises(KformerError, match="'ftp://a/b' cannot be used"):
        resolve("atomic", {"atomic": SourceOverride(url="ftp://a/b")})
    with pytest.raises(KformerError, match=r"correct sources\.atomic\.mirrors"):
        resolve("atomic", {"atomic": SourceOverride(mirrors=["b.tgz", "ftp://a/b"])})
