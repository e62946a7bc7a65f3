"""Compose, Dockerfile and probe: what they name exists, and they agree with each other and with the configuration."""

import fnmatch
import http.server
import json
import re
import shlex
import subprocess
import threading
import tomllib

import yaml

# A tag that says a version. What has none becomes another image one day.
PINNED = re.compile(r"^[a-z0-9./-]+:v?\d+\.\d+[a-z0-9.-]*$")
DEBIAN = {"bookworm": "12", "trixie": "13"}
LABELS = ("title", "description", "version", "revision", "licenses")


def load(path):
    return yaml.safe_load(path.read_text())


def check(checks, root):
    compose = load(root / "docker-compose.yml")
    config = tomllib.loads((root / "deploy" / "compose" / "habitue.toml").read_text())
    services(checks, root, compose)
    mounts(checks, root, compose)
    broker(checks, root, compose["services"]["kafka"], config)
    secrets(checks, root, compose, config)
    addresses(checks, root, compose, config)
    stages = dockerfile(root / "deploy" / "Dockerfile")
    image(checks, root, compose, stages, config)
    copied(checks, root, stages)
    manifest(checks, root, stages[0])
    probe(checks, root)


def services(checks, root, compose):
    for name, service in compose["services"].items():
        pinned = PINNED.match(service["image"])
        checks.that(f"compose: the image of {name} has a version", pinned, service["image"])
        if "build" in service:
            checks.that(f"compose: {name} is built from a file that exists", (root / service["build"]["dockerfile"]).is_file())
        health = service.get("healthcheck", {})
        is_once = service.get("restart") == "no"
        checks.that(f"compose: {name} is asked for its health, or runs once", bool(health.get("test")) or (is_once and health.get("disable")), health)
        checks.that(f"compose: {name} is started again, or runs once", is_once or service.get("restart") == "unless-stopped")
        checks.that(f"compose: {name} may not gain privileges", "no-new-privileges:true" in service.get("security_opt", []))
        for port in service.get("ports", []):
            checks.that(f"compose: {name} publishes {port} on loopback", str(port).startswith("127.0.0.1:"))
        wanted = service.get("depends_on", [])
        for other in wanted:
            condition = wanted[other]["condition"] if isinstance(wanted, dict) else "service_started"
            there = compose["services"].get(other, {})
            fits = {
                "service_started": bool(there),
                "service_healthy": bool(there.get("healthcheck", {}).get("test")),
                "service_completed_successfully": there.get("restart") == "no",
            }
            checks.that(f"compose: {name} can wait until {other} is {condition}", fits.get(condition))


def mounts(checks, root, compose):
    used = set()
    for name, service in compose["services"].items():
        for mount in service.get("volumes", []):
            source, target, *mode = mount.split(":")
            if source.startswith("."):
                checks.that(f"compose: {name} mounts {source}, which exists and is read only", (root / source).exists() and mode == ["ro"], mount)
            else:
                used.add(source)
            checks.that(f"compose: {name} mounts at an absolute path", target.startswith("/"), mount)
    checks.that("compose: volumes are declared and used", used == set(compose["volumes"]), used ^ set(compose["volumes"]))


def broker(checks, root, kafka, config):
    pom = (root / "tests" / "kafka" / "broker" / "pom.xml").read_text()
    tested = re.search(r"kafka_2\.13</artifactId>\s*<version>([\d.]+)<", pom).group(1)
    checks.that("compose: Kafka is the version that is tested", kafka["image"] == f"apache/kafka:{tested}", f"{kafka['image']}, tested is {tested}")
    env = kafka["environment"]
    named = lambda key: dict(part.partition("://")[::2] for part in env[key].split(","))
    listeners, advertised = named("KAFKA_LISTENERS"), named("KAFKA_ADVERTISED_LISTENERS")
    secured = dict(part.split(":") for part in env["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(","))
    checks.that("compose: each listener of Kafka has a protocol", set(listeners) == set(secured), (listeners, secured))
    controller = env["KAFKA_CONTROLLER_LISTENER_NAMES"]
    checks.that("compose: each listener but the controller's is advertised", set(advertised) == set(listeners) - {controller})
    for name, address in advertised.items():
        checks.that(f"compose: {name} is advertised with its port", address.rpartition(":")[2] == listeners[name].rpartition(":")[2])
    voters = env["KAFKA_CONTROLLER_QUORUM_VOTERS"].partition("@")[2]
    checks.that("compose: the controller's address is its listener", voters == f"kafka:{listeners[controller].rpartition(':')[2]}", voters)
    inside = advertised[env["KAFKA_INTER_BROKER_LISTENER_NAME"]]
    checks.that("compose: the service is told the broker's inner address", config["kafka"]["brokers"] == [inside], config["kafka"])
    outside = next(address for name, address in advertised.items() if name != env["KAFKA_INTER_BROKER_LISTENER_NAME"])
    port = outside.rpartition(":")[2]
    checks.that("compose: the outer address is the published port", kafka["ports"] == [f"127.0.0.1:{port}:{port}"], outside)
    checks.that("compose: topics are made by the service only", env["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false")
    checks.that("compose: Kafka's data lies on its volume", f"kafka:{env['KAFKA_LOG_DIRS']}" in kafka["volumes"])
    small = [key for key in env if key.endswith(("REPLICATION_FACTOR", "MIN_ISR"))]
    checks.that("compose: one broker asks for one copy", len(small) == 5 and all(env[key] == 1 for key in small), small)


def secrets(checks, root, compose, config):
    ignored = (root / ".gitignore").read_text().splitlines()
    for name, secret in compose["secrets"].items():
        folder = "/" + secret["file"].removeprefix("./").rpartition("/")[0]
        checks.that(f"compose: the secret {name} is a file that git ignores", folder in ignored, secret)
    for name, service in compose["services"].items():
        given = set(service.get("secrets", []))
        checks.that(f"compose: the secrets of {name} are declared", given <= set(compose["secrets"]), given)
        text = json.dumps({key: service.get(key) for key in ("environment", "command")})
        for asked in re.findall(r"/run/secrets/([\w-]+)", text):
            checks.that(f"compose: {name} is given the secret {asked}", asked in given)
    token = config["service"].get("http_token", {}).get("file", "").removeprefix("/run/secrets/")
    for name in ("habitue", "topics", "prometheus"):
        checks.that(f"compose: {name} is given the bearer token", token in compose["services"][name]["secrets"])
    scrape = (root / "deploy" / "prometheus" / "prometheus.yml").read_text()
    checks.that("Prometheus sends the token that the service asks for", f"credentials_file: /run/secrets/{token}\n" in scrape)
    grafana = compose["services"]["grafana"]["environment"]
    checks.that("compose: Grafana lets nobody in without a name", grafana["GF_AUTH_ANONYMOUS_ENABLED"] == "false")
    password = {key for key in grafana if key.startswith("GF_SECURITY_ADMIN_PASSWORD")}
    checks.that("compose: Grafana's password is a secret", password == {"GF_SECURITY_ADMIN_PASSWORD__FILE"}, password)


def addresses(checks, root, compose, config):
    port = config["service"]["http"].rpartition(":")[2]
    habitue = compose["services"]["habitue"]
    checks.that("compose: the service's port is published", habitue["ports"] == [f"127.0.0.1:{port}:{port}"])
    scrape = load(root / "deploy" / "prometheus" / "prometheus.yml")
    job = next(job for job in scrape["scrape_configs"] if job["job_name"] == "habitue")
    targets = [target for group in job["static_configs"] for target in group["targets"]]
    checks.that("Prometheus asks the service at its port", targets == [f"habitue:{port}"], targets)
    checks.that("the probe asks that port where it is told none", f"${{2:-{port}}}" in (root / "deploy" / "probe.sh").read_text())
    routes = set(re.findall(r'route\("(/\w+)"', (root / "src" / "edge" / "http" / "mod.rs").read_text()))
    asked = {habitue["healthcheck"]["test"][-1], job["metrics_path"]}
    checks.that("what is asked over HTTP is served", asked <= routes, (asked, routes))
    snapshots = config["snapshots"]["folder"]
    kept = [mount.split(":")[1] for mount in habitue["volumes"] if not mount.startswith(".")]
    checks.that("compose: snapshots lie on a volume", any(snapshots.startswith(target + "/") for target in kept), kept)


def dockerfile(path):
    """Stages, each a list of (instruction, rest); the first is FROM."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.MULTILINE)
    stages = []
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            stages.append([])
        if word:
            stages[-1].append((word, rest.strip()))
    return stages


def of(stage, word):
    return [rest for instruction, rest in stage if instruction == word]


def image(checks, root, compose, stages, config):
    build, final = stages
    cargo = tomllib.loads((root / "Cargo.toml").read_text())["package"]
    rust, _, release = of(build, "FROM")[0].partition(" ")[0].partition(":")[2].partition("-slim-")
    base = of(final, "FROM")[0]
    numbers = lambda text: [int(part) for part in text.split(".")]
    checks.that("Dockerfile: Rust has a version, and one that is new enough", numbers(rust)[:2] >= numbers(cargo["rust-version"]), rust)
    checks.that("Dockerfile: the runtime has a version", PINNED.match(base), base)
    checks.that("Dockerfile: build and runtime are of one Debian", base.startswith(f"debian:{DEBIAN.get(release)}."), (release, base))
    user = (of(final, "USER") or ["root"])[-1]
    checks.that("Dockerfile: it runs as a user by number that is not root", re.match(r"^[1-9]\d*:[1-9]\d*$", user), user)
    order = [instruction for instruction, _ in final]
    after = order[order.index("USER"):] if "USER" in order else order
    checks.that("Dockerfile: nothing is copied or run as that user by mistake", not {"RUN", "COPY"} & set(after), after)
    health = of(final, "HEALTHCHECK")
    command = json.loads(health[0].partition("CMD ")[2]) if health else []
    checks.that("Dockerfile: its health is asked as compose does", ["CMD", *command] == compose["services"]["habitue"]["healthcheck"]["test"], health)
    targets = [shlex.split(copy)[-1] for copy in of(final, "COPY")]
    started = {*command[:1], *json.loads(of(final, "ENTRYPOINT")[0])}
    checks.that("Dockerfile: the probe and the entry point are in the image", started <= set(targets), targets)
    checks.that("Dockerfile: the schemas lie where the configuration says", config["topics"]["schemas"] in targets, targets)
    env, mounted = of(final, "ENV"), dict(mount.split(":")[:2] for mount in compose["services"]["habitue"]["volumes"])
    file = mounted["./deploy/compose/habitue.toml"]
    checks.that("Dockerfile: the configuration is where compose mounts it", env == [f"HABITUE_CONFIG={file}"], (env, file))
    checks.that("Dockerfile: the volume is the one of compose", of(final, "VOLUME") == [mounted["snapshots"]], mounted)
    labels = dict(pair.split("=", 1) for pair in shlex.split(" ".join(of(final, "LABEL"))))
    missing = [label for label in LABELS if f"org.opencontainers.image.{label}" not in labels]
    checks.that("Dockerfile: it has the labels of an image", not missing, missing)
    versions = {cargo["version"], labels["org.opencontainers.image.version"], compose["services"]["habitue"]["image"].partition(":")[2]}
    checks.that("Dockerfile, compose and Cargo.toml say one version", len(versions) == 1, versions)
    checks.that("Dockerfile: its base is the one that the label names", labels["org.opencontainers.image.base.name"].endswith(f"/{base}"), labels)
    given, taken = set(compose["services"]["habitue"]["build"]["args"]), {arg.partition("=")[0] for arg in of(build, "ARG") + of(final, "ARG")}
    checks.that("Dockerfile: it takes the arguments of compose", given <= taken, (given, taken))


def copied(checks, root, stages):
    """What is copied exists and is let in; what must stay outside does."""
    patterns = [line for line in (root / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]

    def let_in(path):
        # The last pattern that matches the path or a folder above it decides.
        parts = path.split("/")
        above = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        decided = True
        for pattern in patterns:
            if any(fnmatch.fnmatch(part, pattern.lstrip("!")) for part in above):
                decided = pattern.startswith("!")
        return decided

    for copy in (copy for stage in stages for copy in of(stage, "COPY")):
        words = [word for word in shlex.split(copy) if not word.startswith("--")]
        if "--from=" in copy:
            continue
        for source in words[:-1]:
            checks.that(f"Dockerfile: {source} exists and is let in", (root / source).exists() and let_in(source))
    for path in ("deploy/secrets/http-token", "target/release/habitue", ".git/config", ".venv/bin/python", "tests/run"):
        checks.that(f".dockerignore keeps {path} out", not let_in(path))
    # What the code takes in when it is compiled must be there then.
    sources = tuple(copy.split()[0] for copy in of(stages[0], "COPY"))
    for source in sorted((root / "src").rglob("*.rs")):
        for included in re.findall(r'include_(?:str|bytes)!\((?:concat!\()?"([^"]+)"', source.read_text()):
            inside = str((source.parent / included).resolve().relative_to(root))
            checks.that(f"Dockerfile: {inside}, which {source.name} includes, is copied", inside.startswith(sources))


def manifest(checks, root, build):
    """The build's own way to cut tests and benches out of the manifest leaves the product as it is."""
    script = next(run for run in of(build, "RUN") if run.startswith("awk"))
    cut = subprocess.run(["awk", shlex.split(script)[1], str(root / "Cargo.toml")], capture_output=True, text=True, check=True).stdout
    before, after = tomllib.loads((root / "Cargo.toml").read_text()), tomllib.loads(cut)
    del before["test"], before["bench"]
    checks.that("Dockerfile: the manifest loses tests and benches, and nothing else", after == before, set(after) ^ set(before))


def probe(checks, root):
    """The probe against a server that answers, one that refuses, and none."""
    class Answer(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            body = b"ok\n" if self.path == "/readyz" else b"restoring 7 % (1 of 2 partitions)\n"
            self.send_response(200 if self.path == "/readyz" else 503)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    def run(path):
        return subprocess.run(["bash", str(root / "deploy" / "probe.sh"), path, str(port)], capture_output=True, text=True, check=False, timeout=30)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        ready, refused = run("/readyz"), run("/livez")
        server.shutdown()
    closed = run("/readyz")
    checks.that("the probe succeeds on 200", (ready.returncode, ready.stdout) == (0, "ok\n"), ready)
    checks.that("the probe fails on 503 and says why", refused.returncode != 0 and refused.stdout.startswith("restoring"), refused)
    checks.that("the probe fails where nobody listens", closed.returncode != 0, closed)
