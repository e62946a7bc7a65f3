#!/usr/bin/env python3
"""The deployment against itself, the code's documents and the binary: what can be known without a container engine.

    check.py [--binary PATH]

Containers: compose, Dockerfile and probe fit together and name what exists. Prometheus: promtool takes configuration,
rules and tests; every alert has a test that it fires and one that it stays silent. Names: every metric and label of a
rule, an annotation or a panel is one of docs/metrics.md, Prometheus' own, or recorded. Configurations: the binary
takes both. Needs promtool (Debian's package prometheus)."""

import argparse
import pathlib
import shutil
import subprocess
import sys
import tempfile

import containers
import dashboards
import rules
import selftest
from names import Names

ROOT = pathlib.Path(__file__).resolve().parents[2]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=str(ROOT / "target" / "release" / "habitue"))
    args = parser.parse_args()
    checks = Checks()
    selftest.check(checks)
    containers.check(checks, ROOT)
    binary(checks, args.binary)
    names = Names(ROOT)
    rules.check(checks, ROOT, names)
    dashboards.check(checks, ROOT, names)
    promtool(checks, names)
    print(f"in no rule and on no dashboard: {', '.join(names.unused()) or 'nothing'}")
    print(f"{checks.passed} passed, {checks.failed} failed")
    sys.exit(1 if checks.failed else 0)


def binary(checks, path):
    if not pathlib.Path(path).is_file():
        checks.that(f"the binary is {path}", False, "it does not exist: cargo build --release, or --binary PATH")
        return
    for name in ("deploy/habitue.toml", "deploy/compose/habitue.toml"):
        ran(checks, f"habitue validate {name}", [path, "validate", name])
    # What the containers are started with: clap answers --help only for a command that there is.
    compose = containers.load(ROOT / "docker-compose.yml")
    for service in ("topics", "habitue"):
        command = compose["services"][service]["command"]
        ran(checks, f"the binary has the command {' '.join(command)}", [path, *command, "--help"])


def promtool(checks, names):
    with tempfile.TemporaryDirectory(prefix="habitue-deploy-") as name:
        folder = pathlib.Path(name)
        shutil.copytree(ROOT / "deploy" / "prometheus", folder / "prometheus")
        # promtool wants every file that is named, and the secret is only in the container.
        config = folder / "prometheus" / "prometheus.yml"
        (folder / "secret").write_text("secret")
        config.write_text(config.read_text().replace(rules.token_file(ROOT), str(folder / "secret")))
        ran(checks, "promtool check config", ["promtool", "check", "config", str(config)])
        files = sorted((folder / "prometheus" / "rules").glob("*.yml"))
        ran(checks, "promtool check rules", ["promtool", "check", "rules", *map(str, files)])
        expressions = folder / "expressions.yml"
        expressions.write_text(names.as_rules())
        ran(checks, f"promtool parses {len(names.seen)} expressions", ["promtool", "check", "rules", str(expressions)], names.where)
        for test in sorted((folder / "prometheus" / "tests").glob("*.yml")):
            ran(checks, f"promtool test rules {test.name}", ["promtool", "test", "rules", str(test)])


def ran(checks, what, command, explain=lambda text: text):
    """Runs a program that must end with 0; what it said is shown when it does not."""
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    except FileNotFoundError:
        checks.that(what, False, f"{command[0]} is not installed")
        return
    checks.that(what, done.returncode == 0, explain(done.stdout + done.stderr).strip())


class Checks:
    def __init__(self):
        self.passed = self.failed = 0

    def that(self, what, right, why=""):
        if right:
            self.passed += 1
            return
        self.failed += 1
        print(f"FAILED: {what}")
        for line in str(why).splitlines():
            print(f"  {line}")


if __name__ == "__main__":
    main()
