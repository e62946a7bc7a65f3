//! `habitue evaluate table` on small files whose outcome is known, and on a real one.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::process::{Command, Output};

use habitue::math::rng::Rng;
use serde_json::Value;

use crate::folder::Folder;
use crate::tabular::auc_and_average_precision;

const PHISHING: &str = "tests/data/phishing.csv.gz";

fn evaluate(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_habitue"));
    command.args(["evaluate", "table"]).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
    command.output().unwrap()
}

/// The document; standard error must be empty where it is no terminal.
fn document(arguments: &[&str]) -> Value {
    let output = evaluate(&[arguments, &["--json"]].concat());
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), err.as_str()), (Some(0), ""));
    serde_json::from_slice(&output.stdout).expect("one document and nothing else")
}

/// The document without what a clock says.
fn timeless(arguments: &[&str]) -> Value {
    let mut document = document(arguments);
    for group in ["learners", "baselines"] {
        for measured in document[group].as_object_mut().unwrap().values_mut() {
            let rate = measured.as_object_mut().unwrap().remove("events_per_second").unwrap();
            assert!(rate.as_f64().unwrap() > 0.0);
        }
    }
    document
}

/// What is said on standard error when a command line is refused with `code`.
fn refused(arguments: &[&str], code: i32) -> String {
    let output = evaluate(arguments);
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(code), &b""[..]), "{err}");
    err
}

fn keys(of: &Value) -> BTreeSet<&str> {
    of.as_object().unwrap().keys().map(String::as_str).collect()
}

fn number(of: &Value, name: &str) -> f64 {
    of[name].as_f64().unwrap_or_else(|| panic!("{name} in {of}"))
}

/// Rows of the file of `--scores`: number, score, label.
fn scores(file: &str) -> Vec<(usize, f64, f64)> {
    let text = std::fs::read_to_string(file).unwrap();
    let row = |line: &str| {
        let cells: Vec<f64> = line.split(',').map(|cell| cell.parse().unwrap()).collect();
        assert_eq!(cells.len(), 3);
        (cells[0] as usize, cells[1], cells[2])
    };
    text.lines().map(row).collect()
}

#[test]
fn a_real_table_has_the_numbers_of_its_day() {
    let found = document(&[PHISHING, "--target", "is_phishing", "--learner", "all"]);
    assert_eq!(found["rows"], 1250);
    assert_eq!(keys(&found["learners"]), BTreeSet::from(["default", "logistic_regression"]));
    assert_eq!(keys(&found["baselines"]), BTreeSet::from(["no_change", "prior"]));
    let default = &found["learners"]["default"];
    assert_eq!(default, &found["learners"]["logistic_regression"]);
    let expected = BTreeSet::from([
        "n",
        "positives",
        "auc",
        "average_precision",
        "log_loss",
        "brier",
        "accuracy",
        "ece",
        "bytes",
        "events_per_second",
    ]);
    assert_eq!(keys(default), expected);
    assert_eq!((&default["n"], &default["positives"]), (&Value::from(1250), &Value::from(548)));
    for (name, value) in [("auc", 0.9581), ("log_loss", 0.2627), ("accuracy", 0.8968)] {
        assert!((number(default, name) - value).abs() < 2e-4, "{name}: {}", default[name]);
    }
    // The share of labels that equal the one before, and the entropy of the classes.
    assert!((number(&found["baselines"]["no_change"], "accuracy") - 0.516).abs() < 1e-9);
    assert!((number(&found["baselines"]["prior"], "log_loss") - 0.6886).abs() < 1e-3);
}

#[test]
fn people_get_a_table() {
    let output = evaluate(&[PHISHING, "--target", "is_phishing"]);
    let out = String::from_utf8(output.stdout).unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
    assert!(out.starts_with("1250 rows, 9 features; positive is \"1\"\n\nLEARNER"), "{out}");
    assert!(out.contains("\ndefault ") && out.contains("\n(prior) ") && out.contains("LOG LOSS"), "{out}");
}

#[test]
fn scores_are_those_that_are_measured() {
    let folder = Folder::new("scores");
    let file = folder.file("scores.csv", "");
    let question =
        [PHISHING, "--target", "is_phishing", "--shuffle", "3", "--rows", "1000", "--warmup", "200"];
    let found = document(&[&question[..], &["--scores", &file]].concat());
    assert_eq!((&found["rows"], &found["learners"]["default"]["n"]), (&Value::from(1000), &Value::from(800)));
    let rows = scores(&file);
    assert_eq!(rows.len(), 1000);
    assert_eq!(rows.iter().map(|row| row.0).collect::<BTreeSet<usize>>().len(), 1000, "each row once");
    assert!(rows.iter().any(|row| row.0 > 1000), "rows are cut after shuffling");
    let counted = &rows[200..];
    let labels: Vec<bool> = counted.iter().map(|row| row.2 == 1.0).collect();
    let (auc, _) = auc_and_average_precision(&counted.iter().map(|row| row.1).collect::<Vec<f64>>(), &labels);
    assert!((auc - number(&found["learners"]["default"], "auc")).abs() < 1e-9);
}

#[test]
fn a_seed_fixes_the_order() {
    let with = |seed| timeless(&[PHISHING, "--target", "is_phishing", "--shuffle", seed]);
    assert_eq!(with("1"), with("1"));
    assert_ne!(with("1"), with("2"));
}

/// The labels alternate, so what was last known is always wrong, or always right one row later.
#[test]
fn a_label_arrives_after_its_delay() {
    let folder = Folder::new("delay");
    let rows: String = (0..100).fold("x,y\n".to_owned(), |rows, i| rows + &format!("{},{}\n", i % 7, i % 2));
    let file = folder.file("rows.csv", rows);
    for (delay, accuracy) in [("0", 0.0), ("1", 1.0), ("2", 0.0), ("5", 1.0)] {
        let found = document(&[&file, "--target", "y", "--label-delay", delay, "--warmup", "10"]);
        assert_eq!(number(&found["baselines"]["no_change"], "accuracy"), accuracy, "delay {delay}");
        assert_eq!(found["baselines"]["no_change"]["n"], 90);
    }
}

#[test]
fn nothing_is_learned_before_it_is_scored() {
    let folder = Folder::new("leak");
    let mut rng = Rng::seeded(&[11]);
    let mut rows = String::from("a,b,y\n");
    for _ in 0..4_000 {
        writeln!(rows, "{},{},{}", rng.normal(), rng.below(5), rng.below(2)).unwrap();
    }
    let file = folder.file("rows.csv", rows);
    for how in [&[][..], &["--protocol", "k-fold:5"], &["--task", "anomaly"]] {
        let found = document(&[&[&*file, "--target", "y", "--learner", "all"], how].concat());
        for (name, measured) in found["learners"].as_object().unwrap() {
            let auc = number(measured, "auc");
            assert!((auc - 0.5).abs() < 0.04, "{name}: AUC {auc} on labels by lot");
        }
    }
}

/// All labels of the first half are 0, of the second 1: each fold is scored by what the other taught.
#[test]
fn a_fold_is_scored_by_a_learner_of_the_others() {
    let folder = Folder::new("folds");
    let rows: String = (0..200).fold("x,y\n".to_owned(), |rows, i| rows + &format!("1,{}\n", i / 100));
    let (file, out) = (folder.file("rows.csv", rows), folder.file("scores.csv", ""));
    let found = document(&[&file, "--target", "y", "--protocol", "k-fold:2", "--scores", &out]);
    assert_eq!(number(&found["learners"]["default"], "auc"), 0.0);
    assert_eq!(number(&found["baselines"]["prior"], "auc"), 0.0);
    for (at, (row, score, label)) in scores(&out).into_iter().enumerate() {
        assert_eq!((row, label), (at, (at / 100) as f64));
        assert!(if at < 100 { score > 0.9 } else { score < 0.1 }, "{row} {score}");
    }
    let shuffled = document(&[&file, "--target", "y", "--protocol", "k-fold:7", "--shuffle", "1"]);
    assert_eq!(shuffled["learners"]["default"]["n"], 200);
    assert!((number(&shuffled["baselines"]["prior"], "brier") - 0.25).abs() < 0.01);
}

#[test]
fn categories_and_missing_values_are_features() {
    let folder = Folder::new("categories");
    let mut rng = Rng::seeded(&[12]);
    let mut rows = String::from("id,colour,size,y\n");
    for i in 0..2_000 {
        let (colour, size) = (["red", "green", "\"blue, deep\"", ""][rng.below(4) as usize], rng.normal());
        let is_blue = colour.starts_with('"');
        let y = if is_blue || size > 1.0 { "Yes" } else { "No" };
        let size = if rng.below(5) == 0 { "NA".to_owned() } else { size.to_string() };
        writeln!(rows, "customer-{i},{colour},{size},{y}").unwrap();
    }
    let file = folder.file("rows.csv", rows);
    let found = document(&[&file, "--target", "y"]);
    // Three of four colours and the size; the identifier is none.
    assert_eq!((&found["features"], &found["positive"]), (&Value::from(4), &Value::from("Yes")));
    let auc = number(&found["learners"]["default"], "auc");
    assert!(auc > 0.93, "{auc}");
    let without = document(&[&file, "--target", "y", "--drop", "colour,id"]);
    assert_eq!(without["features"], 1);
    assert!(number(&without["learners"]["default"], "auc") < auc - 0.1);
    let turned = document(&[&file, "--target", "y", "--positive", "No"]);
    assert_eq!(turned["positive"], "No");
}

#[test]
fn files_of_any_form_give_the_same_document() {
    let folder = Folder::new("forms");
    let mut rng = Rng::seeded(&[13]);
    let rows: Vec<(f64, String, u64)> =
        (0..300).map(|_| (rng.normal(), format!("word {}", rng.below(3)), rng.below(2))).collect();
    let lines = |quote: &str, separator: &str, end: &str| {
        let line = |(x, word, y): &(f64, String, u64)| {
            format!("{quote}{x}{quote}{separator}{quote}{word}{quote}{separator}{y}{end}")
        };
        rows.iter().map(line).collect::<String>()
    };
    let plain = format!("x,word,y\n{}", lines("", ",", "\n"));
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut gz, plain.as_bytes()).unwrap();
    let (gz, zst) = (gz.finish().unwrap(), zstd::encode_all(plain.as_bytes(), 3).unwrap());
    let hard = format!("\u{feff}\"x\";\"word\";y\r\n{}\r\n", lines("\"", ";", "\r\n\r\n"));
    let of = |name: &str, bytes: &[u8], form: &[&str]| {
        timeless(&[&[&*folder.file(name, bytes), "--target", "y"], form].concat())
    };
    let expected = of("plain.csv", plain.as_bytes(), &[]);
    assert_eq!((&expected["rows"], &expected["features"]), (&Value::from(300), &Value::from(3)));
    assert_eq!(of("a.csv.gz", &gz, &[]), expected);
    assert_eq!(of("a.csv.zst", &zst, &[]), expected);
    assert_eq!(of("no_ending", &gz, &[]), expected);
    assert_eq!(of("hard.csv", hard.as_bytes(), &["--separator", ";"]), expected);
    let bare = lines("", "\t", "\n");
    assert_eq!(of("bare.tsv", bare.as_bytes(), &["--separator", "tab", "--columns", "x,word,y"]), expected);
}

#[test]
fn odd_rows_are_counted_and_stop_nothing() {
    let folder = Folder::new("odd");
    let mut rows = String::from("x,x,constant,empty,y\n");
    for i in 0..100 {
        writeln!(rows, "{i},{},7,,{}", 100 - i, i % 2).unwrap();
    }
    rows.push_str("1,2,7,,\n1,2,7,,?\n1\n1,2,7,,1,surplus,more\ninf,1e400,-inf,,0\n");
    let mut bytes = rows.into_bytes();
    bytes.extend(b"\xff\xfe,\xe9,7,,1\n");
    let file = folder.file("rows.csv", bytes);
    for task in ["classification", "anomaly"] {
        let found = document(&[&file, "--target", "y", "--task", task]);
        assert_eq!(found["rows"], 103);
        assert_eq!((&found["rows_unlabelled"], &found["rows_ragged"]), (&Value::from(3), &Value::from(2)));
        // Both columns named x are features.
        assert_eq!(found["features"], 3);
    }
    let only = folder.file("only.csv", "y\n0\n1\n0\n1\n");
    for task in ["classification", "anomaly"] {
        assert_eq!(document(&[&only, "--target", "y", "--task", task, "--learner", "all"])["features"], 0);
    }
}

#[test]
fn rows_can_be_put_in_order_of_time() {
    let folder = Folder::new("time");
    let row = |i: usize| format!("2026-01-{:02} 12:00:00.5,{},{}\n", 1 + i % 28, i % 3, i % 2);
    let rows: String = (0..56).rev().map(row).collect();
    let (file, out) = (folder.file("rows.csv", format!("at,x,y\n{rows}")), folder.file("scores.csv", ""));
    let found = document(&[&file, "--target", "y", "--time", "at", "--scores", &out]);
    assert_eq!(found["features"], 1);
    // Row 55 is the first of January, as is row 27, which comes earlier in the file.
    let order: Vec<usize> = scores(&out).into_iter().map(|row| row.0).collect();
    assert_eq!(order[..4], [27, 55, 26, 54]);
    let err = refused(&[&file, "--target", "y", "--time", "x1"], 2);
    assert!(err.contains("no column \"x1\"; did you mean \"x\"?"), "{err}");
    let soon = folder.file("soon.csv", "at,y\nsoon,1\nlater,0\n");
    let err = refused(&[&soon, "--target", "y", "--time", "at"], 1);
    assert!(err.contains("the time of row 0 is \"soon\""), "{err}");
}

#[test]
fn planted_anomalies_stand_out_without_a_label() {
    let folder = Folder::new("anomaly");
    let mut rng = Rng::seeded(&[14]);
    let mut rows = String::from("a,b,kind\n");
    for _ in 0..5_000 {
        let planted = rng.below(100) == 0;
        let shift = if planted { 6.0 } else { 0.0 };
        let kind = if planted { "fraud" } else { "legit" };
        writeln!(rows, "{},{},{kind}", rng.normal() + shift, rng.normal() - shift).unwrap();
    }
    let file = folder.file("rows.csv", rows);
    let found = document(&[&file, "--target", "kind", "--task", "anomaly", "--learner", "all"]);
    assert_eq!(found["positive"], "fraud");
    let default = &found["learners"]["default"];
    let expected = ["n", "positives", "auc", "average_precision", "events_per_second", "bytes"];
    assert_eq!(keys(default), BTreeSet::from(expected));
    assert!(number(default, "auc") > 0.97, "{default}");
    assert!(number(&found["baselines"]["largest_z"], "auc") > 0.97);
    assert!((number(&found["baselines"]["random"], "auc") - 0.5).abs() < 0.15);
    // The delay of labels says nothing to who takes none.
    let question = [&*file, "--target", "kind", "--task", "anomaly"];
    let late = timeless(&[&question[..], &["--label-delay", "500"]].concat());
    assert_eq!(late, timeless(&question));
}

#[test]
fn a_question_that_does_not_fit_is_refused_with_what_there_is() {
    let folder = Folder::new("refused-question");
    let file = folder.file("rows.csv", "age;job;churned\n1;a;yes\n2;b;no\n3;c;maybe\n");
    let with = |arguments: &[&str]| refused(&[&[&*file, "--separator", ";"], arguments].concat(), 2);
    for (arguments, parts) in [
        (
            &["--target", "churn"][..],
            &["no column \"churn\"; did you mean \"churned\"?", "age, job, churned"][..],
        ),
        (&["--target", "churned", "--drop", "zip"], &["no column \"zip\"\n"]),
        (&["--target", "churned"], &["churned: 3 values (\"yes\", \"no\", \"maybe\"): say with --positive"]),
        (&["--target", "churned", "--positive", "never"], &["no row has the value \"never\""]),
        (&["--target", "age", "--task", "regression"], &["no learner", "anomaly and classification"]),
        (
            &["--target", "churned", "--positive", "yes", "--learner", "logistic_regresion"],
            &["no learner \"logistic_regresion\"; did you mean \"logistic_regression\"?", "default"],
        ),
        (
            &["--target", "churned", "--positive", "yes", "--warmup", "3"],
            &["3 rows with a label; 4 are needed"],
        ),
        (&["--target", "churned", "--positive", "yes", "--protocol", "k-fold:5"], &["5 are needed"]),
        (&["--target", "churned", "--protocol", "k-fold:1"], &["k-fold:N with N from 2"]),
        (&["--target", "churned", "--protocol", "k-fold:3", "--warmup", "1"], &["--warmup go with"]),
        (&["--target", "churned", "--rows", "0"], &["a number from 1"]),
    ] {
        let err = with(arguments);
        parts.iter().for_each(|part| assert!(err.contains(part), "{part} in {err}"));
    }
    let err = refused(&[&file, "--target", "churned"], 2);
    assert!(err.contains("one cell: \"age;job;churned\"") && err.contains("--separator"), "{err}");
    let twice = folder.file("twice.csv", "y,y\n1,0\n");
    assert!(refused(&[&twice, "--target", "y"], 2).contains("several columns are named \"y\""));
    let err = refused(&["nowhere.csv", "--target", "y"], 1);
    assert!(err.contains("nowhere.csv: "), "{err}");
    let err = refused(&[PHISHING, "--target", "is_phishing", "--scores", "/nowhere/scores"], 1);
    assert!(err.contains("/nowhere/scores"), "{err}");
    let err = refused(
        &[&file, "--separator", ";", "--target", "churned", "--positive", "yes", "--scores", &file],
        2,
    );
    assert!(err.contains("would overwrite") && std::fs::metadata(&file).unwrap().len() > 0, "{err}");
    let broken = folder.file("broken.csv.gz", &std::fs::read(PHISHING).unwrap()[..2_000]);
    let err = refused(&[&broken, "--target", "is_phishing"], 1);
    assert!(err.contains("broken.csv.gz: "), "{err}");
}
