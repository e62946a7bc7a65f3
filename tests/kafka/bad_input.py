#!/usr/bin/env python3
"""Records that cannot be applied, on a real broker: each is kept as a dead letter, and nothing else happens.

    bad_input.py [--binary PATH]

Writes good events, then one record of every way to be bad, then good events again, in the same partitions.
Every bad one must be in dead-letters once, with its reason, its first bytes, length, SHA-256 and place; every
good one must be scored and counted, the later ones too though their time lies behind the newest: a bad time
must not move the watermark."""

import argparse
import collections
import csv
import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request

import exactly_once
from exactly_once import PREFIX, ROOT, Checks, Instance, Journal, input_ends, wire

import events  # noqa: E402  beside wire, whose folder exactly_once has put on the path

RAW_BYTES_MAX = 256 << 10
KEY_BYTES_MAX = 1 << 10
TOPIC_BYTES_MAX = 8 << 20
CUSTOMER = "C1"
GOOD = 20
# One topic in JSON; an input at its end holds the watermark back for half a second only.
SETTINGS = """
[topics.wire]
feedback = "json"

[engine]
idle_after = "500ms"
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=str(ROOT / "target" / "release" / "habitue"))
    args = parser.parse_args()
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="habitue-bad-input-") as name:
        broker = [str(ROOT / "tests" / "kafka" / "broker.sh")]
        bootstrap = subprocess.run([*broker, "start", name + "/broker"], check=True, capture_output=True, text=True).stdout.strip()
        instance = Instance(args.binary, pathlib.Path(name), bootstrap, 0)
        with open(instance.config, "a") as config:
            config.write(SETTINGS)
        try:
            run(checks, pathlib.Path(name), bootstrap, instance)
        finally:
            instance.end()
            subprocess.run([*broker, "stop", name + "/broker"], check=False)
    print(f"{checks.passed} passed, {checks.failed} failed")
    sys.exit(1 if checks.failed else 0)


def run(checks, folder, bootstrap, instance):
    checks.that("topics are created", instance.command("topics", "create", "--config", instance.config) == 0)
    widen(bootstrap)
    instance.start()
    checks.that("the instance becomes ready", instance.ready(exactly_once.READY_SECONDS_MAX))
    journal = Journal(bootstrap)
    journal.start()
    shop = Shop(bootstrap)
    now_ms = int(time.time() * 1000)
    shop.good("before", now_ms)
    bad = shop.bad(bad_records(now_ms))
    # Half the lateness behind the newest: late as soon as a bad time has moved the watermark.
    shop.good("after", now_ms - 5 * 60_000)
    checks.that("the journal reaches the end of every input", journal.reaches(input_ends(bootstrap), 60))
    checks.that("the instance is live", answers(instance, "livez"))
    checks.that("the instance is ready", answers(instance, "readyz"))
    # What comes after an idle input has given up its hold: the watermark is at its highest now.
    time.sleep(2)
    shop.good("later", now_ms - 5 * 60_000)
    checks.that("the journal reaches the end again", journal.reaches(input_ends(bootstrap), 60))
    checks.that("the instance drains and ends with 0", instance.drain() == 0)
    journal.stop()
    letters_are(checks, bootstrap, bad)
    scores = collections.Counter(record["event_id"] for record in read(bootstrap, "scores", "score"))
    wanted = {f"{when}-p{i}": 1 for when in ("before", "after", "later") for i in range(GOOD)}
    checks.that("every good payment is scored once, and nothing else", scores == wanted)
    totals_are(checks, folder, instance, 3 * GOOD)


def widen(bootstrap):
    """Lets the inputs take records that the service does not."""
    from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

    admin = AdminClient({"bootstrap.servers": bootstrap})
    entry = ConfigEntry("max.message.bytes", str(TOPIC_BYTES_MAX), incremental_operation=AlterConfigOpType.SET)
    topics = [ConfigResource(ConfigResource.Type.TOPIC, PREFIX + topic, incremental_configs=[entry]) for topic in wire.INPUTS]
    for changed in admin.incremental_alter_configs(topics).values():
        changed.result(30)


def bad_records(now_ms):
    """(name, topic, key, value, reason): those of the oracle, which wants feedback as Avro, and more."""
    key = CUSTOMER.encode()
    write = wire.Writer("purchase")

    def payment(event_id, **more):
        return write(events.purchase(event_id, CUSTOMER, event_id, now_ms, [events.line("I1", 1, 100)], "EUR", **more)[2])

    verdict = events.feedback(CUSTOMER, "before-p0", "fraud", now_ms, "test")[2]
    records = [(f"bad record {i} of the oracle", topic, given and key, value, reason)
               for i, (topic, given, value, reason) in enumerate(events.bad_records(now_ms))]
    large = payment("bad-large") + bytes(range(256)) * (5 << 12)
    return records + [
        ("5 MiB", "purchases", key, large, "too_large"),
        ("just over the limit", "engagements", key, b"\0" * ((1 << 20) + 1), "too_large"),
        ("more than a dead letter keeps", "engagements", key, b"\1" * (RAW_BYTES_MAX + 1), "malformed"),
        ("a tombstone", "purchases", key, None, "missing_key"),
        ("a tombstone in JSON", "feedback", key, None, "missing_key"),
        ("an empty key", "purchases", b"", payment("bad-empty-key"), "missing_key"),
        ("a long key", "purchases", b"k" * (100 << 10), b"no Avro", "malformed"),
        ("half a JSON object", "feedback", key, json.dumps(verdict).encode()[:-9], "malformed"),
        ("JSON of another shape", "feedback", key, b"[1, 2]", "malformed"),
        ("NaN in JSON", "feedback", key, json.dumps(dict(verdict, time_ms=float("nan"))).encode(), "malformed"),
        ("Avro on a JSON topic", "feedback", key, wire.Writer("feedback")(verdict), "invalid_text"),
        ("JSON without a field", "feedback", key, b"{}", "missing_field"),
        ("JSON of 1970", "feedback", key, json.dumps(dict(verdict, time_ms=1)).encode(), "implausible_time"),
    ]


class Shop:
    """Writes records one by one and knows where each has come to lie."""

    def __init__(self, bootstrap):
        from confluent_kafka import Producer

        self._producer = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random", "message.max.bytes": 16 << 20})
        self._writers = {"purchases": wire.Writer("purchase"), "engagements": wire.Writer("engagement")}

    def send(self, topic, key, value):
        """(partition, offset)"""
        placed = []
        self._producer.produce(PREFIX + topic, value, key, on_delivery=lambda error, message: placed.append((error, message)))
        self._producer.flush(30)
        error, message = placed[0]
        if error is not None:
            raise RuntimeError(f"{topic}: {error}")
        return message.partition(), message.offset()

    def good(self, when, time_ms):
        for i in range(GOOD):
            payment = events.purchase(f"{when}-p{i}", CUSTOMER, f"{when}-o{i}", time_ms + i, [events.line("I1", 2, 150)], "EUR")[2]
            self.send("purchases", CUSTOMER, self._writers["purchases"](payment))
            view = {"event_id": f"{when}-e{i}", "customer": CUSTOMER, "time_ms": time_ms + i, "kind": "view"}
            self.send("engagements", CUSTOMER, self._writers["engagements"](view))
            verdict = events.feedback(CUSTOMER, f"{when}-p{i}", "legitimate", time_ms + i, "test")[2]
            self.send("feedback", CUSTOMER, json.dumps(verdict).encode())

    def bad(self, records):
        """{(topic, partition, offset): (name, key, value, reason)}"""
        return {(topic, *self.send(topic, key, value)): (name, key, value, reason) for name, topic, key, value, reason in records}


def read(bootstrap, topic, name):
    reader = wire.Reader(name)
    return [reader(value) for _, _, _, _, value in wire.read_topic(bootstrap, PREFIX + topic)]


def letters_are(checks, bootstrap, bad):
    letters = collections.defaultdict(list)
    for letter in read(bootstrap, "dead-letters", "dead_letter"):
        source = letter["source"]
        letters[source["input"], source["partition"], source["offset"]].append(letter)
    checks.that("nothing else is a dead letter", set(letters) == set(bad))
    for place, (name, key, value, reason) in bad.items():
        found = letters.get(place, [])
        if len(found) != 1:
            checks.that(f"{name} is a dead letter once, not {len(found)} times", False)
            continue
        letter, value = found[0], value or b""
        wanted = {"reason": reason, "key": (key or b"")[:KEY_BYTES_MAX], "raw": value[:RAW_BYTES_MAX],
                  "length": len(value), "sha256": hashlib.sha256(value).digest()}
        wrong = [field for field in wanted if letter[field] != wanted[field]]
        checks.that(f"{name}: {reason}", not wrong and letter["detail"])
        for field in wrong:
            print(f"  {field} is {str(letter[field])[:100]}: {letter['detail']}")


def totals_are(checks, folder, instance, count):
    path = folder / "totals.csv"
    with path.open("wb") as out:
        checks.that("totals are exported", instance.command("snapshots", "totals", "--config", instance.config, stdout=out) == 0)
    with path.open(newline="") as text:
        rows = list(csv.DictReader(text))
    wanted = {"customer": CUSTOMER, "purchases": str(count), "refunds": "0", "amount_minor": str(300 * count),
              "engagements": str(count), "feedbacks": str(count)}
    right = len(rows) == 1 and all(rows[0][column] == value for column, value in wanted.items())
    checks.that("one customer is known, with every good event and no other", right)
    if not right:
        print(f"  {rows[:3]}")


def answers(instance, probe):
    try:
        with urllib.request.urlopen(f"http://{instance.http}/{probe}", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


if __name__ == "__main__":
    main()
