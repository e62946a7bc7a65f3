#!/usr/bin/env python3
"""The service on the log in a folder under pressure.

    pressure.py rate [--rate N] [--seconds N]    events a second in requests of 100, by eight connections; prints the
                                                 time to the answer: median and 99 of 100
    pressure.py full                             a small disk runs full (a tmpfs: as root): senders are told to wait,
                                                 what was acknowledged is there, and with more room it goes on"""

import argparse
import http.client
import json
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import kills  # noqa: E402

REQUEST = 100
CONNECTIONS = 8


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["rate", "full"])
    parser.add_argument("--rate", type=int, default=20_000)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--binary", default=str(kills.ROOT / "target" / "release" / "habitue"))
    args = parser.parse_args()
    checks = kills.Checks()
    with tempfile.TemporaryDirectory(prefix="habitue-pressure-") as name:
        (rate if args.what == "rate" else full)(args, checks, pathlib.Path(name))
    print(f"{checks.passed} passed, {checks.failed} failed")
    sys.exit(1 if checks.failed else 0)


def views(first, count, padding=""):
    now_ms = int(time.time() * 1000)
    return [
        {"type": "engagement", "event_id": f"v{number}", "customer": f"C{number * 7919 % 50_000}", "time_ms": now_ms,
         "kind": "view", "item": f"I{number * 104_729 % 5_000}", "query": padding or None}
        for number in range(first, first + count)
    ]


def rate(args, checks, folder):
    instance = kills.Embedded(args.binary, folder)
    instance.start()
    checks.that("it becomes ready", instance.ready(kills.READY_SECONDS_MAX))
    requests = args.rate * args.seconds // REQUEST
    bodies = [json.dumps(views(number * REQUEST, REQUEST)) for number in range(requests)]
    took, refused, begun = [], [], time.monotonic()

    def send(mine):
        connection = http.client.HTTPConnection(instance.http)
        for number in mine:
            # Each request has its moment, so that a slow answer does not hide those that wait behind it.
            due = begun + number * REQUEST / args.rate
            time.sleep(max(0, due - time.monotonic()))
            connection.request("POST", "/api/v1/events", bodies[number], {"content-type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            took.append(time.monotonic() - due)
            if answer.status != 200:
                refused.append(answer.status)

    threads = [threading.Thread(target=send, args=(range(of, requests, CONNECTIONS),)) for of in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - begun
    took.sort()
    print(f"{requests * REQUEST / seconds:.0f} events a second over {seconds:.1f} s; answered within "
          f"{took[len(took) // 2] * 1000:.1f} ms (median), {took[len(took) * 99 // 100] * 1000:.1f} ms (99 of 100)")
    checks.that("every request was taken", not refused)
    checks.that("the rate was kept", requests * REQUEST / seconds > 0.95 * args.rate)
    checks.that("it catches up", instance.caught_up(kills.PATIENCE_SECONDS))
    checks.that("it drains and ends with 0", instance.drain() == 0)


def full(args, checks, folder):
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m", "habitue-full", str(folder)], check=True)
    instance = kills.Embedded(args.binary, folder)
    try:
        run_full(checks, folder, instance)
    finally:
        instance.end()
        subprocess.run(["umount", "-l", str(folder)], check=False)


def run_full(checks, folder, instance):
    instance.start()
    checks.that("it becomes ready", instance.ready(kills.READY_SECONDS_MAX))
    acknowledged, status, first = [], 200, 0
    while status == 200 and first < 1_000_000:
        batch = views(first, REQUEST, padding="x" * 1_000)
        status, retry_after = post(instance, batch)
        if status == 200:
            acknowledged += [event["event_id"] for event in batch]
        first += REQUEST
    print(f"{len(acknowledged)} events were acknowledged; then the answer was {status}, Retry-After {retry_after}")
    checks.that("a full disk answers 503 or 507", status in (503, 507))
    checks.that("it says when to come again", retry_after is not None)
    checks.that("it lives", instance.get("/api/v1/status")["instance"] == instance.name)
    instance.end()
    instance.start()
    checks.that("killed and started again on the full disk, it answers", instance.ready(kills.READY_SECONDS_MAX))
    subprocess.run(["mount", "-o", "remount,size=1g", str(folder)], check=True)
    until = time.monotonic() + kills.PATIENCE_SECONDS
    while status != 200 and time.monotonic() < until:
        status, _ = post(instance, views(first, REQUEST))
        time.sleep(0.2)
    checks.that("with more room it goes on", status == 200)
    checks.that("it catches up", instance.caught_up(kills.PATIENCE_SECONDS))
    found = set()
    path = f"{instance.address}/api/v1/records/engagements?from=start&follow=false"
    with urllib.request.urlopen(path, timeout=60) as answer:
        for line in answer:
            if line.startswith(b"data: {\"key\""):
                found.add(json.loads(line[6:])["value"]["event_id"])
    missing = [event for event in acknowledged if event not in found]
    checks.that(f"nothing acknowledged is lost ({len(missing)} missing)", not missing)
    checks.that("it drains and ends with 0", instance.drain() == 0)


def post(instance, batch):
    connection = http.client.HTTPConnection(instance.http, timeout=30)
    connection.request("POST", "/api/v1/events", json.dumps(batch), {"content-type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    return answer.status, answer.getheader("retry-after")


if __name__ == "__main__":
    main()
