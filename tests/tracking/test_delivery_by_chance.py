"""However often a connection or a sender breaks, in whatever place: all is there once, in order."""

import random
from collections import Counter
from types import SimpleNamespace

import pytest

from kformer.io.file_writing import write_json
from kformer.tracking.delivery import ID_TAG, Delivery
from kformer.tracking.journal import Journal
from kformer.tracking.metrics import Metrics


class Killed(BaseException):
    """No handler of errors hears of it."""


class Server:
    """MLflow as seen by a client; unlike a database, it keeps every point that it gets."""

    def __init__(self):
        self.runs, self.points, self.artifacts = {}, {}, {}

    def called(self, name):
        return [run_id for run_id, run in self.runs.items() if run.tags[ID_TAG] == name]

    def get_experiment_by_name(self, name):
        return SimpleNamespace(experiment_id="1", lifecycle_stage="active")

    def create_run(self, experiment, start, tags, name):
        run_id = f"{len(self.runs):032x}"
        info = SimpleNamespace(run_id=run_id, lifecycle_stage="active", status="RUNNING")
        self.runs[run_id] = SimpleNamespace(info=info, tags=tags, params={})
        self.points[run_id], self.artifacts[run_id] = [], set()
        return self.runs[run_id]

    def get_run(self, run_id):
        from mlflow.exceptions import RestException

        if run_id not in self.runs:
            raise RestException({"error_code": "RESOURCE_DOES_NOT_EXIST"})
        return self.runs[run_id]

    def search_runs(self, experiments, wanted, max_results=1):
        return [run for run in self.runs.values() if f"'{run.tags[ID_TAG]}'" in wanted]

    def get_metric_history(self, run_id, name):
        return [point for point in self.points[run_id] if point.key == name]

    def log_batch(self, run_id, metrics=(), params=()):
        self.points[run_id] += metrics
        self.runs[run_id].params |= {each.key: each.value for each in params}

    def update_run(self, run_id, status):
        self.runs[run_id].info.status = status

    def set_terminated(self, run_id, status, time):
        self.runs[run_id].info.status = status

    def set_tag(self, run_id, name, value):
        self.runs[run_id].tags[name] = value

    def log_dict(self, run_id, content, name):
        self.artifacts[run_id].add(name)


class Connection:
    """A client of a server: any call may fail or kill, before or after the server has done it."""

    def __init__(self, server, chance, trouble):
        self._server, self._chance, self._trouble = server, chance, trouble

    def __getattr__(self, name):
        def call(*arguments, **named):
            self._fail()
            answer = getattr(self._server, name)(*arguments, **named)
            self._fail()
            return answer

        return call

    def _fail(self):
        if self._chance.random() < self._trouble:
            raise self._chance.choice([ConnectionError("away"), Killed()])


def begin(number):
    return {
        "kind": "begin",
        "id": f"run{number}",
        "name": "run",
        "parameters": {"number": number},
        "tags": {"stage": "run"},
    }


@pytest.mark.parametrize("seed", range(20))
def test_each_point_is_there_once_and_in_order(tmp_path, seed, capsys):
    chance, server = random.Random(seed), Server()
    journal = Journal(tmp_path / "run.json")

    def send(trouble):
        delivery = Delivery(Connection(server, chance, trouble), journal, lambda reason: None)
        try:
            for _ in range(chance.randrange(1, 4)):
                delivery.send()
        except (ConnectionError, Killed):
            if chance.random() < 0.2:  # what was sent is known to nobody any more
                write_json(tmp_path / "run.json", {})

    for number in range(2):
        metrics = Metrics()
        journal.append([begin(number)])
        step = 0
        while step < 40:
            step = max(0, step - chance.randrange(3))  # resumed from a checkpoint
            for _ in range(chance.randrange(1, 8)):
                step += 1
                journal.append(
                    metrics.new({"loss": number + 1 / step}, step) or [{"kind": "resume"}]
                )
            send(trouble=0.05)
        journal.append([{"kind": "content", "name": "summary.json", "content": {}}])
        journal.append([{"kind": "end", "status": "FINISHED", "time": 1}])
        steps = step
        send(trouble=0.05)
        while journal.is_waiting:
            send(trouble=0.0)

        (run_id,) = [
            name for name, run in server.runs.items() if run.tags[ID_TAG] == f"run{number}"
        ]
        found = [(point.step, point.value) for point in server.points[run_id]]
        assert found == [(each, number + 1 / each) for each in range(1, steps + 1)]
        assert Counter(found).most_common(1)[0][1] == 1
        assert server.runs[run_id].info.status == "FINISHED"
        assert server.runs[run_id].params == {"number": str(number)}
        assert server.artifacts[run_id] == {"summary.json"}
    assert len(server.runs) == 2
    (first,) = server.called("run0")
    assert server.runs[first].tags["superseded_by"] == run_id
