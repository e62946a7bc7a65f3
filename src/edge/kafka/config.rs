//! How to reach Kafka, and the settings that exactly-once and latency rest on.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rdkafka::ClientConfig;
use serde::{Deserialize, Serialize};

use crate::edge::log::{Group, LogError};

/// The `[kafka]` table. Secrets are resolved by the caller before they come here.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaConfig {
    /// `host:port`, several with commas.
    pub brokers: String,
    /// Consumer groups are `<group>-customer` and `<group>-market`, transactional ids begin with `<group>/`.
    pub group: String,
    /// This instance's name; as client id it stands in the broker's log and metrics.
    pub instance: String,
    /// Put before every topic's name.
    pub topic_prefix: String,
    /// Our name of a topic to its whole name in Kafka, without prefix.
    pub topics: BTreeMap<String, String>,
    pub security: Security,
    /// How long a producer waits for more records before it sends, in milliseconds.
    pub linger_ms: u32,
    pub compression: Compression,
    /// Longest that a call without a timeout of its own may take, in milliseconds.
    pub request_timeout_ms: u32,
    /// The coordinator aborts a transaction older than this, in milliseconds.
    pub transaction_timeout_ms: u32,
    /// A member silent for this long has lost its partitions, in milliseconds.
    pub session_timeout_ms: u32,
    /// A member that has not polled for this long has lost its partitions though its process lives, in
    /// milliseconds; not below the session.
    pub poll_interval_ms_max: u32,
    /// Longest that the broker gathers records for an answer, in milliseconds.
    pub fetch_wait_ms_max: u32,
    /// Read-ahead of one consumer over all its partitions, in KiB.
    pub read_ahead_kib: u32,
    /// Largest record a producer will send, in bytes; the topic's own limit is asked of the broker.
    pub record_bytes_max: u32,
    /// Any other property of librdkafka, for all clients alike.
    pub client: BTreeMap<String, String>,
}

impl Default for KafkaConfig {
    fn default() -> KafkaConfig {
        KafkaConfig {
            brokers: "localhost:9092".into(),
            group: "habitue".into(),
            instance: "habitue-0".into(),
            topic_prefix: String::new(),
            topics: BTreeMap::new(),
            security: Security::default(),
            linger_ms: 0,
            compression: Compression::None,
            request_timeout_ms: 10_000,
            transaction_timeout_ms: 3_000,
            session_timeout_ms: 6_000,
            poll_interval_ms_max: 30_000,
            fetch_wait_ms_max: 5,
            read_ahead_kib: 16_384,
            record_bytes_max: 16 * 1024 * 1024,
            client: BTreeMap::new(),
        }
    }
}

impl fmt::Debug for KafkaConfig {
    /// Without the values of `client`, which may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaConfig")
            .field("brokers", &self.brokers)
            .field("group", &self.group)
            .field("instance", &self.instance)
            .field("topic_prefix", &self.topic_prefix)
            .field("topics", &self.topics)
            .field("security", &self.security)
            .field("client", &self.client.keys())
            .finish_non_exhaustive()
    }
}

/// How the connection is secured.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Security {
    pub protocol: Protocol,
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub sasl_mechanism: Option<String>,
    pub username: Option<String>,
    pub password: Option<String>,
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Security")
            .field("protocol", &self.protocol)
            .field("sasl_mechanism", &self.sasl_mechanism)
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| "…"))
            .finish()
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    #[default]
    Plaintext,
    Ssl,
    SaslPlaintext,
    SaslSsl,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    #[default]
    None,
    Lz4,
    Zstd,
    Snappy,
    Gzip,
}

/// A member's answer from the broker holds so much, unless the wait is over.
const FETCH_BYTES_MIN: u32 = 64 * 1024;
/// Longest that the broker holds back an empty answer to a reader of tables and journals.
const READER_WAIT_MS: u32 = 50;

/// Properties that `client` may not set: the protocol stands or falls with them.
const FIXED: [&str; 12] = [
    "auto.offset.reset",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "isolation.level",
    "partition.assignment.strategy",
    "transactional.id",
    "acks",
];

impl KafkaConfig {
    pub(crate) fn check(&self) -> Result<(), LogError> {
        match self.client.keys().find(|key| FIXED.contains(&key.as_str())) {
            Some(key) => Err(LogError::Fatal(format!("`{key}` may not be set: exactly-once rests on it"))),
            None => Ok(()),
        }
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms.into())
    }

    pub(crate) fn group_name(&self, group: Group) -> String {
        match group {
            Group::Customer => format!("{}-customer", self.group),
            Group::Market => format!("{}-market", self.group),
        }
    }

    /// What all clients have in common; `client` comes last in each of the others and so wins.
    fn common(&self, client_id: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", client_id)
            .set("security.protocol", self.security.protocol.property())
            .set("socket.keepalive.enable", "true")
            .set("log.connection.close", "false")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("statistics.interval.ms", "0");
        if matches!(self.security.protocol, Protocol::Ssl | Protocol::SaslSsl) {
            // Our OpenSSL is built in and knows no system folder by itself.
            config.set("ssl.ca.location", "probe");
        }
        for (property, value) in [
            ("sasl.mechanism", &self.security.sasl_mechanism),
            ("sasl.username", &self.security.username),
            ("sasl.password", &self.security.password),
        ] {
            if let Some(value) = value {
                config.set(property, value);
            }
        }
        config
    }

    fn with_overrides(&self, mut config: ClientConfig) -> ClientConfig {
        for (property, value) in &self.client {
            config.set(property, value);
        }
        config
    }

    /// For metadata, watermarks and administration; sees records that are not committed.
    pub(crate) fn plain(&self) -> ClientConfig {
        self.with_overrides(self.common(&self.instance))
    }

    fn reading(&self, client_id: &str) -> ClientConfig {
        let mut config = self.common(client_id);
        config
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "error")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // Default 1000: a partition whose queue was full once would stand still for a second.
            .set("fetch.queue.backoff.ms", "5")
            .set("fetch.error.backoff.ms", "100")
            // Per partition, so the kibibytes of the whole consumer are what bounds it.
            .set("queued.min.messages", "20000")
            .set("queued.max.messages.kbytes", self.read_ahead_kib.to_string());
        config
    }

    /// A member of a group.
    pub(crate) fn member(&self, group: Group, member: &str) -> ClientConfig {
        let mut config = self.reading(member);
        config
            // Records come all the time: waiting a few milliseconds for more of them costs less than asking a
            // thousand times a second, which keeps a broker busy.
            .set("fetch.wait.max.ms", self.fetch_wait_ms_max.to_string())
            .set("fetch.min.bytes", FETCH_BYTES_MIN.to_string())
            .set("group.id", self.group_name(group))
            // A restart under the same name takes the place of its earlier self at once, and fences it.
            .set("group.instance.id", member)
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", self.session_timeout_ms.to_string())
            .set("max.poll.interval.ms", self.poll_interval_ms_max.to_string())
            // A member learns of a rebalance by its heartbeat.
            .set("heartbeat.interval.ms", "500")
            .set("enable.partition.eof", "true");
        self.with_overrides(config)
    }

    /// A reader that belongs to no group. librdkafka wants a group's name even so; nothing joins it.
    pub(crate) fn reader(&self) -> ClientConfig {
        let mut config = self.reading(&self.instance);
        config
            // Records are rare and are answered at once; only an empty answer waits.
            .set("fetch.wait.max.ms", READER_WAIT_MS.to_string())
            .set("group.id", format!("{}-reader", self.group))
            .set("enable.partition.eof", "true");
        self.with_overrides(config)
    }

    fn writing(&self, client_id: &str) -> ClientConfig {
        let mut config = self.common(client_id);
        config
            .set("enable.idempotence", "true")
            .set("linger.ms", self.linger_ms.to_string())
            .set("compression.type", self.compression.property())
            .set("message.max.bytes", self.record_bytes_max.to_string())
            .set("batch.num.messages", "10000")
            .set("batch.size", "1000000")
            .set("queue.buffering.max.messages", "500000")
            .set("queue.buffering.max.kbytes", "131072")
            // As the Java clients do; our records name their partition all the same.
            .set("partitioner", "murmur2_random");
        config
    }

    pub(crate) fn transactional(&self, transactional_id: &str) -> ClientConfig {
        // One name space for each group: two logs on one cluster do not fence one another.
        let id = format!("{}/{transactional_id}", self.group);
        let mut config = self.writing(&id);
        config
            .set("transactional.id", &id)
            .set("transaction.timeout.ms", self.transaction_timeout_ms.to_string());
        self.with_overrides(config)
    }

    pub(crate) fn appending(&self) -> ClientConfig {
        let mut config = self.writing(&self.instance);
        config.set("linger.ms", "0");
        self.with_overrides(config)
    }
}

impl Protocol {
    fn property(self) -> &'static str {
        match self {
            Protocol::Plaintext => "plaintext",
            Protocol::Ssl => "ssl",
            Protocol::SaslPlaintext => "sasl_plaintext",
            Protocol::SaslSsl => "sasl_ssl",
        }
    }
}

impl Compression {
    fn property(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
            Compression::Snappy => "snappy",
            Compression::Gzip => "gzip",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_exactly_once_rests_on_cannot_be_set() {
        let mut config = KafkaConfig::default();
        config.client.insert("isolation.level".into(), "read_uncommitted".into());
        assert!(matches!(config.check(), Err(LogError::Fatal(text)) if text.contains("isolation.level")));
    }

    #[test]
    fn other_properties_win_over_ours() {
        let mut config = KafkaConfig::default();
        config.client.insert("fetch.wait.max.ms".into(), "50".into());
        assert_eq!(config.reader().get("fetch.wait.max.ms"), Some("50"));
        assert_eq!(config.reader().get("isolation.level"), Some("read_committed"));
    }

    #[test]
    fn secrets_are_not_shown() {
        let mut config = KafkaConfig::default();
        config.security.password = Some("geheim".into());
        config.client.insert("ssl.key.password".into(), "verborgen".into());
        let shown = format!("{config:?}");
        assert!(!shown.contains("geheim") && !shown.contains("verborgen"), "{shown}");
    }

    #[test]
    fn tls_looks_for_the_system_certificates() {
        let mut config = KafkaConfig::default();
        assert_eq!(config.plain().get("ssl.ca.location"), None);
        config.security.protocol = Protocol::SaslSsl;
        assert_eq!(config.plain().get("ssl.ca.location"), Some("probe"));
    }
}
