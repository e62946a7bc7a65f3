#!/usr/bin/env python3
"""Recomputes from the input topics alone what the service must have said and counted, and compares.

    reconcile.py --bootstrap HOST:PORT [--prefix P] [--totals FILE …] [--late] [--json]

Every output is read with read_committed. Exits 0 when nothing differs, 1 when something does, 2 on misuse.
FILE is what `habitue snapshots totals` writes; several files are one per instance. `--late` allows dead
letters for lateness, which depends on the order in which topics were read, and takes them from the service."""

import argparse
import collections
import csv
import json
import math
import sys

import wire

TIME_MIN_MS = 946_684_800_000  # 2000-01-01
AHEAD_MAX_MS = 3_600_000
DAY_MS = 86_400_000
TEXT_BYTES_MAX = 256
LINES_MAX = 10_000
RECORD_BYTES_MAX = 1 << 20
COLUMNS = ["customer", "purchases", "refunds", "amount_minor", "engagements", "feedbacks", "first_ms", "last_ms"]
REQUIRED = {
    "purchases": ["event_id", "order"],
    "engagements": ["event_id", "customer"],
    "feedback": ["customer", "event_id", "source"],
}


class Judge:
    """Tells good input records from bad ones, by the rules that the schemas and the README state."""

    def __init__(self, record_bytes_max=RECORD_BYTES_MAX):
        self._record_bytes_max = record_bytes_max
        self._readers = {topic: wire.Reader(name) for topic, name in wire.INPUTS.items()}

    def __call__(self, topic, timestamp_ms, key, value):
        """(record, None) or (None, reason)."""
        if not key or value is None:
            return None, "missing_key"
        if len(value) > self._record_bytes_max:
            return None, "too_large"
        try:
            record = self._readers[topic](value)
        except wire.UnknownSchema:
            return None, "unknown_schema"
        except UnicodeDecodeError:
            return None, "invalid_text"
        except Exception:  # fastavro raises what it happens to stumble over
            return None, "malformed"
        reason = fault(topic, record)
        if reason is None and not TIME_MIN_MS <= record["time_ms"] <= timestamp_ms + AHEAD_MAX_MS:
            reason = "implausible_time"
        return (None, reason) if reason else (record, None)


def fault(topic, record):
    """What is wrong with the content of a record, other than its time."""
    lines = record.get("lines", [])
    needed = [record[name] for name in REQUIRED[topic]] + [line["item"] for line in lines]
    texts = [value for part in (record, *lines) for name, value in part.items() if isinstance(value, str) and name != "query"]
    if not all(needed) or record["customer"] == "" or any(len(text.encode()) > TEXT_BYTES_MAX for text in texts):
        return "missing_field"
    if topic == "engagements":
        seconds = record["duration_seconds"] or 0.0
        return "not_finite" if not math.isfinite(seconds) else "invalid_value" if seconds < 0 else None
    if topic == "purchases":
        currency = record["currency"]
        if not (len(currency) == 3 and currency.isascii() and currency.isalpha() and 0 < len(lines) <= LINES_MAX):
            return "invalid_value"
        for line in lines:
            wrong = line["quantity"] == 0 if record["refund"] else line["quantity"] < 1
            if wrong or line["unit_price_minor"] < 0:
                return "invalid_value"
    return None


def identity(topic, record):
    """By what a repeat is recognised."""
    if topic == "feedback":
        return topic, record["event_id"], record["verdict"], record["time_ms"], record["source"]
    return topic, record["event_id"]


class Expected:
    """What follows from the input. Feed it every input record, in offset order within a partition."""

    def __init__(self, late=frozenset(), record_bytes_max=RECORD_BYTES_MAX):
        self._judge = Judge(record_bytes_max)
        self._late = late
        self._seen = set()
        self.offsets = collections.defaultdict(list)  # (topic, partition): offsets, ascending
        self.bad = {}  # (topic, partition, offset): reason
        self.applied = {}  # (topic, partition, offset): customer, None of a guest
        self.scored = {}  # event id: (customer or, of a guest, order; amount, partition, offset)
        self.ordered = {}  # event id: (customer, day since 1970), of purchases that are no refund
        self.totals = {}  # customer: [purchases, refunds, amount, engagements, first, last]
        self.feedbacks = collections.Counter()
        self.counts = collections.Counter()

    def add(self, topic, partition, offset, timestamp_ms, key, value):
        place = topic, partition, offset
        self.offsets[topic, partition].append(offset)
        self.counts["input records"] += 1
        record, reason = self._judge(topic, timestamp_ms, key, value)
        if reason is not None:
            self.bad[place] = reason
            return
        name = identity(topic, record)
        if name in self._seen:
            self.counts["duplicates"] += 1
            return
        if place in self._late:
            self.bad[place] = "late"
            self.counts["late"] += 1
            return
        self._seen.add(name)
        self.take(topic, partition, offset, record)

    def take(self, topic, partition, offset, record):
        """A good record that is no repeat."""
        self.counts[f"applied {topic}"] += 1
        self.applied[topic, partition, offset] = record["customer"]
        getattr(self, "_" + topic)(partition, offset, record)

    def _purchases(self, partition, offset, record):
        customer = record["customer"]
        amount = sum(abs(line["quantity"]) * line["unit_price_minor"] for line in record["lines"])
        if not record["refund"]:
            who = record["order"] if customer is None else customer
            self.scored[record["event_id"]] = who, amount, partition, offset
        if customer is None:
            self.counts["guest purchases"] += 1
            return
        row = self._row(customer, record["time_ms"])
        if record["refund"]:
            row[1] += 1
        else:
            self.ordered[record["event_id"]] = customer, record["time_ms"] // DAY_MS
            row[0] += 1
            row[2] += amount

    def _engagements(self, partition, offset, record):
        self._row(record["customer"], record["time_ms"])[3] += 1

    def _feedback(self, partition, offset, record):
        self.feedbacks[record["customer"]] += 1

    def _row(self, customer, time_ms):
        """A purchase or an engagement makes a customer known and moves first and last; a verdict does neither."""
        row = self.totals.setdefault(customer, [0, 0, 0, 0, time_ms, time_ms])
        row[4], row[5] = min(row[4], time_ms), max(row[5], time_ms)
        return row

    def table(self):
        """{customer: values in the order of COLUMNS without the first}."""
        return {
            customer: (purchases, refunds, amount, engagements, self.feedbacks[customer], first, last)
            for customer, (purchases, refunds, amount, engagements, first, last) in self.totals.items()
        }


class Differences:
    """Named findings, each with its number and its first few cases."""

    def __init__(self):
        self.rows = []  # (what, expected, found, number of differences, examples)

    def compare(self, what, expected, found, cases):
        cases = list(cases)
        self.rows.append((what, expected, found, len(cases), cases[:3]))

    def total(self):
        return sum(row[3] for row in self.rows)


def check_journal(differences, offsets, entries):
    """Every input record lies in exactly one run, and what a run ends with exists.

    `offsets`: as in Expected. `entries`: (partition, journal offset, decoded entry), in offset order."""
    runs = collections.defaultdict(list)
    for partition, _, entry in entries:
        for step in entry["steps"]:
            if isinstance(step, dict) and "from" in step:
                runs[step["input"], partition].append((step["from"], step["to"]))
    faults = []
    covered = total = 0
    for place in sorted(set(offsets) | set(runs)):
        present = offsets.get(place, [])
        known = set(present)
        total += len(present)
        times = collections.Counter()
        end = 0
        for start, stop in runs.get(place, []):
            if start < end:
                faults.append(f"{place[0]}[{place[1]}]: run {start}..{stop} begins before {end}")
            if stop <= start or stop - 1 not in known:
                faults.append(f"{place[0]}[{place[1]}]: run {start}..{stop} ends on no record")
            end = max(end, stop)
        spans = sorted(runs.get(place, []))
        at = 0
        for start, stop in spans:
            while at < len(present) and present[at] < start:
                faults.append(f"{place[0]}[{place[1]}]: offset {present[at]} is in no run")
                at += 1
            while at < len(present) and present[at] < stop:
                times[present[at]] += 1
                at += 1
        for offset in present[at:]:
            faults.append(f"{place[0]}[{place[1]}]: offset {offset} is in no run")
        covered += len(times)
    differences.compare("input records in one journal run", total, covered, faults)


def check_scores(differences, scored, scores):
    """One anomaly score for each expected event id, none for another. `scores`: decoded records of all analyses."""
    unique(differences, "score ids", [score["id"] for score in scores])
    scores = [score for score in scores if score["analysis"] == "anomaly"]
    times = collections.Counter(score["event_id"] for score in scores if score["event_id"] is not None)
    faults = [f"no score for event {event_id}" for event_id in scored if event_id not in times]
    faults += [f"{n} scores for event {event_id}" for event_id, n in times.items() if n > 1]
    faults += [f"a score for event {event_id}, which asks for none" for event_id in times if event_id not in scored]
    for score in scores:
        known = scored.get(score["event_id"])
        source = score["source"]
        if known and (score["customer"], source["input"], source["partition"], source["offset"]) != (known[0], "purchases", *known[2:]):
            faults.append(f"score of event {score['event_id']} names another customer or record")
    differences.compare("scores, one an event", len(scored), sum(times.values()), faults)


def check_churn(differences, ordered, scores, facts):
    """One moment an order day of a customer, and none in silence of who never ordered; a score is of a customer who
    ordered, one an order day at most. `scores`, `facts`: decoded records."""
    moments = [f for record in facts for f in record["content"].get("facts", []) if "is_order" in f]
    days = collections.Counter((m["customer"], m["time_ms"] // DAY_MS) for m in moments if m["is_order"])
    faults = [f"{n} moments of one order day, {day}" for day, n in days.items() if n > 1]
    expected = set(ordered.values())
    if len(days) != len(expected):
        faults.append(f"{len(days)} order days are told")
    who = {customer for customer, _ in days}
    faults += [f"silence of {m['customer']}, who never ordered" for m in moments if not m["is_order"] and m["customer"] not in who]
    differences.compare("churn moments, one an order day", len(expected), sum(days.values()), faults)
    faults = []
    said = collections.Counter()
    customers = {customer for customer, _ in expected}
    churn = [score for score in scores if score["analysis"] == "churn"]
    for score in churn:
        if score["event_id"] is None:
            if score["customer"] not in customers:
                faults.append(f"a score of {score['customer']}, who never ordered")
        elif score["event_id"] not in ordered or ordered[score["event_id"]][0] != score["customer"]:
            faults.append(f"a score of event {score['event_id']} for {score['customer']}, whose order it is not")
        else:
            said[ordered[score["event_id"]]] += 1
    faults += [f"{n} scores on one order day, {day}" for day, n in said.items() if n > 1]
    differences.compare("churn scores, on orders or in silence", len(churn), len(churn) - len(faults), faults)


def check_alerts(differences, scored, alerts):
    faults = []
    for alert in alerts:
        known = scored.get(alert["event_id"])
        if known is None:
            faults.append(f"an alert for event {alert['event_id']}, which has no score")
        elif (alert["customer"], alert["amount_minor"]) != known[:2]:
            faults.append(f"alert of event {alert['event_id']} has another customer or amount")
    differences.compare("alerts on scored events", len(alerts), len(alerts) - len(faults), faults)
    unique(differences, "alert ids", [alert["id"] for alert in alerts])


def check_recommendations(differences, applied, lists):
    """A list is caused by a record of its customer, one at most, and names no item twice."""
    faults = []
    causes = collections.Counter()
    for made in lists:
        source = made["source"]
        place = source["input"], source["partition"], source["offset"]
        causes[place] += 1
        if place not in applied or applied[place] != made["customer"]:
            faults.append(f"{place}: a list for {made['customer']}, whose record it is not")
        names = [item["item"] for item in made["items"]]
        if not names or len(set(names)) < len(names) or [item["rank"] for item in made["items"]] != list(range(1, len(names) + 1)):
            faults.append(f"{place}: items {names}")
    faults += [f"{place}: {n} lists" for place, n in causes.items() if n > 1]
    differences.compare("recommendations, one a record", len(lists), len(lists) - len(faults), faults)
    unique(differences, "recommendation ids", [made["id"] for made in lists])


def unique(differences, what, ids):
    repeated = [f"{name}: {n} times" for name, n in collections.Counter(ids).items() if n > 1]
    differences.compare(f"{what}, none twice", len(ids), len(set(ids)), repeated)


def check_dead_letters(differences, bad, letters):
    """`bad`: as in Expected. `letters`: decoded records."""
    found = collections.Counter()
    faults = []
    for letter in letters:
        source = letter["source"]
        place = source["input"], source["partition"], source["offset"]
        found[place] += 1
        if place not in bad:
            faults.append(f"{place}: dead letter ({letter['reason']}) for a good record")
        elif letter["reason"] != bad[place]:
            faults.append(f"{place}: reason {letter['reason']}, should be {bad[place]}")
    faults += [f"{place}: no dead letter ({reason})" for place, reason in bad.items() if place not in found]
    faults += [f"{place}: {n} dead letters" for place, n in found.items() if n > 1]
    differences.compare("dead letters", len(bad), len(letters), faults)


def check_facts(differences, scored, feedbacks, facts):
    """Facts are keyed by hashes that only the service computes, so they are counted: one payment an event at
    most, no more payments than scored events, no more verdicts than feedback."""
    payments = collections.Counter()
    verdicts = collections.Counter()
    for record in facts:
        for fact in record["content"].get("facts", []):
            if "risk" in fact:
                payments[fact["event"]] += 1
            elif "event" in fact:
                verdicts[fact["event"]] += 1
    faults = [f"payment {event} is told {n} times" for event, n in payments.items() if n > 1]
    if len(payments) > len(scored):
        faults.append(f"{len(payments)} payments of {len(scored)} scored events")
    if sum(verdicts.values()) > feedbacks:
        faults.append(f"{sum(verdicts.values())} verdicts of {feedbacks} feedbacks")
    differences.compare("payment facts, none twice", len(scored), sum(payments.values()), faults)


def check_totals(differences, table, files):
    """`files`: open texts of CSV with COLUMNS; a customer stands in one of them, once."""
    found = {}
    faults = []
    for file in files:
        reader = csv.reader(file)
        header = next(reader, None)
        if header != COLUMNS:
            faults.append(f"columns {header}, should be {COLUMNS}")
            continue
        for row in reader:
            if row[0] in found:
                faults.append(f"customer {row[0]} stands twice")
            found[row[0]] = tuple(int(cell) for cell in row[1:])
    faults += [f"customer {name} is missing" for name in table if name not in found]
    faults += [f"customer {name} is unknown" for name in found if name not in table]
    for name, row in table.items():
        if name in found and found[name] != row:
            faults.append(f"customer {name}: {found[name]}, should be {row}")
    differences.compare("customers with equal totals", len(table), len(found), faults)


def report(expected, differences, as_json, out=sys.stdout):
    if as_json:
        rows = [dict(zip(("what", "expected", "found", "differences", "examples"), row)) for row in differences.rows]
        json.dump({"input": dict(expected.counts), "checks": rows, "differences": differences.total()}, out)
        print(file=out)
        return
    for name, n in expected.counts.items():
        print(f"{name:<36}{n:>12}", file=out)
    print(f"\n{'check':<36}{'expected':>12}{'found':>12}{'differences':>14}", file=out)
    for what, wanted, found, number, examples in differences.rows:
        print(f"{what:<36}{wanted:>12}{found:>12}{number:>14}", file=out)
        for example in examples:
            print(f"    {example}", file=out)
    print("everything agrees" if differences.total() == 0 else f"{differences.total()} differences", file=out)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--prefix", default="")
    parser.add_argument("--totals", nargs="*", default=[], metavar="FILE")
    parser.add_argument("--late", action="store_true")
    parser.add_argument("--record-bytes-max", type=int, default=RECORD_BYTES_MAX, help="as configured; larger ones are too_large")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()

    outputs = {}
    for topic, name in wire.OUTPUTS.items():
        reader = wire.Reader(name)
        records = wire.read_topic(args.bootstrap, args.prefix + topic)
        outputs[topic] = [(partition, offset, reader(value)) for partition, offset, _, _, value in records]
    letters = [letter for _, _, letter in outputs["dead-letters"]]
    late = set()
    if args.late:
        sources = [letter["source"] for letter in letters if letter["reason"] == "late"]
        late = {(source["input"], source["partition"], source["offset"]) for source in sources}

    expected = Expected(late, args.record_bytes_max)
    for topic in wire.INPUTS:
        for partition, offset, timestamp_ms, key, value in wire.read_topic(args.bootstrap, args.prefix + topic):
            expected.add(topic, partition, offset, timestamp_ms, key, value)

    differences = Differences()
    journal = ((partition, offset, entry) for partition, offset, entry in outputs["journal"])
    check_journal(differences, expected.offsets, journal)
    check_scores(differences, expected.scored, [score for _, _, score in outputs["scores"]])
    facts = [fact for _, _, fact in outputs["facts"]]
    check_churn(differences, expected.ordered, [score for _, _, score in outputs["scores"]], facts)
    check_alerts(differences, expected.scored, [alert for _, _, alert in outputs["alerts"]])
    check_recommendations(differences, expected.applied, [made for _, _, made in outputs["recommendations"]])
    check_dead_letters(differences, expected.bad, letters)
    check_facts(differences, expected.scored, expected.counts["applied feedback"], facts)
    if args.totals:
        files = [open(name, newline="") for name in args.totals]
        check_totals(differences, expected.table(), files)
    report(expected, differences, args.json)
    sys.exit(0 if differences.total() == 0 else 1)


if __name__ == "__main__":
    main()
