"""One process of the binary on the log in a folder, and its API, for the browser's tests."""

import json
import pathlib
import socket
import subprocess
import time
import urllib.error
import urllib.request

READY_SECONDS_MAX = 60
ROOT = pathlib.Path(__file__).resolve().parents[2]


class Service:
    def __init__(self, binary, folder):
        self.port = free_port()
        self.origin = f"http://127.0.0.1:{self.port}"
        self._binary, self._folder, self._process, self._token = binary, folder, None, None
        self._config, self._log = folder / "habitue.toml", folder / "service.log"

    def start(self, token=None):
        """Returns once it is ready; a token is asked for from now on."""
        settings = {
            "service": {"http": f"127.0.0.1:{self.port}"},
            "log": {"folder": str(self._folder / "log"), "free_bytes_min": "16 MiB"},
            "snapshots": {"folder": str(self._folder / "snapshots")},
            "topics": {"partitions": 2, "schemas": str(ROOT / "schemas")},
            "analysis.anomaly": {"publish_scores": True},
        }
        lines = []
        for table, values in settings.items():
            lines += [f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
            if token and table == "service":
                (self._folder / "token").write_text(token)
                lines.append(f"http_token = {{ file = {json.dumps(str(self._folder / 'token'))} }}")
        self._config.write_text("\n".join(lines) + "\n")
        self._token = token
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([self._binary, "run", "--config", self._config], stdout=log, stderr=log)
        until = time.monotonic() + READY_SECONDS_MAX
        while time.monotonic() < until and self._process.poll() is None:
            if self.answer("/readyz")[0] == 200 and self.answer("/api/v1/status")[0] == 200:
                return
            time.sleep(0.05)
        raise RuntimeError("the service does not become ready: " + self._said())

    def _said(self):
        return self._log.read_text(errors="replace")[-2000:]

    def kill(self):
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def answer(self, path, body=None):
        """(status, headers, content); status 0 where nobody answers."""
        headers = {"Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        request = urllib.request.Request(self.origin + path, body and json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.headers, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read().decode()
        except OSError as error:
            return 0, {}, str(error)

    def send(self, events):
        """All of them must be taken."""
        for begin in range(0, len(events), 1000):
            part = events[begin:begin + 1000]
            status, _, content = self.answer("/api/v1/events", part)
            if status != 200 or json.loads(content)["accepted"] != len(part):
                raise RuntimeError(f"events are not taken: {status} {content[:500]} {self._said()}")

    def judge(self, event, verdict, source):
        body = {"customer": event["customer"], "event_id": event["event_id"], "verdict": verdict, "source": source}
        status, _, content = self.answer("/api/v1/feedback", body)
        if status != 200:
            raise RuntimeError(f"a verdict is not taken: {status} {content[:500]}")

    def customer(self, customer):
        status, _, content = self.answer(f"/api/v1/customers/{customer}")
        return json.loads(content) if status == 200 else None

    def alerts(self):
        return json.loads(self.answer("/api/v1/alerts?limit=500")[2])["alerts"]

    def risk_of(self, event):
        """The risk that was published of a payment; waits for it, at most 5 s."""
        until = time.monotonic() + 5
        while time.monotonic() < until:
            known = self.customer(event["customer"]) or {"scores": []}
            for score in known["scores"]:
                if score["analysis"] == "anomaly" and score["event_id"] == event["event_id"]:
                    return score["value"]
            time.sleep(0.005)
        return None


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
