#!/usr/bin/env bash
# One Apache Kafka broker for tests and benchmarks, on 127.0.0.1 only, with a folder of its own.
#
#   broker.sh fetch                download the broker's jars (43 MB) unless they are there
#   broker.sh start DIR [PORT]     start; PORT 0 or none picks a free one; prints host:port
#   broker.sh stop DIR             stop, waiting until it has ended
#   broker.sh kill DIR             end it at once, as a crash would
#   broker.sh status DIR           prints host:port and succeeds while it answers
#
# A second `start` on a stopped DIR begins with the data that is there. Needs Java 17 and, for the
# first fetch only, Maven: Debian packages default-jre-headless and maven.
#
# HABITUE_KAFKA_CACHE  where the jars are kept (default: .kafka in the repository)
# HABITUE_KAFKA_HEAP   heap options (default: -Xms256m -Xmx1g)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${HABITUE_KAFKA_CACHE:-$here/../../.kafka}
version=$(sed -n '/kafka_2.13/{n;s|.*<version>\(.*\)</version>.*|\1|p}' "$here/broker/pom.xml")
libs=$cache/libs-$version

fail() {
    echo "broker.sh: $*" >&2
    exit 1
}

require() {
    command -v "$1" >/dev/null 2>&1 || fail "$1 is missing: install the Debian package $2 (apt-get install -y $2)"
}

fetch() {
    [ -f "$libs/.complete" ] && return
    require java default-jre-headless
    require mvn maven
    mkdir -p "$cache"
    (
        # Two test runs at once: the second waits and finds the work done.
        flock 9
        [ -f "$libs/.complete" ] && exit 0
        rm -rf "$libs"
        echo "broker.sh: fetching Apache Kafka $version from Maven" >&2
        mvn -B -q -f "$here/broker/pom.xml" dependency:copy-dependencies \
            -DoutputDirectory="$(realpath -m "$libs")" -DincludeScope=runtime >&2 ||
            fail "Maven could not fetch Apache Kafka $version"
        [ -f "$libs/kafka_2.13-$version.jar" ] || fail "kafka_2.13-$version.jar did not arrive in $libs"
        touch "$libs/.complete"
    ) 9>"$cache/lock"
}

free_port() {
    # Below the range from which the system hands out ports to outgoing connections, so that no
    # connection of a test takes it before the broker does.
    local port
    for _ in $(seq 100); do
        port=$((15000 + (RANDOM * 32768 + RANDOM) % 15000))
        if ! answers "$port"; then
            echo "$port"
            return
        fi
    done
    fail "no free port found"
}

answers() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

configure() {
    local dir=$1 port=$2 controller=$3
    cat >"$dir/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$port
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=$dir/data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
message.max.bytes=16777216
replica.fetch.max.bytes=16777216
log.retention.ms=-1
PROPERTIES
    cat >"$dir/log4j2.properties" <<'PROPERTIES'
status=error
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=[%d] %p %m (%c)%n
rootLogger.level=info
rootLogger.appenderRef.console.ref=console
PROPERTIES
}

format() {
    local dir=$1 id
    [ -f "$dir/data/meta.properties" ] && return
    id=$(java -cp "$libs/*" kafka.tools.StorageTool random-uuid 2>>"$dir/broker.log")
    java -cp "$libs/*" kafka.tools.StorageTool format -t "$id" -c "$dir/server.properties" >>"$dir/broker.log" 2>&1 ||
        fail "formatting failed, see $dir/broker.log"
}

# The broker's own process, and no other that came to have its number.
running() {
    local dir=$1 pid
    [ -f "$dir/pid" ] || return 1
    pid=$(<"$dir/pid")
    [ -r "/proc/$pid/cmdline" ] && tr '\0' '\n' <"/proc/$pid/cmdline" | grep -qxF -- "$dir/server.properties"
}

start() {
    local dir=$1 port=${2:-0} heap
    require java default-jre-headless
    fetch
    mkdir -p "$dir"
    dir=$(realpath "$dir")
    running "$dir" && fail "already running in $dir"
    # A folder that was used keeps its ports: clients of before find the broker again.
    if [ "$port" = 0 ] && [ -f "$dir/port" ]; then
        port=$(<"$dir/port")
    elif [ "$port" = 0 ]; then
        port=$(free_port)
    fi
    [ -f "$dir/controller" ] || free_port >"$dir/controller"
    echo "$port" >"$dir/port"
    configure "$dir" "$port" "$(<"$dir/controller")"
    format "$dir"
    read -ra heap <<<"${HABITUE_KAFKA_HEAP:--Xms256m -Xmx1g}"
    java "${heap[@]}" -XX:+UseG1GC -Djava.awt.headless=true -cp "$libs/*" \
        -Dlog4j2.configurationFile="$dir/log4j2.properties" \
        kafka.Kafka "$dir/server.properties" >>"$dir/broker.log" 2>&1 </dev/null &
    echo $! >"$dir/pid"
    await_answer "$dir" "$port"
    echo "127.0.0.1:$port"
}

await_answer() {
    local dir=$1 port=$2
    for _ in $(seq 600); do
        running "$dir" || { tail -n 20 "$dir/broker.log" >&2; fail "the broker ended, see $dir/broker.log"; }
        # Open for clients only once the broker has been unfenced; the port alone answers earlier.
        if answers "$port" && grep -q "Kafka Server started" "$dir/broker.log"; then
            return
        fi
        sleep 0.1
    done
    fail "the broker did not answer within 60 s, see $dir/broker.log"
}

stop() {
    local dir signal=$2
    dir=$(realpath "$1")
    running "$dir" || { rm -f "$dir/pid"; return 0; }
    kill "-$signal" "$(<"$dir/pid")"
    for _ in $(seq 300); do
        running "$dir" || { rm -f "$dir/pid"; mv -f "$dir/broker.log" "$dir/broker.log.1" 2>/dev/null || true; return 0; }
        sleep 0.1
    done
    fail "the broker did not end within 30 s"
}

status() {
    local dir port
    dir=$(realpath "$1")
    port=$(cat "$dir/port" 2>/dev/null) || fail "no broker in $dir"
    running "$dir" && answers "$port" || fail "no broker running in $dir"
    echo "127.0.0.1:$port"
}

case "${1:-} $#" in
"fetch 1") fetch ;;
"start 2" | "start 3") start "$2" "${3:-0}" ;;
"stop 2") stop "$2" TERM ;;
"kill 2") stop "$2" KILL ;;
"status 2") status "$2" ;;
*) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
esac
