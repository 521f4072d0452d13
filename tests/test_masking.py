"""What must not be shown of an address is not, and what tells files apart is."""

import logging

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kformer import masking
from kformer.errors import KformerError
from kformer.masking import MaskedLogRecord, masked, remember_secrets, without_secrets


@pytest.fixture(autouse=True)
def nothing_known_yet(monkeypatch):
    monkeypatch.setattr(masking, "_known", set())


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://alice:s3cret@127.0.0.1:9", "http://…@127.0.0.1:9"),
        ("http://alice@host/a", "http://…@host/a"),
        ("https://t0ken:@host/a", "https://…@host/a"),
        ("http://a:p/w@host/x.zip", "http://…@host/x.zip"),
        ("http://a:p@w:x@host:80/x.zip", "http://…@host:80/x.zip"),
        ("http://a:p@w/x@host/x.zip", "http://…@host/x.zip"),
        ("http://a:p#w@host", "http://…@host"),
        ("http://a:p?w@host", "http://…@host"),
        ("http://a:pw@[::1]:80/x", "http://…@[::1]:80/x"),
        ("http:/a:pw@host", "http:/…@host"),
        ("a:pw@host/x.zip", "…@host/x.zip"),
        ("postgresql+psycopg2://me:pw@db/mlflow?sslmode=on", "postgresql+psycopg2://…@db/mlflow?sslmode=on"),
        ("https://h/q.zip?id=7&Signature=S&Expires=1", "https://h/q.zip?id=7&Signature=…&Expires=…"),
        ("https://h/q?X-Amz-Credential=C&x-amz-date=D", "https://h/q?X-Amz-Credential=…&x-amz-date=…"),
        ("https://h/q?sv=1&sig=abc&access_token=x&apikey=y", "https://h/q?sv=1&sig=…&access_token=…&apikey=…"),
        ("https://h/q;jsessionid=abc?file=a", "https://h/q;jsessionid=…?file=a"),
        ("https://h/q#token", "https://h/q#…"),
        ("https://h/q?key=AbC", "https://h/q?key=…"),
    ],
)  # fmt: skip
def test_secrets_are_not_shown(address, shown):
    assert masked(address) == shown
    assert masked(shown) == shown


@pytest.mark.parametrize(
    "address",
    [
        "https://unpkg.com/package@1.2/train.csv",
        "http://localhost:8080/package@1.2/train.csv?file=a@b.csv&id=1AbC",
        "https://h/download?key=folder/train.csv",
        "hf://datasets/OWNER/NAME@main/train.parquet",
        "sqlite:////home/me@work/a:b.db",
        "sqlite:///me@work:1.db",
        "data/me@work.csv",
        "me@work.csv",
        "/data/C#/a;b.csv",
        "file:///data/a.csv",
        "databricks://scope:prefix",
    ],
)
def test_what_is_no_secret_stays(address):
    assert masked(address) == address


NAMES = st.sampled_from(["token", "Signature", "X-Amz-Security-Token", "password", "api_key"])
SECRETS = st.text("abcXYZ0123456789/@:?#%+ ~é", min_size=6, max_size=20)


@given(secret=SECRETS)
def test_no_password_is_shown_wherever_it_is_repeated(secret):
    address = f"http://me:{secret}@host/data.zip"
    remember_secrets(address)
    assert masked(address) == "http://…@host/data.zip"
    said = f"GET {address} failed: 'me:{secret}'"
    assert secret not in without_secrets(said)
    assert secret not in str(KformerError(said))


@given(name=NAMES, secret=st.text("abcXYZ0123456789/+=%~", min_size=6, max_size=20))
def test_no_token_is_shown_wherever_it_is_repeated(name, secret):
    assume(not secret.isdigit())
    address = f"https://host/data.zip?id=1&{name}={secret}&part=2"
    remember_secrets(address)
    assert masked(address) == f"https://host/data.zip?id=1&{name}=…&part=2"
    assert secret not in without_secrets(f"cannot use {secret!r}")


@pytest.mark.parametrize("written", ["p%40s%2Fs", "p%40s%2fs", "p@s/s", "p%40s/s", "bWU6cEBzL3M="])
def test_other_spellings_of_a_password_are_known(written):
    remember_secrets("http://me:p%40s%2Fs@host")
    assert without_secrets(f"bad {written}!") == "bad …!"


def test_addresses_that_nobody_gave_are_masked_too():
    assert without_secrets("see 'ftp://a:b@h/x?token=y', ok") == "see 'ftp://…@h/x?token=…', ok"


def test_short_secrets_and_years_do_not_spoil_messages():
    remember_secrets("https://a:bc@host/x?expires=2026")
    assert without_secrets("abc of 2026 by a") == "abc of 2026 by a"


def test_lines_of_logs_hold_no_secrets():
    remember_secrets("http://me:s3cret@host")
    record = MaskedLogRecord("x", logging.INFO, "", 1, "with %s", ("s3cret",), None)
    assert record.getMessage() == "with …"
