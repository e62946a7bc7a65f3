"""Grafana's files: what panels ask, and that they can be shown without a plugin."""

import json
import re

import promql
import yaml

# Panels and units that Grafana has by itself, of those we use.
KINDS = {"row", "timeseries", "stat", "table"}
UNITS = {"none", "short", "s", "bytes", "percentunit", "eps", "ops", "recps", "cps"}
COLUMNS = 24
# What stands for a variable when an expression is judged.
VALUES = {"job": "habitue", "instance": ".*", "analysis": "anomaly", "__rate_interval": "1m"}


def check(checks, root, names):
    folder = root / "deploy" / "grafana"
    files = sorted((folder / "dashboards").glob("*.json"))
    loaded = {path.name: json.loads(path.read_text()) for path in files}
    uids = {dashboard["uid"] for dashboard in loaded.values()}
    checks.that("dashboards have uids of their own", len(uids) == len(files) > 0, uids)
    source = provisioned(checks, root, folder)
    for name, dashboard in loaded.items():
        variables(checks, names, name, dashboard, source)
        layout(checks, name, dashboard["panels"])
        for link in dashboard["links"]:
            checks.that(f"{name}: the link {link['title']} leads to a dashboard", link["url"].removeprefix("/d/") in uids)
        for note in dashboard["annotations"]["list"]:
            asked(checks, names, f"{name}: annotation {note['name']}", note["expr"], note["textFormat"] + note["titleFormat"])
        for panel in dashboard["panels"]:
            if panel["type"] != "row":
                shown(checks, names, name, panel)


def provisioned(checks, root, folder):
    """The uid of the data source."""
    source = yaml.safe_load((folder / "provisioning" / "datasources" / "prometheus.yml").read_text())["datasources"][0]
    provider = yaml.safe_load((folder / "provisioning" / "dashboards" / "habitue.yml").read_text())["providers"][0]
    compose = yaml.safe_load((root / "docker-compose.yml").read_text())["services"]
    mounted = dict(mount.split(":")[1::-1] for mount in compose["grafana"]["volumes"])
    at = provider["options"]["path"]
    checks.that("Grafana finds the dashboards where compose mounts them", mounted.get(at) == "./deploy/grafana/dashboards", mounted)
    for kind in ("datasources", "dashboards"):
        fits = mounted.get(f"/etc/grafana/provisioning/{kind}") == f"./deploy/grafana/provisioning/{kind}"
        checks.that(f"Grafana finds its {kind} where compose mounts them", fits, mounted)
    home = compose["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    name = home.removeprefix(f"{at}/")
    checks.that("Grafana's first page is a dashboard of ours", (folder / "dashboards" / name).is_file() and name != home, home)
    host = re.match(r"http://(\w+):9090$", source["url"])
    checks.that("Grafana asks the Prometheus of compose", host and host.group(1) in compose, source)
    scrape = yaml.safe_load((root / "deploy" / "prometheus" / "prometheus.yml").read_text())["global"]["scrape_interval"]
    checks.that("Grafana knows the scrape interval", source["jsonData"]["timeInterval"] == scrape, source)
    return source["uid"]


def variables(checks, names, name, dashboard, source):
    found = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    checks.that(f"{name}: its data source is the provisioned one", found["datasource"]["current"]["value"] == source, found["datasource"])
    for variable in found.values():
        if variable["type"] != "query":
            continue
        asks = re.match(r"label_values\((.+), (\w+)\)$", variable["query"]["query"])
        if asks is None:
            checks.that(f"{name}: the variable {variable['name']} asks for values of a label", False, variable["query"])
            continue
        asked(checks, names, f"{name}: variable {variable['name']}", asks.group(1), f"{{{{{asks.group(2)}}}}}")
    used = set(re.findall(r"\$\{?(\w+)", json.dumps([dashboard["panels"], dashboard["annotations"]])))
    known = set(found) | {"__rate_interval", "__all"}
    checks.that(f"{name}: every variable that is used is there", used <= known, used - known)
    checks.that(f"{name}: every variable that is there is used", set(found) <= used, set(found) - used)


def layout(checks, name, panels):
    ids = [panel["id"] for panel in panels]
    checks.that(f"{name}: panels have ids of their own", len(ids) == len(set(ids)), ids)
    taken, over = {}, []
    for panel in panels:
        at = panel["gridPos"]
        for cell in ((x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])):
            if cell in taken or cell[0] >= COLUMNS:
                over.append((taken.get(cell, "the edge"), panel["title"]))
            taken[cell] = panel["title"]
    checks.that(f"{name}: no panel lies over another or the edge", not over, sorted(set(over)))


def shown(checks, names, name, panel):
    where = f"{name}: {panel['title']}"
    defaults = panel["fieldConfig"]["defaults"]
    checks.that(f"{where} is of a kind that Grafana has", panel["type"] in KINDS, panel["type"])
    checks.that(f"{where} has a unit", defaults.get("unit") in UNITS, defaults.get("unit"))
    checks.that(f"{where} is explained", len(panel.get("description", "")) > 20)
    checks.that(f"{where} has thresholds", bool(defaults.get("thresholds", {}).get("steps")))
    sources = {panel["datasource"]["uid"], *(target["datasource"]["uid"] for target in panel["targets"])}
    checks.that(f"{where} asks the chosen data source", sources == {"${datasource}"}, sources)
    marks = [target["refId"] for target in panel["targets"]]
    checks.that(f"{where} asks something", marks and len(marks) == len(set(marks)), marks)
    for target in panel["targets"]:
        asked(checks, names, f"{where} ({target['refId']})", target["expr"], target["legendFormat"])


def asked(checks, names, where, text, legend):
    """An expression with its variables replaced asks for what there is, and the legend names labels that come out."""
    resolved = re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda found: VALUES.get(found.group(1) or found.group(2), found.group()), text)
    try:
        labels = names.labels(where, resolved)
    except promql.Fault as fault:
        checks.that(f"{where} asks for what there is", False, f"{fault}\n{text}")
        return
    checks.that(f"{where} asks for what there is", True)
    wanted = set(re.findall(r"\{\{\s*(\w+)\s*\}\}", legend))
    checks.that(f"{where} names series by labels that they have", wanted <= labels, f"{wanted - labels} of {labels}")
