"""Which series there are, with their labels and the values of those: from docs/metrics.md, which is written from the
code and tested against it, from Prometheus itself, and from the recording rules."""

import re
import tomllib

import promql
import yaml

# Prometheus puts these on everything that it scrapes.
TARGET = {"job", "instance"}
SUFFIXES = {"_bucket": {"le"}, "_sum": set(), "_count": set()}


class Names:
    def __init__(self, root):
        self._metrics, self._used = {}, set()
        # Every expression that was asked about, in order: (where it stands, its text).
        self.seen = []
        text = (root / "docs" / "metrics.md").read_text()
        values = {label: set(re.findall(r"`([^`]+)`", rest)) for label, rest in re.findall(r"^- `([a-z_]+)`: (`.+)$", text, re.MULTILINE)}
        values["analysis"] = set(tomllib.loads((root / "deploy" / "habitue.toml").read_text())["analysis"])
        for name, kind, labels in re.findall(r"^\| `([a-z_]+)` \| (\w+) \| \w+ \| ([^|]*) \|", text, re.MULTILINE):
            labels = TARGET | set(re.findall(r"`([a-z_]+)`", labels))
            known = {label: values[label] for label in labels if label in values}
            suffixes = SUFFIXES if kind == "histogram" else {"": set()}
            for suffix, more in suffixes.items():
                self._metrics[name + suffix] = promql.Metric(kind, labels | more, known)
        self.documented = {name for name in self._metrics if name.startswith("habitue_")}
        line = re.search(r"^And of the process.*$", text, re.MULTILINE).group()
        for name in re.findall(r"`([a-z_]+)`", line):
            self._metrics[name] = promql.Metric("counter" if name.endswith("_total") else "gauge", TARGET)
        self._metrics["up"] = promql.Metric("gauge", TARGET)

    def metric(self, name):
        self._used.add(name)
        return self._metrics.get(name)

    def labels(self, where, text):
        """The labels of an expression's result. Raises promql.Fault."""
        self.seen.append((where, text))
        return promql.labels_of(text, self.metric)

    def record(self, name, labels):
        self._metrics[name] = promql.Metric("gauge", labels)

    def alerts(self, labels):
        """What Prometheus says of alerts: the labels of all of them."""
        states = {"alertstate": {"pending", "firing"}, "severity": {"critical", "warning", "info"}}
        self._metrics["ALERTS"] = promql.Metric("gauge", labels | {"alertname", "alertstate"}, states)

    def unused(self):
        families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in self._used}
        return sorted({re.sub(r"_(bucket|sum|count)$", "", name) for name in self.documented} - families)

    def as_rules(self):
        """A file of rules with every expression, so that promtool parses each."""
        found = [{"record": f"expression_{index}", "expr": text} for index, (_, text) in enumerate(self.seen)]
        return yaml.safe_dump({"groups": [{"name": "expressions", "rules": found}]})

    def where(self, text):
        """promtool's words with the places of the expressions in them."""
        return re.sub(r"expression_(\d+)", lambda found: " ".join(self.seen[int(found.group(1))]), text)
