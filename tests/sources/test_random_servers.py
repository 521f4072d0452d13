"""Servers of many moods that never lie: whatever comes of them, it is one version of the file."""

import random
from contextlib import suppress

import pytest

from kformer.sources.refusals import NotFetched

from .conftest import Page, answer

VERSIONS = {'"one"': b"1" * 300, '"two"': b"2" * 300, '"three"': b"3" * 200}


class Moody(Page):
    """Changes the file, gives pieces, breaks off, forgets headers: each with its own chance."""

    rng: random.Random
    chances: dict[str, float]
    version = '"one"'

    def happens(self, what: str) -> bool:
        return self.rng.random() < self.chances[what]

    def do_GET(self):
        mood = type(self)
        self.server.requests.append({})
        if self.happens("change"):
            mood.version = self.rng.choice(list(VERSIONS))
        content = VERSIONS[mood.version]
        if self.happens("fail"):
            return self.send_all(answer(503, Content_Length=0))
        headers = {} if self.happens("forget etag") else {"ETag": mood.version}
        first, end, status = 0, len(content), 200
        asked = self.headers.get("Range")
        is_same = self.headers.get("If-Range") == mood.version or self.happens("ignore if-range")
        if asked and is_same:
            first, status = int(asked.removeprefix("bytes=").removesuffix("-")), 206
            if self.happens("start elsewhere"):
                first = self.rng.randrange(end)
            if first >= end:
                return self.send_all(answer(416, Content_Length=0))
        if self.happens("give a piece"):
            end, status = self.rng.randint(first + 1, end), 206
        if status == 206:
            headers["Content-Range"] = f"bytes {first}-{end - 1}/{len(content)}"
        body = content[first:end]
        if self.happens("chunk"):
            headers["Transfer-Encoding"] = "chunked"
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        elif not self.happens("forget length"):
            headers["Content-Length"] = str(len(body))
        if self.happens("break off"):
            body = body[: self.rng.randrange(len(body))]
        return self.send_all(answer(status, body, **headers))


@pytest.mark.parametrize("seed", range(20))
def test_what_is_taken_is_one_version(seed, site, get):
    rng = random.Random(seed)
    often, seldom = ("change", "ignore if-range", "give a piece"), ("fail", "start elsewhere")
    seldom += ("forget etag", "chunk", "forget length", "break off")
    chances = {mood: rng.choice([0.3, 0.6]) for mood in often}
    chances |= {mood: rng.choice([0, 0.2]) for mood in seldom}
    site.RequestHandlerClass = type("Moody", (Moody,), {"rng": rng, "chances": chances})
    for number in range(10):
        with suppress(NotFetched):
            file = get(site.url(f"{number}.csv"), checked=False, max_bytes=1000)
            assert file in VERSIONS.values()
    assert len(site.requests) < 1000
