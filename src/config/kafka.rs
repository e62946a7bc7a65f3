//! `[kafka]`: which cluster, as whom, under which names.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize};

use super::units;
use crate::signal::Topic;

/// `[kafka]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kafka {
    /// "host:port" of brokers to begin with; one answers for all. None: no Kafka, the log in `log.folder`.
    /// Default: none.
    pub brokers: Vec<String>,
    /// First part of the consumer groups (`-customer` and `-market` follow) and of every transactional
    /// id. 1 to 200 of `A-Z a-z 0-9 . _ -`. Default "habitue".
    pub group: String,
    /// Put before the name of every topic that `names` does not name. Default "habitue.".
    pub topic_prefix: String,
    /// Full names of topics that are called otherwise, such as the shop's own input topics:
    /// `purchases = "shop.orders.v2"`. Default: none.
    #[serde(rename = "names", deserialize_with = "topic_names")]
    pub topic_names: BTreeMap<Topic, String>,
    /// After this long without a sign of life the group gives this instance's partitions to others.
    /// 6s to 5m (a revoke may take 5 s). Default 6s.
    #[serde(deserialize_with = "units::duration")]
    pub session_timeout: Duration,
    /// After this long the broker ends a transaction that nobody ends; readers wait for it. 1s to 1m,
    /// longer than `engine.transaction_interval` and at most `session_timeout`. Default 3s.
    #[serde(deserialize_with = "units::duration")]
    pub transaction_timeout: Duration,
    /// How long a broker may take to answer before a command gives up on it. 1s to 5m. Default 10s.
    #[serde(deserialize_with = "units::duration")]
    pub connect_timeout: Duration,
    pub security: Security,
    /// Further settings of librdkafka, by its own names, for consumers and producers alike; those that
    /// the commit protocol or `security` depend on are refused. Default: none.
    #[serde(deserialize_with = "client_settings")]
    pub client: BTreeMap<String, String>,
}

impl Kafka {
    /// The topic's full name in the cluster.
    pub fn topic_name(&self, topic: Topic) -> String {
        match self.topic_names.get(&topic) {
            Some(name) => name.clone(),
            None => format!("{}{}", self.topic_prefix, topic.name()),
        }
    }
}

impl Default for Kafka {
    fn default() -> Kafka {
        Kafka {
            brokers: Vec::new(),
            group: "habitue".to_string(),
            topic_prefix: "habitue.".to_string(),
            topic_names: BTreeMap::new(),
            session_timeout: Duration::from_secs(6),
            transaction_timeout: Duration::from_secs(3),
            connect_timeout: Duration::from_secs(10),
            security: Security::default(),
            client: BTreeMap::new(),
        }
    }
}

/// `[kafka.security]`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Security {
    /// "plaintext", "ssl", "sasl_plaintext" or "sasl_ssl". Default "plaintext".
    pub protocol: Protocol,
    /// "PLAIN", "SCRAM-SHA-256" or "SCRAM-SHA-512"; required by the sasl protocols. Default: none.
    pub mechanism: Option<Mechanism>,
    /// Required by the sasl protocols. Default: none.
    pub username: Option<String>,
    /// Required by the sasl protocols. Default: none.
    pub password: Option<Secret>,
    /// PEM of the authorities that may have signed the brokers' certificates; without it the system's.
    /// Default: none.
    pub ca_file: Option<PathBuf>,
    /// PEM of our own certificate, with `key_file`, where brokers ask for one. Default: none.
    pub certificate_file: Option<PathBuf>,
    /// PEM of the key to `certificate_file`. Default: none.
    pub key_file: Option<PathBuf>,
    /// What `key_file` is encrypted with. Default: none.
    pub key_password: Option<Secret>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    #[default]
    Plaintext,
    Ssl,
    SaslPlaintext,
    SaslSsl,
}

impl Protocol {
    /// As librdkafka calls it in `security.protocol`.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Plaintext => "plaintext",
            Protocol::Ssl => "ssl",
            Protocol::SaslPlaintext => "sasl_plaintext",
            Protocol::SaslSsl => "sasl_ssl",
        }
    }

    pub fn has_sasl(self) -> bool {
        matches!(self, Protocol::SaslPlaintext | Protocol::SaslSsl)
    }

    pub fn has_tls(self) -> bool {
        matches!(self, Protocol::Ssl | Protocol::SaslSsl)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Mechanism {
    #[serde(rename = "PLAIN")]
    Plain,
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

impl Mechanism {
    /// As librdkafka calls it in `sasl.mechanism`.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// Where a secret is kept: `{ env = "NAME" }` or `{ file = "/run/secrets/name" }`. Never the secret
/// itself, so a configuration can be shown to anybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Secret {
    Env(String),
    File(PathBuf),
}

/// A secret that is not where the configuration says.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("environment variable {0} is not set, empty or not UTF-8")]
    Env(String),
    #[error("secret file {file} cannot be read: {source}", file = file.display())]
    File { file: PathBuf, source: std::io::Error },
    #[error("secret file {file} is empty", file = .0.display())]
    Empty(PathBuf),
}

impl Secret {
    /// Fetches the secret; one line break at the end of a file does not belong to it.
    pub fn resolve(&self) -> Result<String, SecretError> {
        match self {
            Secret::Env(name) => match std::env::var(name) {
                Ok(value) if !value.is_empty() => Ok(value),
                _ => Err(SecretError::Env(name.clone())),
            },
            Secret::File(file) => {
                let text = std::fs::read_to_string(file)
                    .map_err(|source| SecretError::File { file: file.clone(), source })?;
                let secret = text.strip_suffix('\n').unwrap_or(&text);
                let secret = secret.strip_suffix('\r').unwrap_or(secret);
                if secret.is_empty() {
                    return Err(SecretError::Empty(file.clone()));
                }
                Ok(secret.to_string())
            }
        }
    }
}

static TOPIC_NAMES: LazyLock<Vec<&'static str>> =
    LazyLock::new(|| Topic::ALL.iter().map(|topic| topic.name()).collect());

/// A topic by the name we call it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct TopicKey(Topic);

impl<'de> Deserialize<'de> for TopicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<TopicKey, D::Error> {
        let name = String::deserialize(deserializer)?;
        match Topic::ALL.into_iter().find(|topic| topic.name() == name) {
            Some(topic) => Ok(TopicKey(topic)),
            None => Err(D::Error::unknown_field(&name, TOPIC_NAMES.as_slice())),
        }
    }
}

fn topic_names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<Topic, String>, D::Error> {
    let names = BTreeMap::<TopicKey, String>::deserialize(deserializer)?;
    Ok(names.into_iter().map(|(key, name)| (key.0, name)).collect())
}

/// librdkafka takes text for every value; people write numbers and booleans.
struct ClientValue(String);

impl<'de> Deserialize<'de> for ClientValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ClientValue, D::Error> {
        struct Scalar;
        impl Visitor<'_> for Scalar {
            type Value = ClientValue;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, an integer, a number or a boolean (names with dots need quotes)")
            }
            fn visit_str<E: Error>(self, value: &str) -> Result<ClientValue, E> {
                Ok(ClientValue(value.to_string()))
            }
            fn visit_bool<E: Error>(self, value: bool) -> Result<ClientValue, E> {
                Ok(ClientValue(value.to_string()))
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<ClientValue, E> {
                Ok(ClientValue(value.to_string()))
            }
            fn visit_f64<E: Error>(self, value: f64) -> Result<ClientValue, E> {
                Ok(ClientValue(value.to_string()))
            }
        }
        deserializer.deserialize_any(Scalar)
    }
}

fn client_settings<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let settings = BTreeMap::<String, ClientValue>::deserialize(deserializer)?;
    Ok(settings.into_iter().map(|(name, value)| (name, value.0)).collect())
}
