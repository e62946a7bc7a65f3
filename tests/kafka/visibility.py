#!/usr/bin/env python3
"""How long a cause takes to be seen by all: two instances on a real broker, transactions of 50 ms.

    visibility.py [--binary PATH] [--rounds N]

In each round a customer of one instance pays at a new terminal, and the payments are called frauds. From then on
customers of the other instance pay there, one every 5 ms. The cause is in force for the first payment whose score
names the terminal's fraud share. Printed from the moment at which the verdicts were handed to the client: until that
payment was, and until its score reached a reader of what is committed."""

import argparse
import itertools
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

import exactly_once
from exactly_once import PARTITIONS, PREFIX, ROOT, Checks, Instance, wire

import events  # noqa: E402  beside wire, whose folder exactly_once has put on the path

EVERY_SECONDS = 0.005
# Verdicts of one round; legitimate ones before the first, so that a fraud stands out.
FRAUDS = 3
LEGITIMATE = 1_000
ROUND_SECONDS_MAX = 5
BAR_MS = 150


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=str(ROOT / "target" / "release" / "habitue"))
    parser.add_argument("--rounds", type=int, default=40)
    args = parser.parse_args()
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="habitue-visibility-") as name:
        broker = [str(ROOT / "tests" / "kafka" / "broker.sh")]
        bootstrap = subprocess.run([*broker, "start", name + "/broker"], check=True, capture_output=True, text=True).stdout.strip()
        fleet = [Instance(args.binary, pathlib.Path(name), bootstrap, i) for i in range(2)]
        try:
            run(checks, bootstrap, fleet, args.rounds)
        finally:
            for instance in fleet:
                instance.end()
            subprocess.run([*broker, "stop", name + "/broker"], check=False)
    print(f"{checks.passed} passed, {checks.failed} failed")
    sys.exit(1 if checks.failed else 0)


def run(checks, bootstrap, fleet, rounds):
    checks.that("topics are created", fleet[0].command("topics", "create", "--config", fleet[0].config) == 0)
    for instance in fleet:
        instance.start()
    checks.that("both are ready", all(instance.ready(exactly_once.READY_SECONDS_MAX) for instance in fleet))
    # Partitions move until the group is at rest.
    time.sleep(15)
    owners = [owned(instance) for instance in fleet]
    checks.that(f"each owns customers: {owners}", all(owners) and not owners[0] & owners[1])
    shop = Shop(bootstrap)
    here, there = ([shop.customers_of(partitions) for partitions in owners])
    shop.ordinary(next(here))
    delays = [shop.round(number, next(here), there) for number in range(-5, rounds)][5:]
    checks.that("every cause is seen", None not in delays)
    for what, at in (("in force for a payment sent", 0), ("in a score that has reached its reader", 1)):
        ms = sorted(delay[at] * 1000 for delay in delays if delay)
        print(f"{what} after: median {statistics.median(ms):.0f} ms, least {ms[0]:.0f}, p90 {ms[int(0.9 * len(ms))]:.0f}")
        if at == 0:
            checks.that(f"in force at the median within {BAR_MS} ms", statistics.median(ms) <= BAR_MS)


def owned(instance):
    with urllib.request.urlopen(f"http://{instance.http}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    return {int(partition) for partition in re.findall(r'^habitue_customers\{partition="(\d+)"\}', text, re.M)}


class Shop:
    def __init__(self, bootstrap):
        from confluent_kafka import OFFSET_END, Consumer, Producer, TopicPartition

        self._producer = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random", "linger.ms": 0})
        self._scores = Consumer({"bootstrap.servers": bootstrap, "group.id": "habitue-visibility", "enable.auto.commit": False,
                                 "isolation.level": "read_committed", "fetch.wait.max.ms": 5})
        self._scores.assign([TopicPartition(PREFIX + "scores", partition, OFFSET_END) for partition in range(PARTITIONS)])
        self._scores.poll(1)
        self._write = {"purchases": wire.Writer("purchase"), "feedback": wire.Writer("feedback")}
        self._read = wire.Reader("score")
        self._names = itertools.count()

    def customers_of(self, partitions):
        while True:
            name = f"C{next(self._names)}"
            if murmur2(name.encode()) % PARTITIONS in partitions:
                yield name

    def ordinary(self, customer):
        """What a desk says most of the time."""
        for number in range(LEGITIMATE):
            self.pay(customer, f"L{number}", f"L{number % 50}")
        self._producer.flush(30)
        time.sleep(1)
        for number in range(LEGITIMATE):
            self._judge(customer, f"L{number}", "legitimate")
        self._producer.flush(30)
        time.sleep(2)

    def _judge(self, customer, event_id, verdict):
        self._send("feedback", customer, events.feedback(customer, event_id, verdict, int(time.time() * 1000), "desk")[2])

    def pay(self, customer, event_id, terminal):
        lines = [events.line("I1", 1, 1000)]
        record = events.purchase(event_id, customer, event_id, int(time.time() * 1000), lines, "EUR", terminal=terminal)[2]
        self._send("purchases", customer, record)

    def _send(self, topic, customer, record):
        self._producer.produce(PREFIX + topic, self._write[topic](record), customer)
        self._producer.poll(0)

    def round(self, number, customer, others):
        """Seconds until the payment that is the first to feel it, and until its score is read; None where none was."""
        terminal, paid = f"T{number}", [f"R{number}-fraud{at}" for at in range(FRAUDS)]
        for event_id in paid:
            self.pay(customer, event_id, terminal)
        self._producer.flush(5)
        # Their facts are with the market stage when they are judged.
        time.sleep(0.4)
        begun = time.monotonic()
        for event_id in paid:
            self._judge(customer, event_id, "fraud")
        sent, due = {}, begun
        while time.monotonic() < begun + ROUND_SECONDS_MAX:
            if time.monotonic() >= due:
                event_id = f"R{number}-{len(sent)}"
                sent[event_id] = time.monotonic()
                self.pay(next(others), event_id, terminal)
                due += EVERY_SECONDS
            message = self._scores.poll(0.001)
            if message is None or message.error() is not None:
                continue
            score = self._read(message.value())
            if score["event_id"] in sent and any(reason["code"].startswith("entity_risk") for reason in score["reasons"]):
                return sent[score["event_id"]] - begun, time.monotonic() - begun
        return None


def murmur2(data):
    """As Kafka's clients spread keys, the sign bit dropped."""
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    h = (0x9747B28C ^ len(data)) & mask
    whole = len(data) // 4 * 4
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at:at + 4], "little") * m & mask
        h = (h * m & mask) ^ ((k ^ (k >> 24)) * m & mask)
    if whole < len(data):
        h = (h ^ int.from_bytes(data[whole:], "little")) * m & mask
    h = (h ^ (h >> 13)) * m & mask
    return (h ^ (h >> 15)) & 0x7FFFFFFF


if __name__ == "__main__":
    main()
