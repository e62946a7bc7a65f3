//! From the configuration to a log, on Kafka or in a folder. Here secrets are fetched, and nowhere else.

use crate::config::{Config, Kafka, Protocol, Secret, SecretError};
use crate::edge::kafka::{self, KafkaConfig};
use crate::edge::log::embedded::{EmbeddedConfig, TopicConfig};
use crate::edge::topics::{self, Cleanup};

/// Old records are looked for so often.
const RETENTION_CHECK_MS: i64 = 60_000;
/// Compaction leaves younger versions of rows and models, for who verifies.
const COMPACTION_LAG_MS: i64 = 3_600_000;
/// Members of the embedded log's groups are threads of this process: one that is silent is slow, not gone, and
/// nobody could take over.
const SESSION_MS: i64 = 60_000;

/// What the embedded log needs: the topics as planned for Kafka.
pub fn embedded_config(config: &Config) -> EmbeddedConfig {
    let topic = |planned: topics::PlannedTopic| {
        let is_kept = planned.retention.is_none();
        let topic = TopicConfig {
            partitions: planned.partitions,
            retention_ms: planned.retention.map(|kept| i64::try_from(kept.as_millis()).unwrap_or(i64::MAX)),
            retention_bytes: (!is_kept).then_some(config.log.partition_bytes_max),
            record_bytes_max: usize::try_from(planned.max_message_bytes).unwrap_or(usize::MAX),
            compacted: planned.cleanup == Cleanup::Compact,
            compaction_lag_ms: COMPACTION_LAG_MS,
        };
        (planned.topic, topic)
    };
    EmbeddedConfig {
        folder: config.log.folder.clone(),
        owner: config.service.instance.clone(),
        topics: topics::plan(config).into_iter().map(topic).collect(),
        session_timeout_ms: SESSION_MS,
        transaction_timeout_ms: i64::from(millis(config.kafka.transaction_timeout)),
        retention_check_ms: RETENTION_CHECK_MS,
        free_bytes_min: config.log.free_bytes_min,
    }
}

/// What the Kafka edge needs, with secrets in place. Fails when a secret is not where the
/// configuration says.
pub fn kafka_config(config: &Config) -> Result<KafkaConfig, SecretError> {
    let Kafka { security, client, .. } = &config.kafka;
    let resolve = |secret: &Option<Secret>| secret.as_ref().map(Secret::resolve).transpose();
    let path = |file: &Option<std::path::PathBuf>| file.as_ref().map(|file| file.display().to_string());
    let mut client = client.clone();
    let key_password = resolve(&security.key_password)?;
    for (property, value) in [
        ("ssl.ca.location", path(&security.ca_file)),
        ("ssl.certificate.location", path(&security.certificate_file)),
        ("ssl.key.location", path(&security.key_file)),
        ("ssl.key.password", key_password),
    ] {
        if let Some(value) = value {
            client.insert(property.to_string(), value);
        }
    }
    let names = config.kafka.topic_names.iter();
    Ok(KafkaConfig {
        brokers: config.kafka.brokers.join(","),
        group: config.kafka.group.clone(),
        instance: config.service.instance.clone(),
        topic_prefix: config.kafka.topic_prefix.clone(),
        topics: names.map(|(topic, name)| (topic.name().to_string(), name.clone())).collect(),
        security: kafka::Security {
            protocol: match security.protocol {
                Protocol::Plaintext => kafka::Protocol::Plaintext,
                Protocol::Ssl => kafka::Protocol::Ssl,
                Protocol::SaslPlaintext => kafka::Protocol::SaslPlaintext,
                Protocol::SaslSsl => kafka::Protocol::SaslSsl,
            },
            sasl_mechanism: security.mechanism.map(|mechanism| mechanism.name().to_string()),
            username: security.username.clone(),
            password: resolve(&security.password)?,
        },
        request_timeout_ms: millis(config.kafka.connect_timeout),
        transaction_timeout_ms: millis(config.kafka.transaction_timeout),
        session_timeout_ms: millis(config.kafka.session_timeout),
        client,
        ..KafkaConfig::default()
    })
}

fn millis(duration: std::time::Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::Topic;

    #[test]
    fn the_kafka_edge_gets_what_the_operator_wrote() {
        let text = "[service]\ninstance = \"a\"\n[kafka]\nbrokers = [\"x:1\", \"y:2\"]\nsession_timeout = \"8s\"\n\
            [kafka.names]\nalerts-fast = \"fast\"\n[kafka.client]\n\"linger.ms\" = 5\n\
            [kafka.security]\nprotocol = \"ssl\"\nca_file = \"/ca.pem\"\n";
        let config = Config::parse(text, "test").unwrap_or_else(|refusal| panic!("{refusal}"));
        let kafka = kafka_config(&config).expect("it has no secrets");
        assert_eq!((kafka.brokers.as_str(), kafka.instance.as_str()), ("x:1,y:2", "a"));
        assert_eq!(kafka.session_timeout_ms, 8_000);
        assert_eq!(kafka.client["ssl.ca.location"], "/ca.pem");
        assert_eq!(kafka.client["linger.ms"], "5");
        let log = kafka::KafkaLog::new(kafka).expect("the edge takes it");
        for topic in Topic::ALL {
            assert_eq!(log.topic_name(topic), config.kafka.topic_name(topic));
        }
    }

    #[test]
    fn a_missing_secret_is_an_error() {
        let text = "[kafka.security]\nprotocol = \"sasl_plaintext\"\nmechanism = \"PLAIN\"\nusername = \"u\"\n\
            password = { env = \"HABITUE_NO_SUCH_VARIABLE\" }";
        let config = Config::parse(text, "test").unwrap_or_else(|refusal| panic!("{refusal}"));
        assert!(matches!(kafka_config(&config), Err(SecretError::Env(_))));
    }
}
