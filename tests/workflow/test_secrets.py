"""Passwords, tokens and signatures of addresses are nowhere to be seen, while or after a study."""

import base64
import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from kformer.tracking.database import create_if_missing

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SECRETS = {
    "sourceUser": "me-5ecret1",
    "sourcePassword": "pa%2F5ecret2%40x",
    "signature": "5ecret3",
    "mirrorToken": "5ecret4",
    "factsToken": "5ecret5",
    "trackingUser": "al-5ecret6",
    "trackingPassword": "5ecret7%2F%3A%40y",
}
QUESTIONS = [
    {
        "id": f"{split}-{number}",
        "split": split,
        "question": f"What colour is thing {number}?",
        "choices": ["red", "green"],
        "answer": number % 2,
    }
    for split in ("train", "validation", "test")
    for number in range(8)
]


@pytest.fixture
def site():
    """Serves questions and facts, to those who know the password or the token."""
    bodies = {
        "/q.jsonl": "".join(json.dumps(row) + "\n" for row in QUESTIONS),
        "/facts.txt": "".join(f"The colour of thing {number} is red.\n" for number in range(8)),
    }
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, self.headers.get("Authorization", "")))
            body = bodies.get(self.path.partition("?")[0], "").encode()
            self.send_response(200 if body else 404)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}", asked
    server.shutdown()


@pytest.fixture
def mlflow_server(tmp_path, monkeypatch):
    """A real server of MLflow; it notes who asks."""
    from werkzeug.serving import make_server

    store = tmp_path / "server"
    create_if_missing(store / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # the server sets it, for all tests after this
    monkeypatch.setenv("_MLFLOW_SERVER_FILE_STORE", f"sqlite:///{store / 'mlflow.db'}")
    monkeypatch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", "mlflow-artifacts:/")
    monkeypatch.setenv("_MLFLOW_SERVER_ARTIFACT_DESTINATION", str(store / "artifacts"))
    monkeypatch.setenv("_MLFLOW_SERVER_SERVE_ARTIFACTS", "true")
    from mlflow.server import app

    asked = set()

    def noting(environ, start_response):
        asked.add(environ.get("HTTP_AUTHORIZATION", ""))
        return app.wsgi_app(environ, start_response)

    server = make_server("127.0.0.1", 0, noting, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}", asked
    server.shutdown()


def command_lines():
    """Those of all processes of this machine."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:  # it has ended
            continue


def watched(call, environment):
    """Runs a command; returns its exit status, what it prints, and all command lines meanwhile."""
    seen = set()
    process = subprocess.Popen(
        call, env=environment, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    printed = []
    reader = threading.Thread(target=lambda: printed.extend(process.stdout))
    reader.start()
    while process.poll() is None:
        seen.update(command_lines())
        time.sleep(0.05)
    reader.join()
    return process.returncode, "".join(printed), seen


def test_no_secret_is_seen_while_or_after_a_study_runs(tmp_path, tiny_encoder, site, mlflow_server):
    (host, asked), (tracking, trackers) = site, mlflow_server
    s = SECRETS
    login = f"{s['sourceUser']}:{s['sourcePassword']}@"
    questions = f"http://{login}{host}/q.jsonl?id=7&Signature={s['signature']}"
    folder = tmp_path / "project"
    folder.mkdir()
    config = {
        "experiment": "tiny",
        "questions": {"dataset": "jsonl", "files": {"all": questions}},
        "knowledge": [
            {
                "source": "txt",
                "unit": "line",
                "url": f"http://{host}/facts.txt?access_token={s['factsToken']}",
            }
        ],
        "sources": {"atomic": {"mirrors": [f"https://{login}h/x?token={s['mirrorToken']}"]}},
        "retrieval": {"top_k": 2},
        "model": {"encoder": str(tiny_encoder), "facts": 1},
        "training": {"max_steps": 1, "evaluations": 1},
        "seeds": [1],
        "baseline": "none",
        "conditions": {"none": {"model": {"injection": "ffn"}}},
        "tracking": {
            "uri": f"http://{s['trackingUser']}:{s['trackingPassword']}@{tracking}",
        },
    }
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(config))
    call = [sys.executable, "-m", "snakemake", "--cores", "2", "--directory", str(folder)]
    call += ["--snakefile", str(ROOT / "Snakefile"), "--printshellcmds", "--verbose", "all"]
    call += ["--configfile", str(file)]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = dict(os.environ, PATH=path, NO_PROXY="127.0.0.1", no_proxy="127.0.0.1")
    for name in [name for name in environment if name.lstrip("_").startswith("MLFLOW_")]:
        del environment[name]

    status, printed, seen = watched(call, environment)

    assert status == 0, printed
    left = [each for each in tmp_path.rglob("*") if each.is_file() and each != file]
    for secret in ("5ecret", base64.b64encode(b"al-5ecret6:5ecret7/:@y").decode()):
        assert secret not in printed
        assert [line for line in seen if secret in line] == []
        assert [each for each in left if secret.encode() in each.read_bytes()] == []
    # They were used all the same.
    basic = base64.b64encode(b"me-5ecret1:pa/5ecret2@x").decode()
    assert ("/q.jsonl?id=7&Signature=5ecret3", f"Basic {basic}") in asked
    assert trackers == {f"Basic {base64.b64encode(b'al-5ecret6:5ecret7/:@y').decode()}"}
    assert (folder / "sources.lock.json").is_file()
    for command in ("facts", "train", "evaluate", "compare"):
        assert any(f"kformer {command}" in line for line in seen)

    # Just another password runs nothing.
    file.write_text(yaml.safe_dump(config).replace("5ecret", "0ther"))
    again = subprocess.run(call, env=environment, cwd=ROOT, text=True, capture_output=True)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "Nothing to be done" in again.stdout + again.stderr
