#!/usr/bin/env python3
"""The whole service on a real broker, killed in mid-stream, judged by the oracle.

    exactly_once.py [--source shop|retail|fraud] [--events N] [--rate N] [--instances N] [--kills N]

Starts a broker and instances of the binary, writes events, ends one instance with SIGKILL in mid-stream in
each round (started again at once under its name, or only after the others have taken over, in turn), drains
with SIGTERM, exports the totals and reconciles. Prints how long the partitions were silent after each kill."""

import argparse
import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
ORACLE = ROOT / "tests" / "kafka" / "oracle"
sys.path.insert(0, str(ORACLE))
import wire  # noqa: E402

PREFIX = "habitue."
PARTITIONS = 4
READY_SECONDS_MAX = 60
DRAIN_SECONDS_MAX = 30
CATCH_UP_SECONDS_MAX = 300


def main():
    args = arguments()
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="habitue-exactly-once-") as name:
        folder = pathlib.Path(name)
        broker = [str(ROOT / "tests" / "kafka" / "broker.sh")]
        bootstrap = subprocess.run([*broker, "start", name + "/broker"], check=True, capture_output=True, text=True).stdout.strip()
        fleet = [Instance(args.binary, folder, bootstrap, i) for i in range(args.instances)]
        try:
            run(args, checks, folder, bootstrap, fleet)
        finally:
            for instance in fleet:
                instance.end()
            subprocess.run([*broker, "stop", name + "/broker"], check=False)
    print(f"{checks.passed} passed, {checks.failed} failed")
    sys.exit(1 if checks.failed else 0)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", choices=["shop", "retail", "fraud"], default="shop")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rate", type=float, help="events a second (default: so that the kills fall in mid-stream)")
    parser.add_argument("--instances", type=int, default=2)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--late", action="store_true", help="allow dead letters for lateness")
    parser.add_argument("--binary", default=str(ROOT / "target" / "release" / "habitue"))
    args = parser.parse_args()
    args.rate = args.rate or args.events / max(20 + 10 * args.kills, 1)
    return args


def run(args, checks, folder, bootstrap, fleet):
    first = fleet[0]
    checks.that("the configuration is valid", first.command("validate", first.config) == 0)
    checks.that("topics are created", first.command("topics", "create", "--config", first.config) == 0)
    checks.that("broker, topics, keys and transactions are found well", first.command("validate", first.config, "--connect") == 0)
    keep_versions(bootstrap)
    for instance in fleet:
        instance.start()
    checks.that("all instances become ready", all(instance.ready(READY_SECONDS_MAX) for instance in fleet))
    journal = Journal(bootstrap)
    journal.start()
    producer = subprocess.Popen(
        [sys.executable, str(ORACLE / "produce.py"), args.source, "--bootstrap", bootstrap, "--prefix", PREFIX,
         "--events", str(args.events), "--rate", str(args.rate), "--duplicates", "0.005", "--bad", "5"],
        stdout=subprocess.PIPE, text=True)
    time.sleep(10)
    for kill in range(args.kills):
        kill_round(checks, kill, fleet, journal)
    checks.that("beside the service, every signal and decision made anew is the committed one", verified(first, folder / "beside.json"))
    document = json.loads(producer.communicate()[0] or "{}")
    checks.that("all events were written", producer.returncode == 0)
    print(f"written: {document}")
    begun = time.monotonic()
    checks.that("the journal reaches the end of every input", journal.reaches(input_ends(bootstrap), CATCH_UP_SECONDS_MAX))
    print(f"caught up {time.monotonic() - begun:.1f} s after the last event was written")
    checks.that("every instance knows who has what, and answers for customers of the others", answers_alike(bootstrap, fleet))
    checks.that("a load goes on through any instance from where it is", load_goes_on(fleet))
    for instance in fleet:
        checks.that(f"{instance.name} drains and ends with 0", instance.drain() == 0)
    journal.stop()
    totals = folder / "totals.csv"
    with totals.open("wb") as out:
        checks.that("totals are exported", first.command("snapshots", "totals", "--config", first.config, stdout=out) == 0)
    reconciled = subprocess.run([sys.executable, str(ORACLE / "reconcile.py"), "--bootstrap", bootstrap, "--prefix", PREFIX,
                                 "--totals", str(totals), *(["--late"] if args.late else [])], check=False)
    checks.that("everything agrees with the recomputation", reconciled.returncode == 0)
    checks.that("every signal and decision made anew is the committed one", verified(first, folder / "verified.json"))
    for instance in fleet:
        checks.that(f"{instance.name} logged no hash mismatch", not instance.logged("hash mismatch"))


def keep_versions(bootstrap):
    """Compaction takes the versions of rows that change often within minutes, and what was said with them cannot be made
    anew then: here verify is to begin at the beginning."""
    from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

    entry = ConfigEntry("min.compaction.lag.ms", "3600000", incremental_operation=AlterConfigOpType.SET)
    models = ConfigResource(ConfigResource.Type.TOPIC, PREFIX + "models", incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for changed in admin.incremental_alter_configs([models]).values():
        changed.result(30)


def answers_alike(bootstrap, fleet):
    """Some customers of every partition, asked of every instance: one has the record, the others ask that one."""
    claimed = [{of["instance"]: of["customer"] for of in instance.get("/api/v1/status")["instances"]} for instance in fleet]
    claims = claimed[0]
    print(f"customer partitions: {claims}")
    whole = sorted(partition for owned in claims.values() for partition in owned) == list(range(PARTITIONS))
    if not whole or any(other != claims for other in claimed) or set(claims) != {instance.name for instance in fleet}:
        return False
    customers, alike = some_customers(bootstrap), True
    for customer in customers:
        for path in (f"/api/v1/customers/{customer}", f"/api/v1/customers/{customer}/recommendations"):
            answers = [instance.get(path) for instance in fleet]
            # Whoever asks, it is the record of now: nothing comes any more.
            said = [(answer["customer"], answer.get("profile"), answer.get("recommendations"), answer.get("items")) for answer in answers]
            if any(other != said[0] for other in said[1:]):
                print(f"{path}: {said}")
                alike = False
    print(f"{len(customers)} customers asked of {len(fleet)} instances")
    return alike and len(customers) == 5 * PARTITIONS


def load_goes_on(fleet):
    """Parts by turns through every instance. Their one event is refused, so that nothing is written but the position."""
    place = 0
    for instance in [*fleet, *reversed(fleet), *fleet]:
        if instance.post(f"/api/v1/loads/by-turns?from={place}", [{}]) != 200:
            return False
        place += 1
        if any(other.get("/api/v1/loads/by-turns")["position"] != place for other in fleet):
            return False
    return all(instance.post("/api/v1/loads/by-turns?from=1", [{}]) == 409 for instance in fleet)


def some_customers(bootstrap):
    """Five of each partition who got a list."""
    of_partition = [set() for _ in range(PARTITIONS)]
    for partition, _, _, key, _ in wire.read_topic(bootstrap, PREFIX + "recommendations"):
        if len(of_partition[partition]) < 5:
            of_partition[partition].add(key.decode())
        if all(len(customers) == 5 for customers in of_partition):
            break
    return sorted(set().union(*of_partition))


def verified(instance, file):
    """Verify mode of every partition, from the journal's start to its end."""
    begun = time.monotonic()
    with file.open("wb") as out:
        code = instance.command("verify", "--config", instance.config, "--json", stdout=out)
    partitions = json.loads(file.read_text() or "{}").get("partitions", [])
    for partition in partitions:
        print(f"verified: {partition}")
    print(f"verified in {time.monotonic() - begun:.1f} s")
    whole = [of for of in partitions if of["result"] == "equal" and of["verified_from"] == 0 and of["signals"] > 0]
    return code == 0 and len(whole) == PARTITIONS


def kill_round(checks, kill, fleet, journal):
    """One kill and restart. Even rounds restart at once; odd ones let the others take over first."""
    victim = fleet[kill % len(fleet)]
    take_over = kill % 2 == 1 and len(fleet) > 1
    at = time.monotonic()
    victim.end()
    if not take_over:
        victim.start()
    silence = journal.silence_after(at, 60)
    how = "takeover by another" if take_over else "restart under the same name"
    checks.that(f"every partition speaks again after kill {kill + 1}", silence is not None)
    if silence is not None:
        print(f"kill {kill + 1}, {how}: next output of the last partition after {silence:.2f} s")
    if take_over:
        victim.start()
    checks.that(f"{victim.name} is ready again", victim.ready(READY_SECONDS_MAX))
    time.sleep(3)


def input_ends(bootstrap):
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "habitue-oracle"})
    ends = {}
    for topic in wire.INPUTS:
        for partition in range(PARTITIONS):
            ends[partition, topic] = consumer.get_watermark_offsets(TopicPartition(PREFIX + topic, partition), timeout=30)[1]
    consumer.close()
    return ends


class Checks:
    def __init__(self):
        self.passed = self.failed = 0

    def that(self, what, holds):
        self.passed, self.failed = self.passed + bool(holds), self.failed + (not holds)
        print(f"{'ok' if holds else 'FAILED'}: {what}", flush=True)


class Instance:
    """One process of the binary with a configuration and a log of its own."""

    def __init__(self, binary, folder, bootstrap, number):
        self.name = f"instance-{number}"
        self.config = str(folder / f"{self.name}.toml")
        self.binary, self._log = binary, folder / f"{self.name}.log"
        self.http = f"127.0.0.1:{free_port()}"
        self._process = None
        lines = []
        for table, values in self.settings(folder, bootstrap).items():
            lines += [f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items()), ""]
        pathlib.Path(self.config).write_text("\n".join(lines))

    def settings(self, folder, bootstrap):
        return {
            "service": {"instance": self.name, "http": self.http},
            "kafka": {"brokers": [bootstrap], "topic_prefix": PREFIX},
            "topics": {"partitions": PARTITIONS, "schemas": str(wire.SCHEMAS)},
            # History is written now, but carries its own times.
            "topics.retention": {"inputs": "3650d", "journal": "3650d", "outputs": "3650d"},
            "snapshots": {"folder": str(folder / "snapshots"), "interval": "5s", "records": 50_000},
            "analysis.anomaly": {"publish_scores": True},
        }

    def command(self, *words, stdout=None):
        return subprocess.run([self.binary, *words], stdout=stdout, check=False).returncode

    def get(self, path):
        with urllib.request.urlopen(f"http://{self.http}{path}", timeout=10) as answer:
            return json.load(answer)

    def post(self, path, body):
        """The status."""
        request = urllib.request.Request(f"http://{self.http}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    def start(self):
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([self.binary, "run", "--config", self.config], stdout=log, stderr=log)

    def ready(self, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://{self.http}/readyz", timeout=2) as answer:
                    if answer.status == 200:
                        return True
            except OSError:
                pass
            time.sleep(0.1)
        print(self._log.read_text(errors="replace")[-2000:], file=sys.stderr)
        return False

    def end(self):
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def drain(self):
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(DRAIN_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            return None

    def logged(self, words):
        return words in self._log.read_text(errors="replace")


def free_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Journal(threading.Thread):
    """Follows the journal under read_committed: when each partition last spoke, and how far it has come."""

    def __init__(self, bootstrap):
        super().__init__(daemon=True)
        self._servers, self._stopping = bootstrap, threading.Event()
        self._lock = threading.Lock()
        self._heard = {}
        self._positions = {}

    def run(self):
        from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

        consumer = Consumer({"bootstrap.servers": self._servers, "group.id": "habitue-oracle", "enable.auto.commit": False,
                             "isolation.level": "read_committed", "fetch.wait.max.ms": 10})
        consumer.assign([TopicPartition(PREFIX + "journal", partition, OFFSET_BEGINNING) for partition in range(PARTITIONS)])
        read = wire.Reader("journal")
        while not self._stopping.is_set():
            message = consumer.poll(0.1)
            if message is None or message.error() is not None:
                continue
            entry = read(message.value())
            with self._lock:
                if any("from" in step for step in entry["steps"]):
                    self._heard[message.partition()] = time.monotonic()
                for topic in wire.INPUTS:
                    self._positions[message.partition(), topic] = entry["positions"][topic]
        consumer.close()

    def stop(self):
        self._stopping.set()
        self.join()

    def silence_after(self, at, seconds):
        """Seconds from `at` until every partition has applied something again, at least 0.3; None where one
        did not."""
        # What was committed before the kill may still arrive; a moment later it has.
        time.sleep(0.3)
        floor = time.monotonic()
        while time.monotonic() < at + seconds:
            with self._lock:
                spoken = [self._heard.get(partition, 0) for partition in range(PARTITIONS)]
            if min(spoken) > floor:
                return time.monotonic() - at
            time.sleep(0.01)
        return None

    def reaches(self, ends, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            with self._lock:
                if all(self._positions.get(place, 0) >= end for place, end in ends.items()):
                    return True
            time.sleep(0.1)
        return False


if __name__ == "__main__":
    main()
