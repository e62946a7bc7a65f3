#!/usr/bin/env python3
"""Writes events to a Kafka broker as a shop would: Avro with the Confluent header, keyed by customer.

    produce.py retail|fraud|shop --bootstrap HOST:PORT [--events N] [--rate N] [--seed N] …

Prints one JSON document: events by topic, seconds, what was left out. Records carry the wall time of their
writing. Keys are spread with murmur2, as the product and Java clients do (librdkafka alone would use CRC32)."""

import argparse
import collections
import itertools
import json
import random
import sys
import time

import events
import wire


def main():
    args = arguments()
    left_out = collections.Counter()
    stream = {
        "retail": lambda: events.retail(args.file, left_out),
        "fraud": lambda: events.fraud(args.file),
        "shop": lambda: events.shop(args.events or 1_000_000, args.seed, args.customers, args.items, args.start_ms),
    }[args.source]()
    if args.events:
        stream = itertools.islice(stream, args.skip, args.skip + args.events)
    sent = Sender(args.bootstrap, args.prefix, args.rate)
    begun = time.monotonic()
    records = encoded(stream, args.duplicates, args.seed)
    for topic, key, value in with_bad(records, args.bad):
        sent.send(topic, key, value)
    sent.finish()
    seconds = time.monotonic() - begun
    total = sum(sent.counts.values())
    document = {"events": total, "topics": dict(sent.counts), "left_out": dict(left_out),
                "seconds": round(seconds, 3), "events_per_second": round(total / max(seconds, 1e-9))}
    print(json.dumps(document))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", choices=["retail", "fraud", "shop"])
    parser.add_argument("--bootstrap", required=True, help="HOST:PORT of a broker")
    parser.add_argument("--prefix", default="", help="in front of every topic's name")
    parser.add_argument("--file", help="the data file (default: in $HABITUE_DATA or ../shared/data)")
    parser.add_argument("--events", type=int, help="how many at most; of shop 1 000 000 by default")
    parser.add_argument("--skip", type=int, default=0, help="leave out so many first (with --events)")
    parser.add_argument("--rate", type=float, help="events a second (default: as fast as it goes)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--customers", type=int, default=100_000, help="of shop")
    parser.add_argument("--items", type=int, default=20_000, help="of shop")
    parser.add_argument("--start-ms", type=int, default=1_700_000_000_000, help="event time of shop's first event")
    parser.add_argument("--duplicates", type=float, default=0.0, help="share of events that are sent twice")
    parser.add_argument("--bad", type=int, default=0, help="so many rounds of every kind of bad record, one every 1000 events")
    args = parser.parse_args()
    if args.skip and not args.events:
        parser.error("--skip needs --events")
    return args


def encoded(stream, duplicates, seed):
    """(topic, key, value, time); some are repeated a little later, byte for byte."""
    writers = {topic: wire.Writer(name) for topic, name in wire.INPUTS.items()}
    rng = random.Random(seed)
    held = collections.deque()
    for topic, key, record in stream:
        out = topic, key.encode(), writers[topic](record), record["time_ms"]
        yield out
        if duplicates and rng.random() < duplicates:
            held.append(out)
        if len(held) > 20:
            yield held.popleft()
    yield from held


def with_bad(records, rounds):
    """Puts `rounds` rounds of bad records between the good ones."""
    pending = []
    time_ms = 0
    for i, (topic, key, value, time_ms) in enumerate(records):
        if i % 1000 == 500 and rounds > 0:
            rounds -= 1
            pending.extend(events.bad_records(time_ms))
        yield topic, key, value
        if pending and i % 10 == 0:
            yield pending.pop(0)[:3]
    for _ in range(rounds):
        pending.extend(events.bad_records(time_ms))
    for bad in pending:
        yield bad[:3]


class Sender:
    """A plain idempotent producer that keeps to a rate and fails on the first record that is refused."""

    def __init__(self, bootstrap, prefix, rate):
        from confluent_kafka import Producer

        self.counts = collections.Counter()
        self._prefix, self._rate, self._begun, self._total = prefix, rate, time.monotonic(), 0
        self._refused = []
        self._producer = Producer({
            "bootstrap.servers": bootstrap,
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            "linger.ms": 5 if rate else 50,
            "queue.buffering.max.messages": 500_000,
            "queue.buffering.max.kbytes": 512 << 10,
            "message.max.bytes": 16 << 20,
            "compression.type": "none",
            "on_delivery": self._delivered,
            # Called for failures only: a call a record would cost more than the record.
            "delivery.report.only.error": True,
        })

    def _delivered(self, error, message):
        if error is not None:
            self._refused.append(f"{message.topic()}: {error}")

    def send(self, topic, key, value):
        name = self._prefix + topic
        while True:
            try:
                self._producer.produce(name, value, key)
                break
            except BufferError:
                self._producer.poll(0.05)
        self.counts[topic] += 1
        self._total += 1
        if self._total % 100 == 0 or self._rate:
            self._pace()

    def _pace(self):
        self._producer.poll(0)
        if self._refused:
            sys.exit(f"refused: {self._refused[0]} ({len(self._refused)} in all)")
        if self._rate:
            ahead = self._total / self._rate - (time.monotonic() - self._begun)
            if ahead > 0.002:
                self._producer.poll(ahead)
        elif self._total % 100_000 == 0:
            print(f"{self._total} events", file=sys.stderr)

    def finish(self):
        left = self._producer.flush(120)
        self._producer.poll(0)
        if left or self._refused:
            sys.exit(f"{left} not delivered in time, refused: {self._refused[:3]}")


if __name__ == "__main__":
    main()
