"""Prometheus' files: what rules ask and say, and whether each alert is tested both ways."""

import re

import promql
import yaml

SEVERITIES = {"critical", "warning", "info"}
TEMPLATE_LABEL = re.compile(r"\$labels\.([a-zA-Z_]+)")


def check(checks, root, names):
    folder = root / "deploy" / "prometheus"
    loaded = [yaml.safe_load(path.read_text()) for path in sorted((folder / "rules").glob("*.yml"))]
    found = [rule for file in loaded for group in file["groups"] for rule in group["rules"]]
    groups = [group["name"] for file in loaded for group in file["groups"]]
    checks.that("groups of rules have names of their own", len(groups) == len(set(groups)), groups)
    recordings = [rule for rule in found if "record" in rule]
    alerts = [rule for rule in found if "alert" in rule]
    for rule in recordings:
        labels = asked(checks, names, rule["record"], rule["expr"])
        names.record(rule["record"], labels or set())
        level, _, operation = rule["record"].partition(":")
        checks.that(f"{rule['record']} is named by its labels", operation and set(level.split("_")) == labels, sorted(labels or []))
    everything = set()
    for rule in alerts:
        labels = asked(checks, names, rule["alert"], rule["expr"])
        everything |= said(checks, rule, labels or set())
    names.alerts(everything)
    once = [rule["alert"] for rule in alerts]
    checks.that("alerts have names of their own", len(once) == len(set(once)), sorted(once))
    tested(checks, folder, alerts, {rule["record"]: rule["expr"] for rule in recordings})
    scraped(checks, root, folder)


def asked(checks, names, where, text):
    try:
        labels, why = names.labels(where, text), ""
    except promql.Fault as fault:
        labels, why = None, fault
    checks.that(f"{where} asks for what there is", labels is not None, why)
    return labels


def said(checks, rule, labels):
    """Checks words and severity of an alert; answers all of its labels."""
    name, given = rule["alert"], rule.get("labels", {})
    annotations = rule.get("annotations", {})
    labels = labels | set(given)
    checks.that(f"{name} has a severity", given.get("severity") in SEVERITIES, given)
    checks.that(f"{name} has a summary of one line", 10 < len(annotations.get("summary", "")) < 200)
    # Short texts say what is, not what to do about it.
    checks.that(f"{name} says what to do", len(annotations.get("description", "")) > 90)
    used = set(TEMPLATE_LABEL.findall(" ".join(annotations.values())))
    checks.that(f"{name} names labels that it has", used <= labels, f"{sorted(used - labels)} of {sorted(labels)}")
    return labels


def tested(checks, folder, alerts, recordings):
    """Each alert fires in one case, and is silent at a moment of a case that has its series."""
    fires, silent = set(), set()
    rests = {rule["alert"]: series_of(rule["expr"], recordings) for rule in alerts}
    for path in sorted((folder / "tests").glob("*.yml")):
        for case in yaml.safe_load(path.read_text())["tests"]:
            given = {re.match(r"\w+", series["series"]).group() for series in case["input_series"]}
            for question in case.get("promql_expr_test", []):
                if "ALERTS" not in question["expr"]:
                    continue
                firing = set(re.findall(r'alertname="(\w+)"', " ".join(sample["labels"] for sample in question["exp_samples"])))
                fires |= firing
                # A question that leaves an alert out says nothing of it.
                left_out = set(re.findall(r'alertname!="(\w+)"', question["expr"]))
                silent |= {name for name, series in rests.items() if series <= given} - firing - left_out
    checks.that("tests name alerts that there are", fires <= set(rests), sorted(fires - set(rests)))
    for name in sorted(rests):
        checks.that(f"a test sees {name} fire", name in fires)
        checks.that(f"a test sees {name} stay silent while it has all its series", name in silent, sorted(rests[name]))


def series_of(text, recordings):
    """The scraped series that an expression rests on, through what is recorded."""
    found = {name for kind, name in promql.tokens(text) if kind == "name" and (name == "up" or "_" in name or ":" in name)}
    recorded = found & set(recordings)
    through = [series_of(recordings[name], recordings) for name in recorded]
    return (found - recorded - promql.FUNCTIONS).union(*through)


def token_file(root):
    config = yaml.safe_load((root / "deploy" / "prometheus" / "prometheus.yml").read_text())
    return next(job for job in config["scrape_configs"] if job["job_name"] == "habitue")["authorization"]["credentials_file"]


def scraped(checks, root, folder):
    config = yaml.safe_load((folder / "prometheus.yml").read_text())
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    checks.that("the service is scraped under the job that rules ask for", "habitue" in jobs, sorted(jobs))
    text = (root / "docker-compose.yml").read_text()
    compose = yaml.safe_load(text)
    for job in jobs.values():
        for target in (target for group in job["static_configs"] for target in group["targets"]):
            host = target.partition(":")[0]
            checks.that(f"{target} is a service of compose", host in {*compose["services"], "localhost"})
