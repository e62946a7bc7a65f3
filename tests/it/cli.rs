//! The command line as a shell sees it.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const COMMANDS: [&[&str]; 24] = [
    &["run"],
    &["load"],
    &["send"],
    &["status"],
    &["explain"],
    &["tap"],
    &["dead-letters"],
    &["dead-letters", "list"],
    &["dead-letters", "show"],
    &["snapshots"],
    &["snapshots", "totals"],
    &["completions"],
    &["backtest"],
    &["demo"],
    &["evaluate"],
    &["evaluate", "table"],
    &["evaluate", "orders"],
    &["evaluate", "sessions"],
    &["validate"],
    &["verify"],
    &["topics"],
    &["topics", "plan"],
    &["topics", "create"],
    &["version"],
];

fn habitue(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_habitue"));
    command.args(arguments).env_remove("HABITUE_CONFIG").current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

fn run(arguments: &[&str]) -> Output {
    habitue(arguments).output().expect("the binary runs")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it was not killed")
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

/// A file that goes away.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> File {
        let file = std::env::temp_dir().join(format!("habitue-{}-{name}", std::process::id()));
        std::fs::write(&file, text).expect("a temporary file");
        File(file)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a plain path")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_valid_file_is_said_to_be_valid() {
    let output = run(&["validate", "deploy/habitue.toml"]);
    assert_eq!((code(&output), out(&output).as_str()), (0, "deploy/habitue.toml: valid\n"));
    assert_eq!(err(&output), "");
}

#[test]
fn a_refused_file_is_exit_code_3_with_every_error() {
    let file = File::new("bad.toml", "[kafka]\ngruop = \"x\"\n[engine]\nlateness = 5\n");
    let output = run(&["validate", file.path()]);
    assert_eq!((code(&output), out(&output).as_str()), (3, ""));
    let said = err(&output);
    assert!(said.contains("bad.toml:2:1 (kafka.gruop)") && said.contains("bad.toml:4:12"), "{said}");
    assert!(said.trim_end().ends_with("2 errors"), "{said}");
    assert!(!said.contains('\x1b'), "no colours in a pipe: {said}");

    let output = run(&["validate", file.path(), "--format", "json"]);
    assert_eq!((code(&output), err(&output).as_str()), (3, ""));
    let document: Value = serde_json::from_str(&out(&output)).expect("one JSON document");
    assert_eq!(document["valid"], false);
    assert_eq!(document["problems"][0]["path"], "kafka.gruop");
    assert_eq!(document["problems"][0]["line"], 2);
    assert_eq!(document["problems"][0]["help"], "did you mean `group`?");
    assert_eq!(document["problems"][1]["column"], 12);

    let output = run(&["topics", "plan", "--config", file.path()]);
    assert_eq!(code(&output), 3);
    let output = run(&["validate", "no/such/file.toml"]);
    assert_eq!(code(&output), 3);
    assert!(err(&output).contains("no/such/file.toml"), "{}", err(&output));
}

#[test]
fn the_environment_is_checked_only_when_asked() {
    let file = File::new(
        "secret.toml",
        "[service]\nhttp_token = { env = \"HABITUE_NO_SUCH_VARIABLE\" }\n[topics]\nschemas = \"/no/such\"\n",
    );
    assert_eq!(code(&run(&["validate", file.path()])), 0);
    let output = run(&["validate", file.path(), "--environment"]);
    assert_eq!(code(&output), 3);
    let said = err(&output);
    assert!(said.contains("HABITUE_NO_SUCH_VARIABLE") && said.contains("/no/such"), "{said}");
    let mut command = habitue(&["validate", file.path(), "--environment", "--format", "json"]);
    let output = command.env("HABITUE_NO_SUCH_VARIABLE", "x").output().expect("it runs");
    let document: Value = serde_json::from_str(&out(&output)).expect("one JSON document");
    assert_eq!(document["missing"].as_array().map(Vec::len), Some(1), "{document}");
}

#[test]
fn a_wrong_command_line_is_exit_code_2() {
    for wrong in [
        &[][..],
        &["destroy"],
        &["validate"],
        &["topics"],
        &["version", "--loud"],
        &["dead-letters", "list", "--reason", "lat"],
    ] {
        let output = run(wrong);
        assert_eq!((code(&output), out(&output).as_str()), (2, ""), "{wrong:?}");
    }
}

#[test]
fn every_help_has_an_example_and_the_first_names_all_exit_codes() {
    for command in COMMANDS {
        let output = run(&[command, &["--help"]].concat());
        assert_eq!((code(&output), err(&output).as_str()), (0, ""), "{command:?}");
        let said = out(&output);
        let example = format!("  habitue {}", command.join(" "));
        assert!(said.contains("Example") && said.contains(&example), "{command:?}\n{said}");
    }
    let help = out(&run(&["--help"]));
    let errors = std::fs::read_to_string(Path::new("docs/errors.md")).expect("docs/errors.md");
    for code in 0..=5 {
        assert!(help.contains(&format!("\n  {code}  ")), "{help}");
        assert!(errors.contains(&format!("\n| {code} | ")), "docs/errors.md has no code {code}");
    }
}

#[test]
fn the_plan_lists_every_topic_with_its_reason() {
    let output = run(&["topics", "plan", "--config", "deploy/habitue.toml"]);
    assert_eq!(code(&output), 0, "{}", err(&output));
    let said = out(&output);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 14, "{said}");
    assert!(lines[0].starts_with("TOPIC"), "{said}");
    let models = lines.iter().find(|line| line.starts_with("habitue.models ")).expect("models");
    let cells: Vec<&str> = models.split_whitespace().take(5).collect();
    assert_eq!(cells, ["habitue.models", "8", "compact", "forever", "1048588"]);

    let mut command = habitue(&["topics", "plan", "--format", "json"]);
    let output = command.env("HABITUE_CONFIG", "deploy/habitue.toml").output().expect("it runs");
    let document: Value = serde_json::from_str(&out(&output)).expect("one JSON document");
    let journal = &document["topics"][3];
    assert_eq!(journal["name"], "habitue.journal");
    assert_eq!(journal["settings"]["retention.ms"], "604800000");
    assert!(journal.get("state").is_none(), "nobody was asked: {journal}");
}

#[test]
fn a_broker_that_does_not_answer_is_exit_code_5() {
    let file = File::new("nobody.toml", "[kafka]\nbrokers = [\"127.0.0.1:1\"]\nconnect_timeout = \"1s\"\n");
    for command in [&["topics", "plan", "--connect"][..], &["topics", "create"], &["verify"]] {
        let output = run(&[command, &["--config", file.path()]].concat());
        assert_eq!((code(&output), out(&output).as_str()), (5, ""), "{}", err(&output));
        for words in ["the log does not answer", "127.0.0.1:1", "Connection refused", "kafka.brokers"] {
            assert!(err(&output).contains(words), "{words}: {}", err(&output));
        }
    }
}

#[test]
fn what_a_configuration_names_is_asked_for() {
    let nobody =
        File::new("unheard.toml", "[kafka]\nbrokers = [\"127.0.0.1:1\"]\nconnect_timeout = \"1s\"\n");
    let output = run(&["validate", nobody.path(), "--connect"]);
    assert_eq!(code(&output), 5, "{}", out(&output));
    assert!(
        out(&output).contains("FAILED: broker:") && !out(&output).contains("topics:"),
        "{}",
        out(&output)
    );
    let folder = crate::embedded::Folder::new();
    let at = folder.path().display();
    let text = format!("[log]\nfolder = \"{at}/log\"\n[snapshots]\nfolder = \"{at}/snapshots\"\n");
    let file = File::new("folder.toml", &text);
    let output = run(&["validate", file.path(), "--connect", "--format", "json"]);
    let document: Value = serde_json::from_str(&out(&output)).expect("one JSON document");
    assert_eq!((code(&output), &document["valid"]), (0, &Value::Bool(true)), "{document}");
    let checks = document["checks"].as_array().expect("checks");
    assert!(checks.len() == 3 && checks.iter().all(|check| check["ok"] == true), "{document}");
    assert!(!folder.path().exists(), "nothing is made");
}

/// Where there is no log and no snapshot, nothing is made and nothing is said to be right.
#[test]
fn what_only_reads_makes_nothing() {
    let folder = crate::embedded::Folder::new();
    std::fs::create_dir_all(folder.path()).expect("a folder");
    for arguments in [&["verify"][..], &["snapshots", "totals"]] {
        let output = habitue(arguments).current_dir(folder.path()).output().expect("the binary runs");
        assert_eq!(code(&output), 4, "{arguments:?}: {}", err(&output));
        assert!(out(&output).is_empty() && err(&output).contains("is not there"), "{}", err(&output));
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("it is there").count(), 0);
}

#[test]
fn the_version_names_the_client() {
    let said = out(&run(&["version"]));
    let start = format!("habitue {}", env!("CARGO_PKG_VERSION"));
    assert!(said.starts_with(&start) && said.contains(", librdkafka 2."), "{said}");
    let document: Value =
        serde_json::from_str(&out(&run(&["version", "--format", "json"]))).expect("one JSON document");
    assert_eq!(document["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn a_reader_that_stops_reading_is_no_error() {
    let mut child = habitue(&["topics", "plan", "--config", "deploy/habitue.toml"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().expect("it is piped").read_to_string(&mut said).expect("text");
    assert_eq!((child.wait().expect("it ends").code(), said.as_str()), (Some(0), ""));
}
