#!/usr/bin/env python3
"""One instance that is given events over HTTP, killed in mid-stream, judged by the oracle.

    kills.py post [--events N] [--kills N]     a synthetic shop over HTTP, every request sent twice
    kills.py load [--kills N] [--kafka]        Online Retail II through `habitue load`

It is on the log in a folder, or with --kafka on a broker of its own.

Ends the process with SIGKILL in mid-stream and starts it again, drains it with SIGTERM at the end, exports the totals,
reconciles everything that was said with a recomputation from the inputs, and verifies it from the beginning. `load`
reconciles the totals with a recomputation from the file, too."""

import argparse
import csv
import http.client
import json
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
ORACLE = ROOT / "tests" / "kafka" / "oracle"
sys.path[:0] = [str(ORACLE), str(ROOT / "tests" / "kafka")]
import events  # noqa: E402
import reconcile  # noqa: E402
from exactly_once import PARTITIONS, PREFIX, Checks, Instance, keep_versions  # noqa: E402

READY_SECONDS_MAX = 60
PATIENCE_SECONDS = 120
BATCH = 250
TYPES = {"purchases": "purchase", "engagements": "engagement", "feedback": "feedback"}


def main():
    args = arguments()
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="habitue-embedded-") as name:
        folder = pathlib.Path(name)
        instance = OnKafka(args.binary, folder) if args.kafka else Embedded(args.binary, folder)
        try:
            run(args, checks, folder, instance)
        finally:
            instance.end()
            instance.clear()
    print(f"{checks.passed} passed, {checks.failed} failed")
    sys.exit(1 if checks.failed else 0)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["post", "load"])
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--kafka", action="store_true", help="on Kafka instead of the log in a folder")
    parser.add_argument("--binary", default=str(ROOT / "target" / "release" / "habitue"))
    return parser.parse_args()


class Asked(Instance):
    """An instance that is asked over HTTP how it is."""

    def __init__(self, binary, folder, bootstrap):
        super().__init__(binary, folder, bootstrap, 0)
        self.folder = folder
        self.address = f"http://{self.http}"

    def get(self, path):
        import urllib.request

        with urllib.request.urlopen(self.address + path, timeout=10) as answer:
            return json.load(answer)

    def caught_up(self, seconds):
        """True once nothing waits, as of three looks in a row: lag is asked once a second."""
        until, quiet = time.monotonic() + seconds, 0
        while time.monotonic() < until and quiet < 3:
            partitions = self.get("/api/v1/status")["partitions"]
            customers = [of for of in partitions if of["stage"] == "customer"]
            quiet = quiet + 1 if len(customers) == PARTITIONS and not any(of["lag"] for of in customers) else 0
            time.sleep(1.1)
        return quiet == 3


class Embedded(Asked):
    """Without Kafka."""

    def __init__(self, binary, folder):
        super().__init__(binary, folder, None)
        self.records = [self.address]

    def settings(self, folder, bootstrap):
        settings = super().settings(folder, bootstrap)
        del settings["kafka"]
        return {**settings, "log": {"folder": str(folder / "log"), "free_bytes_min": "16 MiB"}}

    def prepare(self, checks):
        checks.that("folder and snapshots are found well", self.command("validate", self.config, "--connect") == 0)

    def is_alone(self, checks):
        in_use = self.command("validate", self.config, "--connect", stdout=subprocess.DEVNULL)
        checks.that("a folder in use is told", in_use == 4)
        refused = subprocess.run([self.binary, "run", "--config", self.config], capture_output=True, text=True, check=False)
        checks.that("a second process is refused", refused.returncode in (3, 4))

    def clear(self):
        pass


class OnKafka(Asked):
    """With a broker of its own."""

    def __init__(self, binary, folder):
        self._broker = folder / "broker"
        bootstrap = self._run("start")
        super().__init__(binary, folder, bootstrap)
        self.records, self._bootstrap = [bootstrap, "--prefix", PREFIX], bootstrap

    def _run(self, word):
        command = [str(ROOT / "tests" / "kafka" / "broker.sh"), word, str(self._broker)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def prepare(self, checks):
        checks.that("topics are created", self.command("topics", "create", "--config", self.config) == 0)
        keep_versions(self._bootstrap)

    def is_alone(self, checks):
        pass

    def clear(self):
        self._run("stop")


def run(args, checks, folder, instance):
    checks.that("the configuration is valid", instance.command("validate", instance.config) == 0)
    instance.prepare(checks)
    instance.start()
    checks.that("it becomes ready", instance.ready(READY_SECONDS_MAX))
    instance.is_alone(checks)
    sender = Poster(instance, args.events) if args.what == "post" else Loader(instance, args.binary)
    sender.start()
    for kill in range(args.kills):
        checks.that(f"kill {kill + 1} falls in mid-stream", sender.reaches((kill + 1) / (args.kills + 1)))
        at = time.monotonic()
        instance.end()
        instance.start()
        checks.that(f"it is ready again after kill {kill + 1}", instance.ready(READY_SECONDS_MAX))
        print(f"kill {kill + 1}: ready again after {time.monotonic() - at:.2f} s")
    sender.join()
    checks.that("everything was taken", sender.ended_well)
    print(sender.says)
    checks.that("it catches up", instance.caught_up(PATIENCE_SECONDS))
    checks.that("it drains and ends with 0", instance.drain() == 0)
    totals = folder / "totals.csv"
    with totals.open("wb") as out:
        checks.that("totals are exported", instance.command("snapshots", "totals", "--config", instance.config, stdout=out) == 0)
    instance.start()
    checks.that("it becomes ready again", instance.ready(READY_SECONDS_MAX))
    reconciled = subprocess.run([sys.executable, str(ORACLE / "reconcile.py"), "--totals", str(totals), "--bootstrap", *instance.records], check=False)
    checks.that("everything agrees with the recomputation", reconciled.returncode == 0)
    checks.that("it drains and ends with 0 again", instance.drain() == 0)
    if args.what == "load":
        checks.that("totals are those of the file", totals_of_file() == totals_of(totals))
    checks.that("every signal and decision made anew is the committed one", verified(instance, folder / "verified.json"))
    checks.that("no hash mismatch is logged", not instance.logged("hash mismatch"))


def verified(instance, file):
    with file.open("wb") as out:
        code = instance.command("verify", "--config", instance.config, "--json", stdout=out)
    partitions = json.loads(file.read_text() or "{}").get("partitions", [])
    whole = [of for of in partitions if of["result"] == "equal" and of["verified_from"] == 0 and of["signals"] > 0]
    for partition in partitions:
        print(f"verified: {partition}")
    return code == 0 and len(whole) == PARTITIONS


class Poster(threading.Thread):
    """Sends the shop in requests of 250 events, each request twice, and each again until it is answered."""

    def __init__(self, instance, count):
        super().__init__(daemon=True)
        self._instance, self._count = instance, count
        self._sent, self._moved = 0, threading.Condition()
        self.ended_well, self.says = False, ""

    def run(self):
        began, retries, batch = time.monotonic(), 0, []
        for topic, _key, record in events.shop(self._count):
            batch.append({"type": TYPES[topic], **{name: value for name, value in record.items() if value is not None}})
            if len(batch) == BATCH:
                retries += self._send(batch)
                batch = []
        if batch:
            retries += self._send(batch)
        seconds = time.monotonic() - began
        self.says = f"{self._sent} events in {seconds:.1f} s, each sent twice; {retries} requests were sent once more"
        self.ended_well = self._sent == self._count

    def _send(self, batch):
        body, retries = json.dumps(batch), 0
        for _ in range(2):
            until = time.monotonic() + PATIENCE_SECONDS
            while not self._is_taken(body, len(batch)):
                retries += 1
                if time.monotonic() > until:
                    raise TimeoutError("nobody takes events")
                time.sleep(0.05)
        with self._moved:
            self._sent += len(batch)
            self._moved.notify_all()
        return retries

    def _is_taken(self, body, count):
        connection = http.client.HTTPConnection(self._instance.http, timeout=20)
        try:
            connection.request("POST", "/api/v1/events", body, {"content-type": "application/json"})
            answer = connection.getresponse()
            taken = json.loads(answer.read())
            return answer.status == 200 and taken["accepted"] == count
        except (OSError, http.client.HTTPException, ValueError):
            return False
        finally:
            connection.close()

    def reaches(self, part):
        with self._moved:
            reached = self._moved.wait_for(lambda: self._sent >= part * self._count, PATIENCE_SECONDS)
            return reached and self._sent < self._count


class Loader(threading.Thread):
    """`habitue load` of Online Retail II, killed with the service and started again by hand, as a person would."""

    def __init__(self, instance, binary):
        super().__init__(daemon=True)
        self._instance = instance
        file = events.data_folder() / "online_retail" / "online_retail_II.csv.gz"
        mapping = ROOT / "docs" / "mappings" / "online_retail.toml"
        self._command = [binary, "load", str(file), "--mapping", str(mapping), "--json", "--batch", "200", "--url", instance.address]
        self._kills = 0
        self.ended_well, self.says = False, ""

    def run(self):
        done = subprocess.run(self._command, capture_output=True, text=True, check=False)
        self.says = done.stdout + done.stderr
        self.ended_well = done.returncode == 0

    def reaches(self, part):
        """Orders are some 29 500; the service tells how far it is."""
        wanted, until = part * 29_500, time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            partitions = self._instance.get("/api/v1/status")["partitions"]
            if sum(of["position"] for of in partitions if of["stage"] == "customer") >= wanted:
                return self.is_alive()
            time.sleep(0.01)
        return False


def totals_of_file():
    """By customer, from the file alone."""
    expected = reconcile.Expected()
    for offset, (topic, _key, record) in enumerate(events.retail()):
        expected.take(topic, 0, offset, record)
    return expected.table()


def totals_of(file):
    with file.open(newline="") as rows:
        return {row["customer"]: tuple(int(row[name]) for name in reconcile.COLUMNS[1:]) for row in csv.DictReader(rows)}


if __name__ == "__main__":
    main()
