"""Passwords, tokens and signatures in addresses are never shown.

Addresses are shown without them (`masked`), and whatever is printed may repeat an address that was
given: texts of errors and logs pass through `without_secrets`, which knows the secrets of all
addresses that this process has read.
"""

import logging
import re
from base64 import b64encode
from urllib.parse import quote, quote_plus, unquote, unquote_plus

HIDDEN = "…"
_SHORTEST_WORD = 4  # characters; shorter secrets, and years, occur in ordinary texts
_SHORTEST_NUMBER = 6

# Up to where a user name could stand, also where slashes are too many or too few.
_SCHEME = re.compile(r"https?:/*|[a-z][a-z0-9+.-]*:/{1,2}|//", re.IGNORECASE)
_NO_SCHEME = re.compile(r"(?=[^/@:\s]+:[^/@\s]+@)")  # user:password@host, a scheme forgotten
# In front of a path with an "@"; `name:12/34@` may be a name with a password.
_HOST = re.compile(r"[^:]*|(\[[^\]]*\]|localhost|[^:]+\.[^:]+)(:\d{0,5})?")
_FIRST_PARAMETER = re.compile(r"[?#][^=@/]*=")
_PARAMETER = re.compile(r"(?<=[?&;#])([^?&;#=]+)=([^&;#]*)")
_SECRET_NAME = re.compile(
    r"token|secret|passw|passphrase|pwd|signature|auth|credential|session|jwt|bearer|policy|hmac"
    r"|key$|key[-_.]?(id|pair)|access[-_.]?id$|odbc_connect"
    r"|^(sig|sign|pass|pw|pin|otp|sas|code|login|user|username|userid|uid"
    r"|se|st|ske|skt|expires|expiry|exp)$"
    r"|^x-(amz|goog|oss|obs|cos|ms|bce|tos)-",
    re.IGNORECASE,
)
_FILE_NAME = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,7}$")
# An address in a text ends where a space or a quotation mark is.
_IN_A_TEXT = re.compile(r"""[A-Za-z][A-Za-z0-9+.-]*://[^\s'"<>`]+""")

_known: set[str] = set()


def user_info(address: str) -> tuple[str, str]:
    """The user name and password of an address as they are written in it, and what follows them.

    A password that holds ``/``, ``?``, ``#`` or ``@``, which should have been percent-encoded,
    reaches to the last ``@`` in front of the parameters.
    """
    if not (_SCHEME.match(address) or _NO_SCHEME.match(address)):
        return "", address  # a path
    rest = address[_end_of_scheme(address) :]
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    parameters = _FIRST_PARAMETER.search(rest)
    end = rest.rfind("@", 0, parameters.start() if parameters else None)
    if not _HOST.fullmatch(authority):
        end = end if end >= 0 else rest.rfind("@")
    elif "@" not in authority and rest[len(authority) :].startswith("/"):
        end = -1
    if end < 0:
        return "", rest
    return rest[:end], rest[end + 1 :]


def needs_encoding(address: str) -> bool:
    """Whether its user name or password holds a character that ends it for programs."""
    return bool(re.search(r"[/?#]", user_info(address)[0]))


def masked(address: str) -> str:
    """An address without user name, password, fragment, and the secrets among its parameters.

    What tells files apart stays, so that addresses of different files are different.
    """
    info, rest, fragment = _parts(address)
    path, question_mark, query = rest.partition("?")
    shown = [_PARAMETER.sub(_parameter_masked, each) for each in (path, question_mark + query)]
    start = address[: _end_of_scheme(address)] + (f"{HIDDEN}@" if info else "")
    return start + "".join(shown) + (f"#{HIDDEN}" if fragment else "")


def remember_secrets(address: str) -> None:
    """Lets `without_secrets` know what of this address must not be shown."""
    info, rest, fragment = _parts(address)
    secrets = [info, info.partition(":")[2] or info, fragment if len(fragment) > 7 else ""]
    secrets += [value for name, value in _PARAMETER.findall(rest) if _is_secret(name, value)]
    for secret in secrets:
        _known.update(filter(_is_telling, _spellings(secret)))


def without_secrets(text: str) -> str:
    """A text without the secrets of addresses, whether it repeats an address or a part of one."""
    for secret in sorted(_known, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return _IN_A_TEXT.sub(lambda found: masked(found[0]), text)


class MaskedLogRecord(logging.LogRecord):
    """A line of a log, whoever writes it, without the secrets of addresses."""

    def getMessage(self) -> str:
        return without_secrets(super().getMessage())


def _end_of_scheme(address: str) -> int:
    found = _SCHEME.match(address)
    return found.end() if found else 0


def _parts(address: str) -> tuple[str, str, str]:
    """User name and password, what follows them, and the fragment, which a path has not."""
    info, rest = user_info(address)
    before, _, fragment = rest.partition("#") if _end_of_scheme(address) else (rest, "", "")
    return info, before, fragment


def _parameter_masked(found: re.Match[str]) -> str:
    name, value = found.groups()
    return f"{name}={HIDDEN if value and _is_secret(name, value) else value}"


def _is_secret(name: str, value: str) -> bool:
    if name.lower() == "key" and _FILE_NAME.search(value):  # of a store of files
        return False
    return bool(_SECRET_NAME.search(unquote(name)))


def _is_telling(secret: str) -> bool:
    return len(secret) >= (_SHORTEST_NUMBER if secret.isdigit() else _SHORTEST_WORD)


def _spellings(secret: str) -> set[str]:
    """How libraries may write a secret: percent-encoded or not, escaped, or in a header."""
    plain = {secret, unquote(secret), unquote_plus(secret)}
    encoded = {spell(each) for each in plain for spell in (quote, quote_plus)}
    encoded |= {quote(each, safe="") for each in plain}
    encoded |= {re.sub(r"%..", lambda found: found[0].lower(), each) for each in encoded}
    escaped = {spell(each)[1:-1] for each in plain for spell in (repr, ascii)}
    in_header = {b64encode(each.encode("utf-8", "replace")).decode() for each in plain if each}
    return plain | encoded | escaped | in_header
