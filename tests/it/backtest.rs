//! `habitue backtest` on small files whose outcome was counted by hand or by the slow definition.

use std::collections::BTreeMap;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::folder::Folder;

const FIXTURES: &str = "tests/it/backtest";
const PAYMENT_COLUMNS: &str = "id,seconds,customer,terminal,amount,fraud";
const PAYMENTS: &str = r#"
[time]
column = "seconds"
epoch = 2018-04-01
[constants]
currency = "EUR"
item = "payment"
[purchase]
event_id = "id"
customer = "customer"
terminal = "terminal"
price = "amount"
[label]
column = "fraud"
fraud = "1"
delay = "2d"
"#;

fn backtest(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_habitue"));
    command.arg("backtest").args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
    command.output().unwrap()
}

/// The document; standard error must be empty where it is no terminal.
fn document(arguments: &[&str]) -> Value {
    let output = backtest(&[arguments, &["--json"]].concat());
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), err.as_str()), (Some(0), ""));
    serde_json::from_slice(&output.stdout).expect("one document and nothing else")
}

fn fixture(name: &str) -> String {
    format!("{FIXTURES}/{name}")
}

#[test]
fn lines_become_orders_and_everything_else_is_counted() {
    let folder = Folder::new("orders");
    let totals = folder.file("customers.csv", "");
    let mapping = "docs/mappings/online_retail.toml";
    let found = document(&[&fixture("orders.csv"), "--mapping", mapping, "--customers", &totals]);
    assert_eq!(found["rows"], json!(13));
    assert_eq!(found["events"], json!(7));
    assert_eq!(found["applied"], json!({ "purchases": 4, "engagements": 0, "feedback": 0 }));
    assert_eq!(found["guests"], json!(1));
    // The bad debt and the line of no quantity; and the last order, which is older than the lateness.
    assert_eq!(found["dead_letters"], json!({ "invalid_value": 2, "late": 1 }));
    assert_eq!(
        found["left_out"],
        json!({ "unreadable_price": 1, "unreadable_quantity": 1, "unreadable_time": 1 })
    );
    let expected = "\
customer,first_ms,last_ms,purchases,units,amount_minor,refunds,refunded_minor,engagements,feedbacks,frauds
13085,1260000000000,1260003600000,1,15,1696,1,695,0,0,0
13086,1260090000000,1260090000000,1,3,300,0,0,0,0,0
";
    assert_eq!(std::fs::read_to_string(&totals).unwrap(), expected);
}

#[test]
fn compressed_files_give_the_same_document() {
    let folder = Folder::new("compressed");
    let plain = std::fs::read(fixture("orders.csv")).unwrap();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut gz, &plain).unwrap();
    let gz = folder.file("orders.csv.gz", gz.finish().unwrap());
    let zst = folder.file("orders.csv.zst", zstd::encode_all(&plain[..], 3).unwrap());
    let mapping = "docs/mappings/online_retail.toml";
    let told = |file: &str| {
        let mut document = document(&[file, "--mapping", mapping]);
        for clocked in ["seconds", "events_per_second_per_core"] {
            assert!(document[clocked].as_f64().unwrap() > 0.0);
            document[clocked] = Value::Null;
        }
        document
    };
    let expected = told(&fixture("orders.csv"));
    assert_eq!(told(&gz), expected);
    assert_eq!(told(&zst), expected);
}

#[test]
fn scores_are_joined_with_labels_and_know_of_none_that_had_not_arrived() {
    let folder = Folder::new("labels");
    let mapping = |name: &str, delay: &str| folder.file(name, PAYMENTS.replace("2d", delay));
    let (file, columns) = (fixture("payments.csv"), ["--columns", PAYMENT_COLUMNS]);
    let run = |mapping: &str| {
        let found = document(&[&[&*file, "--mapping", mapping], &columns[..]].concat());
        assert_eq!(found["applied"]["purchases"], json!(6000));
        assert_eq!(found["applied"]["feedback"], json!(6000));
        assert_eq!(found["dead_letters"], json!({}));
        found["analyses"]["anomaly"].clone()
    };
    let soon = run(&mapping("soon.toml", "2d"));
    let never = run(&mapping("never.toml", "3650d"));
    let text = std::fs::read_to_string(&file).unwrap();
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    let frauds = rows.iter().filter(|row| row[5] == "1").count();
    let default = &soon["learners"]["default"];
    assert_eq!((default["n"].as_u64(), default["positives"].as_u64()), (Some(6000), Some(frauds as u64)));
    // The baseline of the amount by its slow definition over pairs.
    let amount = |row: &[&str]| row[4].parse::<f64>().unwrap();
    let (bad, good): (Vec<&Vec<&str>>, Vec<&Vec<&str>>) = rows.iter().partition(|row| row[5] == "1");
    let wins: f64 = bad
        .iter()
        .flat_map(|b| good.iter().map(|g| amount(b).partial_cmp(&amount(g)).unwrap()))
        .map(|order| [0.0, 0.5, 1.0][(order as i8 + 1) as usize])
        .sum();
    let auc = wins / (bad.len() * good.len()) as f64;
    assert!((soon["baselines"]["amount"]["auc"].as_f64().unwrap() - auc).abs() < 1e-6);
    // A verdict of two days ago tells of the terminal; one that has not come tells nobody anything.
    let precision = |of: &Value| of["average_precision"].as_f64().unwrap();
    assert!(precision(&soon["learners"]["default"]) > precision(&never["learners"]["default"]));
    assert!((never["baselines"]["entity_share"]["auc"].as_f64().unwrap() - 0.5).abs() < 1e-9);
    assert!(soon["baselines"]["entity_share"]["auc"].as_f64().unwrap() > 0.6);
}

#[test]
fn several_files_are_merged_in_time() {
    let folder = Folder::new("merge");
    let header = "what,ts,who,thing,price,id,said\n";
    let sold = folder.file("sold.csv", format!("{header}order,100,a,x,1.00,o1,\norder,9000,a,y,2.00,o2,\n"));
    let rest = folder.file(
        "rest.csv",
        format!("{header}look,50,a,x,,,\nlook,8000,b,x,,,\nverdict,8500,a,,,o1,bad\nnoise,8600,a,,,,\n"),
    );
    let mapping = folder.file(
        "mapping.toml",
        r#"
[time]
column = "ts"
epoch = 2026-01-01
[constants]
currency = "EUR"
kind = "view"
[purchase]
rows = { column = "what", values = ["order"] }
event_id = "id"
customer = "who"
item = "thing"
price = "price"
[engagement]
rows = { column = "what", values = ["look"] }
customer = "who"
item = "thing"
[feedback]
rows = { column = "what", values = ["verdict"] }
customer = "who"
event_id = "id"
verdict = "said"
fraud = "bad"
"#,
    );
    let totals = folder.file("customers.csv", "");
    // In any other order the events of one file would be late for those of the other.
    let found = document(&[&rest, &sold, "--mapping", &mapping, "--customers", &totals]);
    assert_eq!(found["applied"], json!({ "purchases": 2, "engagements": 2, "feedback": 1 }));
    assert_eq!((&found["dead_letters"], &found["left_out"]), (&json!({}), &json!({ "no_kind": 1 })));
    let totals = std::fs::read_to_string(&totals).unwrap();
    let frauds: BTreeMap<&str, &str> = totals
        .lines()
        .skip(1)
        .map(|line| (line.split(',').next().unwrap(), line.rsplit(',').next().unwrap()))
        .collect();
    assert_eq!(frauds, BTreeMap::from([("a", "1"), ("b", "0")]));
}

/// Counted by hand: every order is of a day of its own, and time between orders passes for who is silent.
#[test]
fn order_days_and_silence_are_moments_of_churn() {
    let folder = Folder::new("churn");
    let days = [(0, "a"), (1, "b"), (100, "a"), (200, "c")];
    let lines = days.map(|(day, customer)| format!("o{day},{},{customer},1.00\n", day * 86_400));
    let file = folder.file("orders.csv", format!("id,seconds,customer,amount\n{}", lines.concat()));
    let mapping = folder.file(
        "mapping.toml",
        r#"
[time]
column = "seconds"
epoch = 2026-01-01
[constants]
currency = "EUR"
item = "thing"
[purchase]
event_id = "id"
customer = "customer"
price = "amount"
"#,
    );
    let found = document(&[&file, "--mapping", &mapping]);
    let churn = &found["analyses"]["churn"];
    // The horizon of c's order is not over.
    assert_eq!((&churn["moments"], &churn["labelled"]), (&json!(4), &json!(3)));
    // Eleven in 90 days, then every 30: twice those of a up to day 190, and those of b up to day 181; up to day 109
    // they have a label.
    let silent = &churn["in_silence"];
    assert_eq!((&silent["moments"], &silent["labelled"]), (&json!(11 + 11 + 14), &json!(11 + 4 + 11)));
    // Three customers are too few for a model.
    assert_eq!((&churn["learners"], &churn["baselines"]), (&json!({}), &json!({})));
}

/// The second session begins while the first still views.
#[test]
fn lines_of_sessions_become_visitors_who_view() {
    let folder = Folder::new("visitors");
    let mapping = folder.file("mapping.toml", "[sessions]\nsession_gap = \"1m\"\nview_gap = \"40s\"\n");
    let train = folder.file("train.txt", "a b a\r\n\n c\tb \n");
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut gz, b"a c\na b a").unwrap();
    let test = folder.file("test.txt.gz", gz.finish().unwrap());
    let totals = folder.file("customers.csv", "");
    let run = || {
        let mut found = document(&[&train, &test, "--mapping", &mapping, "--customers", &totals]);
        for clocked in ["seconds", "events_per_second_per_core"] {
            found[clocked].take();
        }
        found
    };
    let found = run();
    assert_eq!(found["applied"], json!({ "purchases": 0, "engagements": 10, "feedback": 0 }));
    assert_eq!((&found["rows"], &found["left_out"]), (&json!(5), &json!({ "empty_line": 1 })));
    assert_eq!((&found["dead_letters"], &found["duplicates"]), (&json!({}), &json!(0)));
    let written = std::fs::read_to_string(&totals).unwrap();
    let visitors: Vec<Vec<&str>> = written.lines().map(|line| line.split(',').collect()).skip(1).collect();
    let visits: Vec<_> = visitors.iter().map(|row| (row[0], row[1], row[2], row[8])).collect();
    // The empty line is nobody's, and takes no time.
    assert_eq!(
        visits,
        [
            ("1", "946684800000", "946684880000", "3"),
            ("3", "946684860000", "946684900000", "2"),
            ("4", "946684920000", "946684960000", "2"),
            ("5", "946684980000", "946685060000", "3"),
        ]
    );
    assert_eq!(found, run(), "the same again");
}

#[test]
fn sessions_are_rated_beside_their_baselines() {
    let mapping = "docs/mappings/sessions.toml";
    let files = ["train", "test"].map(|part| format!("tests/data/serenade_toy/{part}.txt"));
    let found = document(&[&files[0], &files[1], "--mapping", mapping]);
    assert_eq!(found["applied"]["engagements"], json!(11_574 + 842));
    let recommend = &found["analyses"]["recommend"];
    let of = |group: &str, name: &str, key: &str| recommend[group][name][key].as_f64().unwrap();
    assert_eq!(of("learners", "default", "n"), of("baselines", "popularity", "n"));
    assert!(
        of("learners", "default", "hit_rate_10") > 2.0 * of("baselines", "popularity", "hit_rate_10"),
        "{recommend}"
    );
    assert!(
        of("learners", "seen", "hit_rate_10") > 0.1,
        "what was looked at lately is shown again: {recommend}"
    );
    // The visitor's own items by the slow definition. The few steps before there was a list are not rated.
    let text: String = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let (mut steps, mut again) = (0.0, 0.0);
    for line in text.lines() {
        let items: Vec<&str> = line.split_whitespace().collect();
        for at in 1..items.len() {
            let mut recent: Vec<&str> = Vec::new();
            for item in items[..at].iter().rev() {
                if !recent.contains(item) && recent.len() < 10 {
                    recent.push(item);
                }
            }
            steps += 1.0;
            again += f64::from(u8::from(recent.contains(&items[at])));
        }
    }
    let rated = of("baselines", "own_recent", "n");
    assert!(steps - 20.0 < rated && rated <= steps, "{rated} of {steps}");
    assert!((of("baselines", "own_recent", "hit_rate_10") - again / steps).abs() < 0.002, "{recommend}");
}

#[test]
fn a_line_that_is_no_session_is_named() {
    let folder = Folder::new("no-sessions");
    let good = folder.file("good.txt", "a b\n");
    let mapping = "docs/mappings/sessions.toml";
    for (name, bytes, reason) in [
        ("latin.txt", &b"a b\na sch\xf6n\n"[..], "latin.txt: line 2: byte 6 is not UTF-8"),
        ("zero.txt", b"a\n\nb c\0\n", "zero.txt: line 3: the item \"c\\0\" has a control character"),
        ("broken.gz", &[0x1f, 0x8b, 8, 0, 1], "broken.gz: line 1: "),
    ] {
        let file = folder.file(name, bytes);
        let output = backtest(&[&good, &file, "--mapping", mapping]);
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]), "{err}");
        assert!(err.contains(reason), "{err}");
    }
}

#[test]
fn what_is_said_of_columns_is_refused_where_lines_are_sessions() {
    for said in [["--columns", "a,b"], ["--separator", "tab"]] {
        let output = backtest(&["nowhere.txt", "--mapping", "docs/mappings/sessions.toml", said[0], said[1]]);
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{err}");
        assert!(err.contains("by the mapping a line is a session"), "{err}");
    }
}

#[test]
fn a_wrong_clock_of_sessions_is_refused() {
    let folder = Folder::new("sessions-mapping");
    for (text, line, reason) in [
        ("[time]\ncolumn = \"at\"\n[sessions]\n", 3, "lines of sessions have no columns"),
        ("[sessions]\nview_gap = \"0s\"\n", 2, "no time would pass"),
        ("[sessions]\nsession_gap = \"5\"\n", 2, "a duration such as"),
    ] {
        let output = backtest(&["nowhere.txt", "--mapping", &folder.file("mapping.toml", text)]);
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{err}");
        assert!(err.contains(reason) && err.contains(&format!("mapping.toml:{line}:")), "{err}");
    }
}

#[test]
fn a_wrong_mapping_is_refused_with_line_and_column() {
    let folder = Folder::new("refused");
    let text = PAYMENTS.replace("event_id", "event-id").replace("\"EUR\"", "\"euro\"");
    let mapping = folder.file("mapping.toml", text);
    let output = backtest(&[&fixture("orders.csv"), "--mapping", &mapping]);
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{err}");
    assert!(output.stdout.is_empty());
    for part in
        ["unknown key `event-id`", "did you mean `event_id`?", "mapping.toml:9:1", "mapping.toml:6:12"]
    {
        assert!(err.contains(part), "{part} in {err}");
    }
}

#[test]
fn a_file_without_the_columns_is_refused_with_those_it_has() {
    let folder = Folder::new("columns");
    let mapping = folder.file("mapping.toml", PAYMENTS);
    let output = backtest(&[&fixture("orders.csv"), "--mapping", &mapping]);
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{err}");
    assert!(err.contains("there is no column \"id\"; the file has Invoice, StockCode"), "{err}");
}

/// A file may be without what another has; what none has is a slip.
#[test]
fn a_kind_of_event_that_no_file_has_is_refused() {
    let folder = Folder::new("kinds");
    let text = "[time]\ncolumn = \"at\"\nunit = \"seconds\"\n[constants]\ncurrency = \"EUR\"\n\
        [purchase]\ncustomer = \"who\"\norder = \"order\"\nitem = \"item\"\nprice = \"price\"\n\
        [engagement]\ncustomer = \"who\"\nkind = \"did\"\nitem = \"item\"\n";
    let views = folder.file("views.csv", "at,who,did,item\n1600000000,ada,view,tea\n");
    let orders = folder.file("orders.csv", "at,who,order,item,price\n1600000100,ada,o1,tea,4.50\n");
    let mapping = folder.file("mapping.toml", text);
    let output = backtest(&[&views, "--mapping", &mapping]);
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{err}");
    assert!(err.contains("no file has the events of [purchase]: there is no column"), "{err}");
    assert!(err.contains("Give all files at once"), "{err}");
    assert_eq!(document(&[&views, &orders, "--mapping", &mapping])["events"], 2);
}

#[test]
fn the_shipped_mappings_are_valid() {
    for file in std::fs::read_dir("docs/mappings").unwrap() {
        let file = file.unwrap().path();
        habitue::config::Mapping::read(&file).unwrap_or_else(|refusal| panic!("{refusal}"));
    }
}
