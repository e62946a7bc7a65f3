//! `habitue evaluate orders` as a shell sees it.

use std::io::Read;
use std::process::{Command, Output};

use serde_json::Value;

use crate::folder::Folder;

const CDNOW: &str = "tests/data/CDNOW_sample.txt.gz";

fn run(file: &str, arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_habitue"));
    command.args(["evaluate", "orders", file]).args(arguments.split_whitespace());
    command.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("the binary runs")
}

/// The document, without the one number that is another each time.
fn document(file: &str, arguments: &str) -> Value {
    let output = run(file, &format!("{arguments} --json"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*said), (Some(0), ""), "{arguments}");
    let mut document: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    assert!(document["fit_seconds"].take().as_f64().is_some_and(|seconds| seconds >= 0.0));
    document
}

fn refusal(file: &str, arguments: &str) -> String {
    let output = run(file, arguments);
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(2), &b""[..]), "{arguments}");
    String::from_utf8(output.stderr).expect("text")
}

const AS_PUBLISHED: &str =
    "--columns master,customer,date,cds,dollars --separator space --customer customer --time date";

fn near(value: &Value, expected: f64, by: f64) -> bool {
    value.as_f64().is_some_and(|value| (value - expected).abs() < by)
}

/// The half year and the nine months of the literature. Parameters and log-likelihood are the published ones; the
/// numbers of orders were measured with lifetimes 0.11.3 before this command was written.
#[test]
fn cdnow_is_told_as_by_the_reference() {
    let document = document(CDNOW, &format!("{AS_PUBLISHED} --split 1997-09-30 --horizon 273 --unit weeks"));
    for (key, expected) in
        [("rows", 6_919), ("customers", 2_357), ("orders_in_horizon", 1_882), ("customers_later", 0)]
    {
        assert_eq!(document[key], expected, "{key}");
    }
    let found = &document["parameters"];
    for (key, expected) in [("r", 0.2426), ("alpha", 4.4136), ("a", 0.7929), ("b", 2.4259)] {
        assert!(near(&found[key], expected, 5e-5), "{found}");
    }
    assert!(near(&document["log_likelihood"], -9_582.429, 0.001), "{document}");
    let told = &document["learners"]["default"];
    assert_eq!(told, &document["learners"]["bg_nbd"]);
    assert_eq!((&told["n"], &told["positives"]), (&2_357.into(), &1_673.into()));
    assert!(near(&told["mae"], 0.7855, 5e-5) && near(&told["rmse"], 1.608, 5e-4), "{told}");
    assert!(near(&told["total_ratio"], 1_653.0 / 1_882.0, 3e-4), "{told}");
    let rate = &document["baselines"]["rate"];
    assert!(near(&rate["auc"], 0.7598, 5e-5) && near(&rate["rmse"], 2.212, 5e-4), "{rate}");
    let no_skill = &document["baselines"]["no_skill"];
    assert!(near(&no_skill["auc"], 0.5, 1e-12) && near(&no_skill["ece"], 0.0, 1e-12), "{no_skill}");
    assert!(told["log_loss"].as_f64() < no_skill["log_loss"].as_f64(), "{told} {no_skill}");
    assert!(told["auc"].as_f64() > Some(0.75), "{told}");
}

/// The same orders in every form a time can have, as CSV in another order of lines.
#[test]
fn the_form_of_the_file_changes_nothing() {
    let mut text = String::new();
    let file = std::fs::File::open(CDNOW).expect("it is here");
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("text");
    let mut lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    lines.sort_by_key(|cells| (cells[1], cells[2]));
    let iso = |date: &str| format!("{}-{}-{}", &date[..4], &date[4..6], &date[6..]);
    let seconds = |date: &str| {
        let date = iso(date);
        habitue::config::parse_moment(&date).expect("a date") / 1_000 + 3_600
    };
    let split = "--split 1997-09-30 --horizon 200";
    let published = document(CDNOW, &format!("{AS_PUBLISHED} {split}"));
    let forms: [&dyn Fn(&str) -> String; 4] = [
        &|date| iso(date),
        &|date| format!("{} 23:59", iso(date)),
        &|date| seconds(date).to_string(),
        &|date| format!("{}000", seconds(date)),
    ];
    let folder = Folder::new("orders-form");
    for form in forms {
        let rows: String =
            lines.iter().map(|cells| format!("{},\"{}\"\n", cells[1], form(cells[2]))).collect();
        let file = folder.file("form.csv", format!("who,when\n{rows}"));
        let again = document(&file, &format!("--customer who --time when {split}"));
        assert_eq!(again, published, "{}", form("19970101"));
    }
}

#[test]
fn scores_stand_beside_what_happened() {
    let folder = Folder::new("orders-scores");
    let scores = folder.file("scores.csv", "");
    let document =
        document(CDNOW, &format!("{AS_PUBLISHED} --split 1997-09-30 --horizon 273 --scores {scores}"));
    let text = std::fs::read_to_string(scores).expect("it was written");
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!((rows.len(), rows[0][0]), (2_357, "0001"));
    let churned = rows.iter().filter(|row| row[2] == "1").count();
    assert_eq!(churned, 1_673);
    let log_loss = rows.iter().map(|row| {
        let chance: f64 = row[1].parse().expect("a number");
        -(if row[2] == "1" { chance } else { 1.0 - chance }).ln()
    });
    let log_loss = log_loss.sum::<f64>() / 2_357.0;
    assert!(near(&document["learners"]["bg_nbd"]["log_loss"], log_loss, 1e-9), "{log_loss}");
}

/// Seconds from the beginning of a log, among them one that could be read as 2000-01-01.
#[test]
fn eight_digits_among_seconds_are_seconds() {
    let folder = Folder::new("orders-seconds");
    let file = folder.file("orders.csv", "c,t\na,\na,0\nb,864000\na,20000101\nb,21000000\n");
    let document = document(&file, "--customer c --time t --split 1970-01-31 --horizon 205");
    assert_eq!(
        (&document["customers"], &document["orders_in_horizon"]),
        (&2.into(), &1.into()),
        "{document}"
    );
}

#[test]
fn returns_and_nobody_are_no_orders() {
    let lines = "customer,order,day,pieces\n\
        a,1,2025-01-01,2\na,1,2025-01-01,-1\na,2,2025-01-20,-3\na,3,2025-03-01,1\n\
        b,4,2025-01-05,1\nb,5,2025-01-05,1\nb,6,2025-02-10,1\n\
        c,7,2025-02-20,1\n,8,2025-03-09,1\nguest,9,2025-01-01,4\nd,10,soon,1\n";
    let folder = Folder::new("orders-returns");
    let file = folder.file("orders.csv", lines);
    let document = document(
        &file,
        "--customer customer --order order --time day --amount pieces --guests guest --split 2025-02-15 --horizon 20",
    );
    for (key, expected) in [
        ("rows", 11),
        ("rows_without_customer", 2),
        ("rows_without_time", 1),
        ("customers", 2),
        ("customers_later", 1),
        ("orders", 3),
        ("orders_in_horizon", 1),
    ] {
        assert_eq!(document[key], expected, "{key}: {document}");
    }
}

#[test]
fn tiny_logs_are_measured_too() {
    let logs = [
        ("one customer", "a,2025-01-01\n"),
        ("nobody came back", "a,2025-01-01\nb,2025-01-02\nc,2025-01-02\n"),
        ("all alike", "a,2025-01-01\na,2025-01-03\nb,2025-01-01\nb,2025-01-03\n"),
        ("on the day of the split", "a,2025-01-10\nb,2025-01-10\n"),
    ];
    let folder = Folder::new("orders-tiny");
    for (name, lines) in logs {
        let file = folder.file("orders.csv", format!("c,t\n{lines},2025-12-31\n"));
        let arguments = "--customer c --time t --split 2025-01-10 --horizon 30";
        let document = document(&file, arguments);
        let told = &document["learners"]["default"];
        assert!(told["log_loss"].as_f64().is_some_and(f64::is_finite), "{name}: {document}");
        assert!(told["auc"].is_null() && told["total_ratio"].is_null(), "{name}: one class only: {told}");
        let found = document["parameters"].as_object().expect("four of them");
        assert!(found.values().all(|x| x.as_f64().is_some_and(|x| x > 0.0)), "{name}: {document}");
        let output = run(&file, arguments);
        assert_eq!(output.status.code(), Some(0), "{name}");
    }
}

#[test]
fn what_cannot_be_measured_is_refused_with_the_way_out() {
    let folder = Folder::new("orders-refused");
    let file = folder.file("orders.csv", "customer,time\na,2025-01-01\nb,2025-03-01\n");
    let columns = "--customer customer --time time";
    let said = refusal(&file, &format!("{columns} --split 2025-01-31 --horizon 60"));
    assert!(said.contains("the file ends on 2025-03-01") && said.contains("2025-04-01"), "{said}");
    assert!(said.contains("the last split for this horizon is 2024-12-31"), "{said}");
    let said = refusal(&file, &format!("{columns} --split 2024-12-31 --horizon 30"));
    assert!(said.contains("no customer has ordered by 2024-12-31; 2 ordered later"), "{said}");
    let said = refusal(&file, "--customer custmer --time time --split 2025-01-31 --horizon 29");
    assert!(said.contains("did you mean \"customer\"?"), "{said}");
    let said = refusal(&file, "--customer customer --time customer --split 2025-01-31 --horizon 29");
    assert!(said.contains("the first is \"a\"") && said.contains("20101209"), "{said}");
    for wrong in ["--split soon --horizon 9", "--split 2025-01-01 --horizon 0", "--split 2025-01-01"] {
        refusal(&file, &format!("{columns} {wrong}"));
    }
    let empty = folder.file("empty.csv", "customer,time\n");
    let said = refusal(&empty, &format!("{columns} --split 2025-01-31 --horizon 29"));
    assert!(said.contains("no customer has ordered"), "{said}");
    assert_eq!(
        run("no/such.csv", &format!("{columns} --split 2025-01-31 --horizon 29")).status.code(),
        Some(1)
    );
}

#[test]
fn people_read_the_parameters_and_the_convention() {
    let output = run(CDNOW, &format!("{AS_PUBLISHED} --split 1997-09-30 --horizon 273 --unit weeks"));
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(said.contains("a customer's orders of one day counted as one"), "{said}");
    assert!(
        said.contains("r 0.2426, alpha 4.4136 weeks, a 0.7929, b 2.4259; log-likelihood -9582.429"),
        "{said}"
    );
    assert!(said.lines().any(|line| line.starts_with("(recency) ")), "{said}");
}
