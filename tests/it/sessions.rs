//! `habitue evaluate sessions` on a small shipped file, against a slow definition, and on what is no session file.

use std::process::{Command, Output};

use habitue::measure::sessions::METHODS;
use serde_json::{Value, json};

use crate::folder::Folder;
use crate::tabular::data_root;
use slow::Slow;

mod slow;

const TRAIN: &str = "tests/data/serenade_toy/train.txt";
const TEST: &str = "tests/data/serenade_toy/test.txt";

fn evaluate(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_habitue"));
    command.args(["evaluate", "sessions"]).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
    command.output().unwrap()
}

/// The document; standard error must be empty where it is no terminal.
fn document(arguments: &[&str]) -> Value {
    let output = evaluate(&[arguments, &["--json"]].concat());
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), err.as_str()), (Some(0), ""));
    serde_json::from_slice(&output.stdout).expect("one document and nothing else")
}

/// How it ended, and what was said about it.
fn failure(arguments: &[&str]) -> (i32, String) {
    let output = evaluate(arguments);
    assert!(output.stdout.is_empty());
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// Steps, hits and mean reciprocal rank of a method.
fn quality(document: &Value, method: &str) -> (u64, u64, f64) {
    let measured = &document["methods"][method];
    let n = measured["n"].as_u64().unwrap();
    let hits = measured["hit_rate_20"].as_f64().unwrap() * n as f64;
    (n, hits.round() as u64, measured["mrr_20"].as_f64().unwrap())
}

#[test]
fn figures_are_those_of_the_slow_definition_and_do_not_move() {
    // Hits and mean reciprocal rank of METHODS.
    let pinned = [
        ("published", true, [(6, 0.002685), (131, 0.112152), (310, 0.322009), (311, 0.322113)]),
        ("published", false, [(6, 0.002744), (127, 0.107298), (306, 0.319046), (307, 0.319150)]),
        ("shop", true, [(5, 0.003773), (79, 0.098633), (91, 0.116101), (92, 0.116285)]),
        ("shop", false, [(5, 0.003863), (76, 0.093482), (87, 0.110192), (88, 0.110376)]),
    ];
    let slow = Slow::read(TRAIN, TEST);
    for (protocol, online, methods) in pinned {
        let mut arguments = vec!["--train", TRAIN, "--test", TEST, "--method", "all", "--protocol", protocol];
        arguments.extend((!online).then_some("--frozen"));
        let found = document(&arguments);
        assert_eq!((&found["protocol"], &found["online"]), (&json!(protocol), &json!(online)));
        for (method, (hits, mrr)) in METHODS.into_iter().zip(methods) {
            let got = quality(&found, method);
            let expected = slow.quality(method, protocol == "shop", online);
            let what = format!("{protocol} {online} {method}: {got:?}, slowly {expected:?}");
            // Weights are kept in 32 bits, so equal ones may change places.
            assert_eq!(got.0, expected.0, "{what}");
            assert!(got.1.abs_diff(expected.1) <= 1 && (got.2 - expected.2).abs() < 0.001, "{what}");
            assert!(got.1 == hits && (got.2 - mrr).abs() < 1e-6, "{what}");
        }
    }
}

#[test]
fn the_document_has_every_number() {
    let found = document(&["--train", TRAIN, "--test", TEST]);
    assert_eq!(found["train"], json!({ "sessions": 2400, "events": 11574, "empty_lines": 0 }));
    assert_eq!(found["test"], json!({ "sessions": 200, "events": 842, "empty_lines": 0 }));
    assert_eq!(found["items"], json!(5685));
    let methods = found["methods"].as_object().unwrap();
    assert_eq!(methods.keys().collect::<Vec<_>>(), ["default"]);
    let measured = &methods["default"];
    let micros = |key: &str| measured["query_us"][key].as_f64().unwrap();
    assert!(0.0 < micros("p50") && micros("p50") <= micros("p90") && micros("p90") <= micros("p99"));
    assert!(measured["events_per_second"].as_f64().unwrap() > 0.0);
    assert!(measured["bytes"].as_u64().unwrap() > 100_000);
}

#[test]
fn odd_lines_are_no_fault() {
    let folder = Folder::new("sessions-odd");
    // An empty line, a line of blanks, a session of one item, tabs, line ends of Windows, names that are no numbers.
    let train = folder.file("train.txt", "a b\r\n\n  \t \na\ta c\r\nb\nsch\u{f6}n a b");
    let test = folder.file("test.txt", "b\n\na b new b\nnew b\n");
    let found = document(&["--train", &train, "--test", &test, "--method", "item_to_item"]);
    assert_eq!(found["train"], json!({ "sessions": 4, "events": 9, "empty_lines": 2 }));
    assert_eq!(found["test"], json!({ "sessions": 3, "events": 7, "empty_lines": 1 }));
    assert_eq!(found["items"], json!(5));
    // After a comes b. Nothing is known of new, which comes next; then comes b again. In the last session new is
    // known, but only where the one before was learned.
    let (n, hits, _) = quality(&found, "item_to_item");
    assert_eq!((n, hits), (4, 3));
    let frozen = document(&["--train", &train, "--test", &test, "--method", "item_to_item", "--frozen"]);
    assert_eq!(quality(&frozen, "item_to_item").1, 2);
    // In a shop the step back to b does not count.
    let shop =
        document(&["--train", &train, "--test", &test, "--method", "item_to_item", "--protocol", "shop"]);
    let (n, hits, _) = quality(&shop, "item_to_item");
    assert_eq!((n, hits), (3, 2));
}

#[test]
fn compressed_files_give_the_same_figures() {
    let folder = Folder::new("sessions-compressed");
    let plain = std::fs::read(TRAIN).unwrap();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut gz, &plain).unwrap();
    let gz = folder.file("train.gz", gz.finish().unwrap());
    let zst = folder.file("train.zst", zstd::encode_all(&plain[..], 3).unwrap());
    let of = |train: &str| quality(&document(&["--train", train, "--test", TEST]), "default");
    assert_eq!(of(&gz), of(TRAIN));
    assert_eq!(of(&zst), of(TRAIN));
}

#[test]
fn what_cannot_be_measured_is_told() {
    let folder = Folder::new("sessions-errors");
    let (single, empty) = (folder.file("single.txt", "a\nb\n"), folder.file("empty.txt", "\n\n"));
    let (code, told) = failure(&["--train", TRAIN, "--test", &single]);
    assert!(code == 1 && told.contains("no session has two items"), "{code} {told}");
    let (code, told) = failure(&["--train", &empty, "--test", TEST]);
    assert!(code == 1 && told.contains("holds no session"), "{code} {told}");
    let (code, told) = failure(&["--train", "nowhere.txt", "--test", TEST]);
    assert!(code == 1 && told.contains("nowhere.txt"), "{code} {told}");
    let (code, told) = failure(&["--train", TRAIN, "--test", TEST, "--method", "popularty"]);
    assert!(code == 2 && told.contains("did you mean \"popularity\"?"), "{code} {told}");
    let broken = folder.file("broken.gz", [0x1f, 0x8b, 8, 0, 1]);
    let (code, told) = failure(&["--train", &broken, "--test", TEST]);
    assert!(code == 1 && told.contains("broken.gz"), "{code} {told}");
}

/// Bars: half a point under the best item-to-item figures of a separate implementation that learned the same.
#[test]
fn real_sessions_clear_their_bars() {
    for (name, frozen, hit_rate, mrr) in [
        ("diginetica", true, 0.4938, 0.1621),
        ("diginetica", false, 0.5086, 0.1674),
        ("yoochoose1_64", true, 0.6878, 0.2901),
        ("yoochoose1_64", false, 0.6934, 0.2928),
    ] {
        let file = |part: &str| data_root().join(format!("sessions/{name}.{part}.txt.gz"));
        if !file("train").exists() {
            eprintln!(
                "LEFT OUT: {} is not there (HABITUE_DATA names the data folder)",
                file("train").display()
            );
            return;
        }
        let (train, test) = (file("train").display().to_string(), file("test").display().to_string());
        let mut arguments = vec!["--train", &train, "--test", &test, "--method", "item_to_item"];
        arguments.extend(frozen.then_some("--frozen"));
        let found = document(&arguments);
        let (n, hits, rank) = quality(&found, "item_to_item");
        let rate = hits as f64 / n as f64;
        eprintln!("{name}, frozen {frozen}: hit rate {rate:.4}, mean reciprocal rank {rank:.4}");
        assert!(rate >= hit_rate && rank >= mrr, "{name}, frozen {frozen}: {rate} {rank}");
    }
}
