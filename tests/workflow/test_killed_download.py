"""A download that is killed, with Snakemake around it, is resumed."""

import hashlib
import io
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CONTENT = os.urandom(400_000)


def archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("data/train.jsonl", CONTENT)
    return file.getvalue()


@pytest.fixture
def stalling_site():
    """Serves an archive, but sends the first asker only half of it and then nothing."""
    body = archive()
    ranges: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            wanted = self.headers.get("Range")
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
            ranges.append(wanted)
            self.send_response(206 if wanted else 200)
            self.send_header("Content-Length", str(len(body) - start))
            self.send_header("ETag", '"1"')
            if wanted:
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            self.end_headers()
            if len(ranges) == 1:
                self.wfile.write(body[: len(body) // 2])
                self.wfile.flush()
                time.sleep(60)
            else:
                self.wfile.write(body[start:])

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/a.zip", hashlib.sha256(body).hexdigest(), ranges
    server.shutdown()


def test_a_killed_download_is_resumed(tmp_path, tiny_encoder, stalling_site):
    url, sha256, ranges = stalling_site
    config = {
        "experiment": "tiny",
        "questions": {"dataset": "social_iqa"},
        "knowledge": ["demo"],
        "sources": {"social_iqa": {"url": url, "sha256": sha256}},
        "model": {"encoder": str(tiny_encoder)},
        "seeds": [1],
        "baseline": "none",
        "conditions": {"none": {}},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    target = f"resources/social_iqa-{sha256[:12]}"
    call = [sys.executable, "-m", "snakemake", "--cores", "1", "--directory", str(tmp_path)]
    call += ["--snakefile", str(ROOT / "Snakefile"), target]
    call += ["--configfile", str(tmp_path / "config.yaml")]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = dict(os.environ, PATH=path, NO_PROXY="127.0.0.1", no_proxy="127.0.0.1")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}

    killed = subprocess.Popen(call, env=environment, cwd=ROOT, start_new_session=True, **quiet)
    half = len(archive()) // 2
    while killed.poll() is None:
        if any(part.stat().st_size == half for part in tmp_path.rglob("*.part")):
            break
        time.sleep(0.05)
    assert killed.poll() is None, "ended before half of it was there"
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / target).exists()

    again = subprocess.run(call, env=environment, cwd=ROOT, text=True, capture_output=True)

    assert again.returncode == 0, again.stdout + again.stderr
    assert ranges == [None, f"bytes={half}-"]
    assert (tmp_path / target / "data/train.jsonl").read_bytes() == CONTENT
