"""Topics and bytes as the product documents them; shares no code with it, only the schema files."""

import io
import json
import pathlib
import time
import urllib.request

import fastavro

SILENCE_SECONDS_MAX = 30
SCHEMAS = pathlib.Path(__file__).resolve().parents[3] / "schemas"

# The built-in ids, as schemas/ and the README document them.
IDS = {"purchase": 1, "engagement": 2, "feedback": 3, "alert": 4, "score": 5, "dead_letter": 7, "recommendation": 6, "journal": 8, "fact": 19}

INPUTS = {"purchases": "purchase", "engagements": "engagement", "feedback": "feedback"}
OUTPUTS = {"scores": "score", "recommendations": "recommendation", "alerts": "alert", "dead-letters": "dead_letter", "journal": "journal", "facts": "fact"}


def schema(name):
    # _force: the files define types of the same name (Source, Input), each for itself.
    return fastavro.parse_schema(plain(json.loads((SCHEMAS / f"{name}.avsc").read_text())), _force=True)


def plain(tree):
    """Without logical types: a time stays the integer that is compared, and the year 292277026 is readable."""
    if isinstance(tree, dict):
        return {name: plain(part) for name, part in tree.items() if name != "logicalType"}
    return [plain(part) for part in tree] if isinstance(tree, list) else tree


class Writer:
    """Encodes one kind of record with the Confluent header: a zero byte, the id, the Avro datum."""

    def __init__(self, name):
        self._schema = schema(name)
        self._header = b"\0" + IDS[name].to_bytes(4, "big")

    def __call__(self, record):
        out = io.BytesIO()
        out.write(self._header)
        fastavro.schemaless_writer(out, self._schema, record)
        return out.getvalue()


class Reader:
    """Decodes one kind of record; raises ValueError where header or length are wrong."""

    def __init__(self, name):
        self._schema = schema(name)
        self._id = IDS[name]

    def __call__(self, value):
        if len(value) < 5 or value[0] != 0:
            raise ValueError("no Confluent header")
        found = int.from_bytes(value[1:5], "big")
        if found != self._id:
            raise UnknownSchema(found)
        body = io.BytesIO(value)
        body.seek(5)
        record = fastavro.schemaless_reader(body, self._schema, None)
        if body.tell() != len(value):
            raise ValueError("bytes after the record")
        return record


class UnknownSchema(ValueError):
    pass


def read_topic(bootstrap, topic):
    """Every committed record of a topic: (partition, offset, timestamp_ms, key, value), to its end as of now. Where
    `bootstrap` is the address of a service, the topic is read through it: its log is in a folder that it owns."""
    if bootstrap.startswith("http://"):
        yield from read_over_http(bootstrap, topic)
        return
    from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

    consumer = Consumer({
        "bootstrap.servers": bootstrap,
        "group.id": "habitue-oracle",
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
        "fetch.message.max.bytes": 16 << 20,
        "max.partition.fetch.bytes": 16 << 20,
    })
    try:
        found = consumer.list_topics(topic, timeout=30).topics[topic]
        if found.error is not None:
            raise KafkaException(found.error)
        waiting = set()
        places = []
        for partition in found.partitions:
            low, _ = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=30)
            places.append(TopicPartition(topic, partition, low))
            waiting.add(partition)
        consumer.assign(places)
        heard = time.monotonic()
        while waiting:
            # Returns early only when it has the full number, so a small one keeps the tail short.
            batch = consumer.consume(500, timeout=0.2)
            if batch:
                heard = time.monotonic()
            elif time.monotonic() - heard > SILENCE_SECONDS_MAX:
                raise TimeoutError(f"{topic}: silent, partitions {sorted(waiting)} not at their end")
            for message in batch:
                if message.error() is None:
                    yield (message.partition(), message.offset(), message.timestamp()[1], message.key(), message.value())
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    waiting.discard(message.partition())
                else:
                    raise KafkaException(message.error())
    finally:
        consumer.close()


def read_over_http(address, topic):
    """As `read_topic`, by GET /api/v1/records."""
    path = f"{address}/api/v1/records/{topic}?from=start&follow=false&raw=true"
    bytes_of = lambda text: None if text is None else bytes.fromhex(text)  # noqa: E731
    event = None
    with urllib.request.urlopen(path, timeout=SILENCE_SECONDS_MAX) as answer:
        for line in answer:
            name, _, text = line.decode().rstrip("\n").partition(": ")
            if name == "event":
                event = text
            elif name == "data" and event == "error":
                raise OSError(f"{topic}: {json.loads(text)['error']}")
            elif name == "data" and event == "record":
                record = json.loads(text)
                yield (record["partition"], record["offset"], record["written_ms"], bytes_of(record["raw_key"]), bytes_of(record["raw"]))
    if event != "end":
        raise OSError(f"{topic}: the answer broke off")
