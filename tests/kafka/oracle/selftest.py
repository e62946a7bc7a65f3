#!/usr/bin/env python3
"""The oracle against itself: it must agree with a service that is right and find each way to be wrong.

Needs no broker. The pretended service below is written from the totals' definition, not from reconcile.py."""

import collections
import copy
import csv
import io
import sys

import events
import reconcile
import wire

NOW_MS = 1_790_000_000_000
PARTITIONS = 2


def inputs():
    """(topic, partition, offset, timestamp, key, value) of a small shop with repeats and bad records, with the
    good events beside them and the reasons of the bad ones."""
    writers = {topic: wire.Writer(name) for topic, name in wire.INPUTS.items()}
    ends = collections.Counter()
    records, good, bad = [], [], {}

    def put(topic, key, value):
        partition = sum(key or b"") % PARTITIONS
        # Every seventh offset is a transaction's control record, which no reader sees.
        ends[topic, partition] += 2 if ends[topic, partition] % 7 == 6 else 1
        offset = ends[topic, partition] - 1
        records.append((topic, partition, offset, NOW_MS, key, value))
        return topic, partition, offset

    for i, (topic, key, record) in enumerate(events.shop(4000, seed=7, customers=50)):
        value = writers[topic](record)
        good.append((put(topic, key.encode(), value), record))
        if i % 50 == 0:
            put(topic, key.encode(), value)
    for topic, key, value, reason in events.bad_records(NOW_MS - 1):
        bad[put(topic, key, value)] = reason
    return records, good, bad


def service(records, good, bad):
    """What a service that is right would have written: outputs by topic, and the totals as CSV."""
    order = sorted(records, key=lambda record: (record[1], record[0], record[2]))
    journal = []
    for partition in range(PARTITIONS):
        for topic in wire.INPUTS:
            offsets = [r[2] for r in order if r[0] == topic and r[1] == partition]
            for i in range(0, len(offsets), 100):
                part = offsets[i:i + 100]
                step = {"input": topic, "from": offsets[i - 1] + 1 if i else 0, "to": part[-1] + 1}
                journal.append((partition, len(journal), {"steps": [step, {"time_ms": 5}]}))
    scores, churn, alerts, facts, lists, days = [], [], [], [], [], set()
    totals = collections.defaultdict(lambda: dict.fromkeys(reconcile.COLUMNS[1:-2], 0) | {"times": []})
    for (topic, partition, offset), record in good:
        customer = record["customer"]
        if topic == "purchases" and not record["refund"]:
            # A guest is scored under the order, and has no totals.
            who = record["order"] if customer is None else customer
            amount = sum(line["quantity"] * line["unit_price_minor"] for line in record["lines"])
            source = {"input": topic, "partition": partition, "offset": offset}
            name = f"{len(scores):032x}"
            score = {"event_id": record["event_id"], "customer": who, "source": source}
            scores.append({"id": name, "analysis": "anomaly"} | score)
            if len(scores) % 10 == 0:
                alerts.append({"id": name, "event_id": record["event_id"], "customer": who, "amount_minor": amount})
            facts.append({"content": {"facts": [{"event": len(scores), "risk": 1}]}})
        if customer is None:
            continue
        day = customer, record["time_ms"] // reconcile.DAY_MS
        if topic == "purchases" and not record["refund"] and day not in days:
            days.add(day)
            moment = {"customer": hash(customer), "time_ms": record["time_ms"]}
            facts.append({"content": {"facts": [moment | {"is_order": True}, moment | {"is_order": False}]}})
            churn.append({"id": f"c{len(churn)}", "analysis": "churn"} | score)
            churn.append({"id": f"s{len(churn)}", "analysis": "churn"} | score | {"event_id": None})
        if topic != "feedback":
            source = {"input": topic, "partition": partition, "offset": offset}
            items = [{"item": "a", "rank": 1}, {"item": "b", "rank": 2}]
            lists.append({"id": f"{len(lists):032x}", "customer": customer, "source": source, "items": items})
        row = totals[customer]
        if topic == "feedback":
            row["feedbacks"] += 1
            continue
        row["times"].append(record["time_ms"])
        if topic == "engagements":
            row["engagements"] += 1
        elif record["refund"]:
            row["refunds"] += 1
        else:
            row["purchases"] += 1
            row["amount_minor"] += amount
    letters = [{"source": dict(zip(("input", "partition", "offset"), place)), "reason": reason} for place, reason in bad.items()]
    known = {name: row for name, row in totals.items() if row["times"]}
    rows = [[name, *(row[c] for c in reconcile.COLUMNS[1:-2]), min(row["times"]), max(row["times"])] for name, row in known.items()]
    return {"journal": journal, "scores": scores + churn, "alerts": alerts, "recommendations": lists, "facts": facts, "dead-letters": letters, "totals": rows}


def differences_of(records, said):
    expected = reconcile.Expected()
    for record in records:
        expected.add(*record)
    found = reconcile.Differences()
    reconcile.check_journal(found, expected.offsets, said["journal"])
    reconcile.check_scores(found, expected.scored, said["scores"])
    reconcile.check_churn(found, expected.ordered, said["scores"], said["facts"])
    reconcile.check_alerts(found, expected.scored, said["alerts"])
    reconcile.check_recommendations(found, expected.applied, said["recommendations"])
    reconcile.check_dead_letters(found, expected.bad, said["dead-letters"])
    reconcile.check_facts(found, expected.scored, expected.counts["applied feedback"], said["facts"])
    file = io.StringIO(newline="")
    csv.writer(file).writerows([reconcile.COLUMNS, *said["totals"]])
    file.seek(0)
    reconcile.check_totals(found, expected.table(), [file])
    return found


def faults():
    """Ways to be wrong: name, what is done to the outputs, how many differences that must give (at least)."""

    def cut(topic, i):
        return lambda said: said[topic].pop(i)

    def double(topic, i):
        return lambda said: said[topic].append(copy.deepcopy(said[topic][i]))

    def run(change):
        return lambda said: change(said["journal"][3][2]["steps"][0])

    def cell(i):
        def change(said):
            said["totals"][5][i] += 1
        return change

    def moments(said):
        return [record for record in said["facts"] if "is_order" in record["content"]["facts"][0]]

    yield "a lost score", cut("scores", 17)
    yield "a score told twice", double("scores", 17)
    yield "a score of nobody's event", lambda said: said["scores"][3].update(event_id="nobody's")
    yield "a score of another customer", lambda said: said["scores"][3].update(customer="somebody")
    yield "a churn score of another customer", lambda said: said["scores"][-2].update(customer="somebody")
    yield "a churn score in silence of nobody", lambda said: said["scores"][-1].update(customer="somebody")
    yield "a churn score told twice", double("scores", -2)
    yield "a lost moment", lambda said: moments(said)[-1]["content"].update(facts=[])
    yield "a moment told twice", lambda said: said["facts"].append(copy.deepcopy(moments(said)[-1]))
    yield "an alert told twice", double("alerts", 2)
    yield "an alert without a score", lambda said: said["alerts"][2].update(event_id="nobody's")
    yield "a list told twice", double("recommendations", 7)
    yield "a list of another customer", lambda said: said["recommendations"][7].update(customer="somebody")
    yield "a list with an item twice", lambda said: said["recommendations"][7]["items"][1].update(item="a")
    yield "a lost dead letter", cut("dead-letters", 1)
    yield "a dead letter told twice", double("dead-letters", 1)
    yield "a dead letter with another reason", lambda said: said["dead-letters"][0].update(reason="late")
    yield "a dead letter for a good record", lambda said: said["dead-letters"][0]["source"].update(offset=3)
    yield "a lost journal entry", cut("journal", 3)
    yield "a journal entry written twice", double("journal", 3)
    yield "a run that overlaps the one before", run(lambda step: step.update({"from": step["from"] - 10}))
    yield "a run that leaves a hole", run(lambda step: step.update({"from": step["from"] + 10}))
    yield "a run that ends on no record", run(lambda step: step.update({"to": 10**9}))
    yield "a payment fact told twice", double("facts", 4)
    yield "a lost customer", cut("totals", 5)
    yield "a customer in two partitions", double("totals", 5)
    for i, column in enumerate(reconcile.COLUMNS[1:], 1):
        yield f"one more in {column}", cell(i)


def main():
    records, good, bad = inputs()
    right = service(records, good, bad)
    passed = failed = 0
    found = differences_of(records, right)
    cases = [("a service that is right", found, found.total() == 0)]
    for name, damage in faults():
        said = copy.deepcopy(right)
        damage(said)
        found = differences_of(records, said)
        cases.append((name, found, 1 <= found.total() <= 250))
    lost = [record for record in records if record[0] == "purchases"][5]
    found = differences_of([record for record in records if record is not lost], right)
    cases.append(("a record that was never written", found, found.total() >= 1))
    for name, found, as_it_should in cases:
        passed, failed = passed + as_it_should, failed + (not as_it_should)
        if not as_it_should:
            print(f"FAILED: {name}: {found.total()} differences: {[row for row in found.rows if row[3]]}")
    print(f"oracle self-test: {passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
