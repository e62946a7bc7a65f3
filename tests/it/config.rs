//! The configuration: the default file is the code's defaults, and a bad file is refused with every
//! fault it has, each at its place.

use std::path::Path;

use habitue::config::{Config, PUBLISHED, Problem, Refusal, Secret, WireForm};
use habitue::event::Input;
use habitue::signal::Topic;

const DEFAULT_FILE: &str = include_str!("../../deploy/habitue.toml");

fn refusal(text: &str) -> Refusal {
    Config::parse(text, "habitue.toml").expect_err("this configuration must be refused")
}

fn only(text: &str) -> Problem {
    let mut refusal = refusal(text);
    assert_eq!(refusal.problems.len(), 1, "{refusal}");
    refusal.problems.remove(0)
}

#[test]
fn the_default_file_is_the_codes_defaults() {
    let file = Config::read(Path::new("deploy/habitue.toml")).unwrap_or_else(|r| panic!("{r}"));
    assert_eq!(file, Config::default());
    assert_eq!(Config::parse("", "empty").expect("nothing is required"), Config::default());
}

#[test]
fn the_default_file_lists_and_explains_every_option() {
    let lines: Vec<&str> = DEFAULT_FILE.lines().collect();
    let paths = Config::option_paths(DEFAULT_FILE).unwrap_or_else(|r| panic!("{r}"));
    assert!(paths.len() > 50, "the walk over the options has lost some: {}", paths.len());
    for path in paths {
        let (table, option) = path.rsplit_once('.').unwrap_or(("", &path));
        if lines.iter().any(|line| *line == format!("[{path}]") || line.starts_with(&format!("[{path}."))) {
            continue;
        }
        let header = lines.iter().position(|line| *line == format!("[{table}]"));
        let start = header.unwrap_or_else(|| panic!("no table [{table}] for {path}")) + 1;
        let section = lines[start..].iter().take_while(|line| !line.starts_with('['));
        let here = section
            .enumerate()
            .find(|(_, line)| line.trim_start_matches("# ").starts_with(&format!("{option} =")));
        let (index, _) = here.unwrap_or_else(|| panic!("{path} is missing from deploy/habitue.toml"));
        assert!(lines[start + index - 1].starts_with("# "), "{path} has no comment before it");
    }
}

#[test]
fn an_address_is_no_name() {
    let problem = only("[service]\nhttp = \"localhost:9464\"\n");
    assert_eq!((problem.path.as_str(), problem.line), ("service.http", Some(2)));
    assert!(problem.message.contains("such as \"127.0.0.1:9464\""), "{problem:?}");
}

#[test]
fn every_fault_is_reported_at_its_place_with_what_was_meant() {
    let refusal = refusal(
        "[kafka]\n\
         gruop = \"shop\"\n\
         \n\
         [topics]\n\
         partitions = \"eight\"\n\
         [topics.wire]\n\
         purchases = \"avro-confluence\"\n\
         [engine]\n\
         lateness = \"10 minutes\"\n\
         session_gap = \"10s\"\n\
         [snapshot]\n\
         records = 5\n",
    );
    let found: Vec<(&str, Option<usize>, Option<usize>)> =
        refusal.problems.iter().map(|p| (p.path.as_str(), p.line, p.column)).collect();
    assert_eq!(
        found,
        [
            ("kafka.gruop", Some(2), Some(1)),
            ("topics.partitions", Some(5), Some(14)),
            ("topics.wire.purchases", Some(7), Some(13)),
            ("engine.lateness", Some(9), Some(12)),
            ("engine.session_gap", Some(10), Some(15)),
            ("snapshot", Some(11), Some(2)),
        ],
        "{refusal}"
    );
    let helps: Vec<&str> = refusal.problems.iter().map(|p| p.help.as_deref().unwrap_or("")).collect();
    assert_eq!(helps[0], "did you mean `group`?");
    assert_eq!(helps[2], "did you mean `avro-confluent`?");
    assert_eq!(helps[5], "did you mean `snapshots`?");
    let text = refusal.to_string();
    assert!(
        text.contains(" --> habitue.toml:2:1 (kafka.gruop)\n  |\n2 | gruop = \"shop\"\n  | ^^^^^\n"),
        "{text}"
    );
    assert!(text.contains("expected a duration such as \"50ms\""), "{text}");
    assert!(text.ends_with("habitue.toml: 6 errors"), "{text}");
}

#[test]
fn all_faults_of_syntax_are_reported() {
    let refusal = refusal("[kafka\nbrokers = [\"a:1\"\n\n[topics]\npartitions = \n");
    assert!(refusal.problems.len() >= 2, "{refusal}");
    assert!(refusal.problems.iter().all(|p| p.line.is_some()), "{refusal}");
}

#[test]
fn places_are_in_characters_and_keep_tabs() {
    let problem = only("[kafka]\n\"ü\" = 1\n");
    assert_eq!((problem.line, problem.column), (Some(2), Some(1)));
    let refusal = refusal("[kafka]\r\n\tgroup = \"é\" # ü\r\n");
    assert_eq!((refusal.problems[0].line, refusal.problems[0].column), (Some(2), Some(10)));
    assert!(refusal.to_string().contains("2 | \tgroup = \"é\" # ü\n  | \t        ^^^\n"), "{refusal}");
}

#[test]
fn relations_are_checked_and_point_at_what_stands_in_the_file() {
    for (text, path, words) in [
        (
            "[kafka]\ntransaction_timeout = \"1s\"\n[engine]\ntransaction_interval = \"1s\"",
            "engine.transaction_interval",
            "shorter than kafka.transaction_timeout",
        ),
        (
            "[kafka]\ntransaction_timeout = \"7s\"",
            "kafka.transaction_timeout",
            "must not pass session_timeout",
        ),
        ("[topics.retention]\ninputs = \"8d\"", "topics.retention.inputs", "at least as long as the inputs"),
        (
            "[topics.retention]\ninputs = \"1h\"\njournal = \"2h\"\n[snapshots]\ninterval = \"20m\"",
            "snapshots.interval",
            "at most a tenth",
        ),
        (
            "[engine]\nlateness = \"2d\"\ncustomer_retention = \"1d\"",
            "engine.lateness",
            "shorter than engine.customer_retention",
        ),
        ("[service]\nhttp = \"0.0.0.0:9464\"", "service.http", "needs `service.http_token`"),
        ("[service]\ninstance = \"a b\"", "service.instance", "not a name"),
        ("[log]\nfree_bytes_min = \"1 MiB\"", "log.free_bytes_min", "16 MiB"),
        ("[kafka]\nbrokers = [\"a\", \"b:1\", \"c:\"]", "kafka.brokers", "not host:port: \"a\", \"c:\""),
        ("[kafka.names]\nalerts = \"habitue.scores\"", "kafka.names.alerts", "both called"),
        ("[kafka.names]\nalertz = \"x\"", "kafka.names.alertz", "unknown key"),
        (
            "[kafka.client]\n\"isolation.level\" = \"read_uncommitted\"",
            "kafka.client.isolation.level",
            "not free to set",
        ),
        ("[kafka.client]\n\"linger.mss\" = 5", "kafka.client.linger.mss", "No such configuration property"),
        ("[kafka.client]\n\"linger.ms\" = \"soon\"", "kafka.client.linger.ms", "linger.ms"),
        ("[kafka.security]\nca_file = \"ca.pem\"", "kafka.security.ca_file", "no use with"),
        (
            "[kafka.security]\nprotocol = \"ssl\"\nkey_file = \"k\"",
            "kafka.security.key_file",
            "belong together",
        ),
        ("[analysis.anomaly]\nalert_risk_min = 1001", "analysis.anomaly.alert_risk_min", "outside 0 to 1000"),
        ("[engine]\nevent_time_min = 1960-01-01", "engine.event_time_min", "outside"),
        ("[topics]\nmarket_partitions = 0", "topics.market_partitions", "outside 1 to 1024"),
        ("kafka = 5", "kafka", "expected a table"),
    ] {
        let problem = only(text);
        assert_eq!(problem.path, path);
        assert!(problem.message.contains(words), "{}: {}", text, problem.message);
        assert!(problem.line.is_some(), "{text}");
    }
}

#[test]
fn a_fault_is_not_repeated_by_the_relations_it_breaks() {
    // The key that sasl misses is the one that is misspelt; the interval that has no type has no relation.
    let problem = only(
        "[kafka.security]\nprotocol = \"sasl_ssl\"\nmechanism = \"PLAIN\"\nusername = \"u\"\npasword = { env = \"P\" }",
    );
    assert_eq!(problem.help.as_deref(), Some("did you mean `password`?"));
    assert_eq!(only("[engine]\ntransaction_interval = 5").path, "engine.transaction_interval");
}

#[test]
fn secrets_are_references_and_a_secret_in_the_file_is_not_shown() {
    let security =
        "[kafka.security]\nprotocol = \"sasl_ssl\"\nmechanism = \"SCRAM-SHA-512\"\nusername = \"u\"\n";
    let config = Config::parse(&format!("{security}password = {{ env = \"P\" }}"), "f").expect("valid");
    assert_eq!(config.kafka.security.password, Some(Secret::Env("P".to_string())));
    let plain = refusal(&format!("{security}password = \"hunter2\""));
    assert_eq!(plain.problems.len(), 1, "{plain}");
    assert!(!plain.to_string().contains("hunter2"), "{plain}");
    assert!(plain.to_string().contains("{ env = \"NAME\" }"), "{plain}");
    for wrong in ["{ evn = \"P\" }", "{}", "{ env = 5 }", "{ env = \"P\", file = \"f\" }"] {
        let problem = only(&format!("{security}password = {wrong}"));
        assert!(problem.path == "kafka.security.password", "{wrong}: {problem:?}");
    }
}

#[test]
fn secrets_are_fetched_where_they_are() {
    let file = std::env::temp_dir().join(format!("habitue-secret-{}", std::process::id()));
    std::fs::write(&file, "hunter2\r\n").expect("a temporary file");
    assert_eq!(Secret::File(file.clone()).resolve().expect("it is there"), "hunter2");
    std::fs::write(&file, "\n").expect("a temporary file");
    assert!(Secret::File(file.clone()).resolve().is_err());
    std::fs::remove_file(&file).expect("it was there");
    assert!(Secret::File(file).resolve().is_err());
    assert!(Secret::Env("HABITUE_NO_SUCH_VARIABLE".to_string()).resolve().is_err());
}

#[test]
fn values_arrive_as_written() {
    let config = Config::parse(
        "[kafka]\nbrokers = [\"a:1\", \"[::1]:2\"]\ntopic_prefix = \"eu.\"\n[kafka.names]\npurchases = \"shop.orders\"\n\
         [kafka.client]\n\"linger.ms\" = 5\n\"socket.keepalive.enable\" = true\n\
         [topics]\npartitions = 4\n[topics.wire]\nengagements = \"json\"\n",
        "f",
    )
    .unwrap_or_else(|r| panic!("{r}"));
    assert_eq!(config.kafka.topic_name(Topic::Purchases), "shop.orders");
    assert_eq!(config.kafka.topic_name(Topic::DeadLetters), "eu.dead-letters");
    assert_eq!(config.kafka.client["linger.ms"], "5");
    assert_eq!(config.kafka.client["socket.keepalive.enable"], "true");
    assert_eq!(config.topics.market_partitions(), 4);
    assert_eq!(config.topics.wire.input(Input::Engagements), WireForm::Json);
}

#[test]
fn each_engine_and_analysis_setting_is_of_one_kind() {
    let config = Config::default();
    let shaping: Vec<&str> = config.shaping().into_iter().map(|(path, _)| path).collect();
    let published: Vec<&str> = PUBLISHED.iter().map(|(_, path)| *path).collect();
    let local = [
        "engine.transaction_interval",
        "engine.transaction_output_bytes",
        "engine.idle_after",
        "engine.tick_interval",
        "engine.fast_alerts",
    ];
    for path in Config::option_paths(DEFAULT_FILE).expect("the default file is right") {
        if path.starts_with("engine.") || path.starts_with("analysis.anomaly.") {
            let kinds = [&shaping[..], &published[..], &local[..]];
            let count = kinds.iter().filter(|kind| kind.contains(&path.as_str())).count();
            assert_eq!(count, 1, "{path} must be of exactly one kind");
        }
    }
    // The default file says the same; the first line with a mark is its legend.
    for (mark, paths) in [("# [state] ", &shaping), ("# [published] ", &published)] {
        let marked = DEFAULT_FILE.lines().filter(|line| line.starts_with(mark)).count();
        assert_eq!(marked - 1, paths.len(), "{mark}");
    }
}
