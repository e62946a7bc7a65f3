//! What no single value shows: ranges, and how options stand to each other.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;

use super::document::{Finding, Path};
use super::{Config, Kafka, Security, Service, show_bytes, show_duration};
use crate::signal::Topic;

/// Everything that is wrong with a configuration whose types are right.
pub fn findings(config: &Config) -> Vec<Finding> {
    let mut found = Findings(Vec::new());
    service(&mut found, &config.service);
    kafka(&mut found, &config.kafka);
    security(&mut found, &config.kafka.security);
    ranges(&mut found, config);
    relations(&mut found, config);
    found.0
}

/// Settings of librdkafka that the commit protocol or other options depend on.
const OWNED: [(&str, &str); 27] = [
    ("bootstrap.servers", "kafka.brokers"),
    ("metadata.broker.list", "kafka.brokers"),
    ("group.id", "kafka.group"),
    ("group.instance.id", "service.instance"),
    ("client.id", "service.instance"),
    ("session.timeout.ms", "kafka.session_timeout"),
    ("transaction.timeout.ms", "kafka.transaction_timeout"),
    ("security.protocol", "kafka.security.protocol"),
    ("sasl.mechanism", "kafka.security.mechanism"),
    ("sasl.mechanisms", "kafka.security.mechanism"),
    ("sasl.username", "kafka.security.username"),
    ("sasl.password", "kafka.security.password"),
    ("ssl.ca.location", "kafka.security.ca_file"),
    ("ssl.certificate.location", "kafka.security.certificate_file"),
    ("ssl.key.location", "kafka.security.key_file"),
    ("ssl.key.password", "kafka.security.key_password"),
    ("transactional.id", ""),
    ("enable.auto.commit", ""),
    ("enable.auto.offset.store", ""),
    ("isolation.level", ""),
    ("auto.offset.reset", ""),
    ("partition.assignment.strategy", ""),
    ("enable.idempotence", ""),
    ("enable.partition.eof", ""),
    ("group.protocol", ""),
    ("acks", ""),
    ("request.required.acks", ""),
];

struct Findings(Vec<Finding>);

impl Findings {
    fn say(&mut self, paths: &[&str], message: String) {
        let paths = paths.iter().map(|path| path.split('.').map(String::from).collect()).collect();
        self.0.push(Finding { paths, message, help: None });
    }

    fn advise(&mut self, paths: &[&str], message: &str, help: &str) {
        self.say(paths, message.to_string());
        if let Some(last) = self.0.last_mut() {
            last.help = Some(help.to_string());
        }
    }

    fn number<T: PartialOrd + Display>(&mut self, path: &str, value: T, min: T, max: T) {
        if value < min || value > max {
            self.say(&[path], format!("{value} is outside {min} to {max}"));
        }
    }

    fn duration(&mut self, path: &str, value: Duration, min: Duration, max: Duration) {
        if value < min || value > max {
            let (value, min, max) = (show_duration(value), show_duration(min), show_duration(max));
            self.say(&[path], format!("{value} is outside {min} to {max}"));
        }
    }

    fn bytes(&mut self, path: &str, value: u64, min: u64, max: u64) {
        if value < min || value > max {
            let (value, min, max) = (show_bytes(value), show_bytes(min), show_bytes(max));
            self.say(&[path], format!("{value} is outside {min} to {max}"));
        }
    }

    /// A name in Kafka's alphabet.
    fn name(&mut self, path: &str, value: &str, len_max: usize) {
        if value.is_empty() || value.len() > len_max || !is_kafka_text(value) {
            let message = format!("\"{value}\" is not a name of 1 to {len_max} of A-Z a-z 0-9 . _ -");
            self.say(&[path], message);
        }
    }
}

fn is_kafka_text(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn service(found: &mut Findings, service: &Service) {
    found.name("service.instance", &service.instance, 64);
    found.number("service.shards", service.shards, 0, 256);
    let address = service.advertised_http.as_deref().map(|url| url.strip_prefix("http://").unwrap_or(""));
    if address.is_some_and(|address| !is_address(address)) {
        found.say(&["service.advertised_http"], "it is not http://host:port".to_string());
    } else if address.is_some_and(|address| address.starts_with("0.0.0.0:") || address.starts_with("[::]:")) {
        found.say(
            &["service.advertised_http"],
            "every address of a machine leads nowhere from another".to_string(),
        );
    }
    if !service.http.ip().is_loopback() && service.http_token.is_none() {
        found.advise(
            &["service.http", "service.http_token"],
            "an address off loopback needs `service.http_token`",
            "set http_token = { env = \"HABITUE_HTTP_TOKEN\" }, or serve on 127.0.0.1",
        );
    }
}

fn kafka(found: &mut Findings, kafka: &Kafka) {
    let wrong: Vec<String> =
        kafka.brokers.iter().filter(|broker| !is_address(broker)).map(|b| format!("\"{b}\"")).collect();
    if !wrong.is_empty() {
        found.say(&["kafka.brokers"], format!("not host:port: {}", wrong.join(", ")));
    }
    found.name("kafka.group", &kafka.group, 200);
    if kafka.topic_prefix.len() > 200 || !is_kafka_text(&kafka.topic_prefix) {
        found.say(
            &["kafka.topic_prefix"],
            format!("\"{}\" is not up to 200 of A-Z a-z 0-9 . _ -", kafka.topic_prefix),
        );
    }
    let mut taken = BTreeMap::new();
    for topic in Topic::ALL {
        let name = kafka.topic_name(topic);
        let path = format!("kafka.names.{}", topic.name());
        if kafka.topic_names.contains_key(&topic) {
            found.name(&path, &name, 249);
        }
        if let Some(other) = taken.insert(name.clone(), topic) {
            let path_of_other = format!("kafka.names.{}", other.name());
            found.say(
                &[&path, &path_of_other],
                format!("{} and {} are both called \"{name}\"", other.name(), topic.name()),
            );
        }
    }
    for (name, value) in &kafka.client {
        let owned = OWNED.iter().find(|(owned, _)| owned == name).map(|(_, option)| *option);
        let (message, help) = match owned {
            Some("") => (
                format!("`{name}` is not free to set here"),
                Some("the commit protocol depends on it: leave it out".to_string()),
            ),
            Some(option) => (format!("`{name}` is not free to set here"), Some(format!("use `{option}`"))),
            // The client itself knows best what it takes; this asks it and connects to nothing.
            None => match ClientConfig::new().set(name, value).create_native_config() {
                Ok(_) => continue,
                // Its text names the setting that an alias stands for.
                Err(KafkaError::ClientConfig(_, text, _, _)) => (format!("`{name}`: {text}"), None),
                Err(error) => (format!("`{name}`: {error}"), None),
            },
        };
        let path: Path = ["kafka", "client", name].map(String::from).to_vec();
        found.0.push(Finding { paths: vec![path], message, help });
    }
}

/// "host:port"; the host may be an IPv6 address in brackets.
fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains(char::is_whitespace) && port.parse::<u16>().is_ok_and(|p| p > 0)
    })
}

fn security(found: &mut Findings, security: &Security) {
    let protocol = security.protocol.name();
    let sasl = [
        ("kafka.security.mechanism", security.mechanism.is_some()),
        ("kafka.security.username", security.username.is_some()),
        ("kafka.security.password", security.password.is_some()),
    ];
    let tls = [
        ("kafka.security.ca_file", security.ca_file.is_some()),
        ("kafka.security.certificate_file", security.certificate_file.is_some()),
        ("kafka.security.key_file", security.key_file.is_some()),
        ("kafka.security.key_password", security.key_password.is_some()),
    ];
    for (path, given) in sasl {
        if security.protocol.has_sasl() && !given {
            found.say(&[path, "kafka.security.protocol"], format!("\"{protocol}\" needs `{path}`"));
        } else if !security.protocol.has_sasl() && given {
            found.say(&[path, "kafka.security.protocol"], format!("`{path}` has no use with \"{protocol}\""));
        }
    }
    for (path, given) in tls {
        if !security.protocol.has_tls() && given {
            found.say(&[path, "kafka.security.protocol"], format!("`{path}` has no use with \"{protocol}\""));
        }
    }
    if security.certificate_file.is_some() != security.key_file.is_some() {
        found.say(
            &["kafka.security.certificate_file", "kafka.security.key_file"],
            "certificate_file and key_file belong together".to_string(),
        );
    }
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

fn ranges(found: &mut Findings, config: &Config) {
    let (topics, engine, anomaly) = (&config.topics, &config.engine, &config.analysis.anomaly);
    let recommend = &config.analysis.recommend;
    found.duration("kafka.session_timeout", config.kafka.session_timeout, 6 * SECOND, 5 * MINUTE);
    found.duration("kafka.transaction_timeout", config.kafka.transaction_timeout, SECOND, MINUTE);
    found.duration("kafka.connect_timeout", config.kafka.connect_timeout, SECOND, 5 * MINUTE);
    found.bytes("log.partition_bytes_max", config.log.partition_bytes_max, 16 << 20, 1 << 40);
    found.bytes("log.free_bytes_min", config.log.free_bytes_min, 16 << 20, 1 << 40);
    found.number("topics.partitions", topics.partitions, 1, 1024);
    found.number("topics.market_partitions", topics.market_partitions(), 1, 1024);
    found.number("topics.replication", topics.replication.unwrap_or(1), 1, 15);
    found.duration("topics.retention.inputs", topics.retention.inputs, HOUR, 3650 * DAY);
    found.duration("topics.retention.journal", topics.retention.journal, HOUR, 3650 * DAY);
    found.duration("topics.retention.outputs", topics.retention.outputs, HOUR, 3650 * DAY);
    found.duration("topics.retention.alerts_fast", topics.retention.alerts_fast, MINUTE, 30 * DAY);
    found.duration("engine.transaction_interval", engine.transaction_interval, SECOND / 200, SECOND);
    found.bytes("engine.transaction_output_bytes", engine.transaction_output_bytes, 1 << 20, 64 << 20);
    found.duration("engine.lateness", engine.lateness, Duration::ZERO, 7 * DAY);
    if !(86_400_000..=4_102_444_800_000).contains(&engine.event_time_min_ms) {
        found.say(&["engine.event_time_min"], "the moment is outside 1970-01-02 to 2100-01-01".to_string());
    }
    found.number("engine.customers_per_partition_max", engine.customers_per_partition_max, 1_000, 16_000_000);
    found.duration("engine.customer_retention", engine.customer_retention, DAY, 3650 * DAY);
    found.duration("engine.session_gap", engine.session_gap, MINUTE, DAY);
    found.bytes("engine.dead_letter_raw_bytes", engine.dead_letter_raw_bytes, 0, 512 << 10);
    found.bytes("engine.record_bytes_max", engine.record_bytes_max, 1 << 10, 64 << 20);
    found.duration("engine.idle_after", engine.idle_after, SECOND / 10, HOUR);
    found.duration("engine.tick_interval", engine.tick_interval, SECOND / 20, MINUTE);
    found.duration("snapshots.interval", config.snapshots.interval, SECOND, HOUR);
    found.number("snapshots.records", config.snapshots.records, 1_000, 100_000_000);
    found.number("snapshots.keep", config.snapshots.keep, 2, 100);
    found.number("analysis.anomaly.alert_risk_min", anomaly.alert_risk_min, 0, 1000);
    found.duration("analysis.anomaly.alert_cooldown", anomaly.alert_cooldown, Duration::ZERO, 30 * DAY);
    found.duration("analysis.anomaly.entity_risk_half_life", anomaly.entity_risk_half_life, HOUR, 3650 * DAY);
    found.number("analysis.anomaly.waiting_payments_max", anomaly.waiting_payments_max, 100, 10_000_000);
    found.number("analysis.recommend.list_items", recommend.list_items, 1, 10);
    found.duration("analysis.recommend.list_interval", recommend.list_interval, Duration::ZERO, DAY);
    found.duration("analysis.recommend.half_life", recommend.half_life, HOUR, 3650 * DAY);
    found.number("analysis.recommend.items_max", recommend.items_max, 1_000, 10_000_000);
    let churn = &config.analysis.churn;
    found.number("analysis.churn.medium_permille", churn.medium_permille, 0, 1000);
    found.number("analysis.churn.high_permille", churn.high_permille, 0, 1000);
    found.number("analysis.churn.horizon_days", churn.horizon_days, 1, 730);
    found.number("analysis.churn.customers_max", churn.customers_max, 1_000, 200_000);
    found.number("analysis.churn.moments_max", churn.moments_max, 1_000, 5_000_000);
    found.duration("analysis.churn.refit_interval", churn.refit_interval, MINUTE, 30 * DAY);
}

fn relations(found: &mut Findings, config: &Config) {
    let (kafka, engine, retention) = (&config.kafka, &config.engine, &config.topics.retention);
    let churn = &config.analysis.churn;
    if churn.medium_permille > churn.high_permille {
        found.say(
            &["analysis.churn.medium_permille", "analysis.churn.high_permille"],
            format!(
                "medium_permille ({}) must not be above high_permille ({})",
                churn.medium_permille, churn.high_permille
            ),
        );
    }
    if engine.transaction_interval >= kafka.transaction_timeout {
        found.say(
            &["engine.transaction_interval", "kafka.transaction_timeout"],
            format!(
                "transaction_interval ({}) must be shorter than kafka.transaction_timeout ({}): the broker would end every transaction",
                show_duration(engine.transaction_interval),
                show_duration(kafka.transaction_timeout)
            ),
        );
    }
    if kafka.transaction_timeout > kafka.session_timeout {
        found.say(
            &["kafka.transaction_timeout", "kafka.session_timeout"],
            format!(
                "transaction_timeout ({}) must not pass session_timeout ({}): whoever takes over would wait for it",
                show_duration(kafka.transaction_timeout),
                show_duration(kafka.session_timeout)
            ),
        );
    }
    if retention.journal < retention.inputs {
        found.say(
            &["topics.retention.journal", "topics.retention.inputs"],
            format!(
                "the journal ({}) must be kept at least as long as the inputs ({})",
                show_duration(retention.journal),
                show_duration(retention.inputs)
            ),
        );
    }
    if config.snapshots.interval > retention.journal / 10 {
        found.say(
            &["snapshots.interval", "topics.retention.journal"],
            format!(
                "snapshots every {} leave too little of a journal kept {}: at most a tenth",
                show_duration(config.snapshots.interval),
                show_duration(retention.journal)
            ),
        );
    }
    for (path, value) in [("engine.lateness", engine.lateness), ("engine.session_gap", engine.session_gap)] {
        if value >= engine.customer_retention {
            found.say(
                &[path, "engine.customer_retention"],
                format!(
                    "{} ({}) must be shorter than engine.customer_retention ({})",
                    path,
                    show_duration(value),
                    show_duration(engine.customer_retention)
                ),
            );
        }
    }
}
