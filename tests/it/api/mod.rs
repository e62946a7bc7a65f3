//! `/api/v1` over a real socket, on the log in a folder: what it answers, and that its document says so.

mod document;
mod service;

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::embedded::Folder;
use document::Document;
use service::Service;

fn purchase(id: &str, customer: &str, item: &str, amount_minor: i64) -> Value {
    json!({
        "type": "purchase", "event_id": id, "customer": customer, "order": id, "currency": "EUR",
        "lines": [{ "item": item, "quantity": 1, "unit_price_minor": amount_minor }], "terminal": "T1",
    })
}

#[test]
fn the_document_lists_the_routes_and_the_routes_answer_as_it_says() {
    let document = Document::read(habitue::edge::http::api::OPENAPI);
    let mut routes: Vec<&str> =
        habitue::edge::http::api::routes().into_iter().map(|(path, _)| path).collect();
    routes.sort_unstable();
    assert_eq!(document.paths(), routes);

    let service = Service::start();
    let answers = conversation(&service);
    let mut heard: Vec<(String, String)> = Vec::new();
    for (method, path, status, body) in answers {
        document.check(&method, &path, status, &body);
        heard.push((method, document.template(&path)));
    }
    for (method, path) in document.operations() {
        assert!(heard.contains(&(method.clone(), path.clone())), "{method} {path} was not asked");
    }
}

type Answered = (String, String, u16, Value);

/// Asks everything once at least, with success and without.
fn conversation(service: &Service) -> Vec<Answered> {
    let mut answers: Vec<Answered> = Vec::new();
    let post = |answers: &mut Vec<Answered>, path: &str, body: &Value| -> (u16, Value) {
        let (status, answer) = service.post(path, &body.to_string());
        answers.push(("post".into(), path.into(), status, answer.clone()));
        (status, answer)
    };
    let get = |answers: &mut Vec<Answered>, path: &str| -> (u16, Value) {
        let (status, answer) = service.get(path);
        answers.push(("get".into(), path.into(), status, answer.clone()));
        (status, answer)
    };
    let view =
        json!({ "type": "engagement", "event_id": "v1", "customer": "ada", "kind": "view", "item": "tea" });
    let (status, taken) =
        post(&mut answers, "/api/v1/events", &json!([view, purchase("p1", "ada", "cup", 450)]));
    assert_eq!((status, &taken["accepted"], &taken["rejected"]), (200, &json!(2), &json!(0)));
    let mixed = json!({ "events": [{ "type": "purchas" }, purchase("p2", "ada", "tea", 500), { "type": "purchase" }] });
    let (status, taken) = post(&mut answers, "/api/v1/events", &mixed);
    assert_eq!((status, &taken["accepted"], &taken["rejected"]), (200, &json!(1), &json!(2)));
    let reason = |index: usize| taken["results"][index]["reason"].as_str().unwrap_or_default().to_owned();
    assert!(
        reason(0).contains("did you mean purchase?") && reason(2).starts_with("missing_field"),
        "{taken}"
    );
    let kind = json!({ "type": "engagement", "event_id": "k", "customer": "ada", "kind": "viewed", "time_ms": null });
    let (_, taken) = post(&mut answers, "/api/v1/events", &kind);
    let reason = taken["results"][0]["reason"].as_str().unwrap_or_default();
    assert!(
        reason.starts_with("invalid_value: kind: \"viewed\" is none of view, "),
        "no time is now: {taken}"
    );
    let far = json!({ "type": "purchase", "time_ms": 9_000_000_000_000_i64, "event_id": "x", "order": "x",
        "currency": "EUR", "lines": [{ "item": "i", "quantity": 1, "unit_price_minor": 1 }] });
    let (status, taken) = post(&mut answers, "/api/v1/events", &far);
    assert_eq!(status, 400);
    assert!(
        taken["results"][0]["reason"].as_str().is_some_and(|why| why.starts_with("implausible_time")),
        "{taken}"
    );
    assert_eq!(service.post("/api/v1/events", "no json").0, 400);
    // A retry changes nothing.
    post(&mut answers, "/api/v1/events", &purchase("p1", "ada", "cup", 450));
    let verdict = json!({ "customer": "ada", "event_id": "p1", "verdict": "legitimate" });
    assert_eq!(post(&mut answers, "/api/v1/feedback", &verdict).0, 200);
    assert_eq!(post(&mut answers, "/api/v1/feedback", &json!({ "customer": "ada" })).0, 400);
    // Seconds where milliseconds are meant.
    let long_ago = json!({ "type": "engagement", "time_ms": 1_764_000_000, "event_id": "y", "customer": "ada", "kind": "view" });
    let (status, taken) = post(&mut answers, "/api/v1/events", &long_ago);
    let reason = taken["results"][0]["reason"].as_str().unwrap_or_default();
    assert!(status == 400 && reason.starts_with("implausible_time"), "{taken}");
    // Who is known by a verdict alone has no times.
    post(
        &mut answers,
        "/api/v1/feedback",
        &json!({ "customer": "ghost", "event_id": "z", "verdict": "fraud" }),
    );
    let ghost = service.until("/api/v1/customers/ghost", |ghost| ghost["profile"]["frauds"] == 1);
    assert!(ghost["profile"]["first_ms"].is_null() && ghost["profile"]["last_ms"].is_null(), "{ghost}");

    let ada = service.until("/api/v1/customers/ada", |ada| {
        ada["profile"]["purchases"] == 2 && ada["profile"]["verdicts"] == 1 && ada["scores"][1].is_object()
    });
    assert_eq!((&ada["profile"]["amount_minor"], &ada["profile"]["engagements"]), (&json!(950), &json!(1)));
    get(&mut answers, "/api/v1/customers/ada");
    assert_eq!(get(&mut answers, "/api/v1/customers/nobody").0, 404);
    service.until("/api/v1/items/tea/similar", |similar| similar["items"][0]["item"] == "cup");
    get(&mut answers, "/api/v1/items/tea/similar?limit=3");
    assert_eq!(get(&mut answers, "/api/v1/items/nothing/similar").0, 404);
    // Now that something is known of the items, an order brings a list.
    post(&mut answers, "/api/v1/events", &purchase("p3", "ada", "cup", 450));
    service.until("/api/v1/customers/ada/recommendations", |list| list["published"].is_object());
    get(&mut answers, "/api/v1/customers/ada/recommendations");
    get(&mut answers, "/api/v1/alerts?limit=5&risk_min=10");
    assert_eq!(get(&mut answers, "/api/v1/alerts?before=x").0, 400);
    for (path, status) in [
        ("/api/v1/alerts?limit=abc", 400),
        ("/api/v1/alerts?limit=0", 400),
        ("/api/v1/alerts?limit=501", 400),
        ("/api/v1/alerts?risk_min=1001", 400),
        ("/api/v1/alerts?before=7-0", 400),
        ("/api/v1/customers/%ff", 400),
        ("/api/v1/items/tea/similar?limit=x", 400),
    ] {
        let (found, answer) = get(&mut answers, path);
        assert!(found == status && answer["error"].is_string(), "{path}: {found} {answer}");
    }
    let (status, nothing) = service.get("/api/v1/nothing");
    assert!(status == 404 && nothing["error"].is_string(), "{nothing}");
    assert_eq!(service.post("/api/v1/status", "").0, 405);
    get(&mut answers, "/api/v1/status");
    get(&mut answers, "/api/v1/openapi.json");
    loads(&mut answers, &post, &get);
    let records = service.events("/api/v1/records/purchases?from=start&follow=false", |name| name == "end");
    let orders: Vec<&str> =
        records.iter().filter_map(|(_, record)| record["value"]["order"].as_str()).collect();
    assert_eq!(
        orders.iter().filter(|order| **order == "p1").count(),
        2,
        "the retry is in the log, and dropped"
    );
    answers.push(("get".into(), "/api/v1/records/purchases".into(), 200, Value::Null));
    assert_eq!(get(&mut answers, "/api/v1/records/purchase").0, 404);
    assert_eq!(get(&mut answers, "/api/v1/stream?topics=nothing").0, 400);
    limits(service, &mut answers, &post, &get);
    answers
}

/// What comes through a pipe is sent while the pipe is open, and a bad line takes no other with it.
#[test]
fn a_pipe_is_sent_as_it_comes_and_a_bad_line_is_named() {
    let service = Service::start();
    let mut send = Command::new(env!("CARGO_BIN_EXE_habitue"))
        .args(["send", "--url", service.origin()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = send.stdin.take().unwrap();
    let view = |id: &str| json!({ "type": "engagement", "event_id": id, "customer": "slow", "kind": "view", "item": "tea" });
    let views = |expected: u64| {
        service.until("/api/v1/customers/slow", |slow| slow["profile"]["engagements"] == expected);
    };
    writeln!(pipe, "\u{feff}{}", view("r1")).unwrap();
    views(1);
    writeln!(pipe, "{}\ngarbage\n\n{}\r", view("r2"), view("r3")).unwrap();
    pipe.write_all(b"\xff\n").unwrap();
    writeln!(pipe, "{}", json!({ "type": "engagement", "event_id": "r4", "customer": "slow" })).unwrap();
    views(3);
    drop(pipe);
    let ended = send.wait_with_output().unwrap();
    let (out, err) = (String::from_utf8(ended.stdout).unwrap(), String::from_utf8(ended.stderr).unwrap());
    assert_eq!((ended.status.code(), out.as_str()), (Some(1), "3 taken, 3 refused\n"), "{err}");
    for line in
        ["refused: line 3: malformed", "refused: line 6: malformed", "refused: line 7: missing_field: kind"]
    {
        assert!(err.contains(line), "{line}: {err}");
    }
}

/// Though nobody answers, which is waited for.
#[test]
fn a_wrong_file_is_refused_before_the_service_is_asked() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.path()).unwrap();
    let file = folder.path().join("orders.csv");
    std::fs::write(&file, "at,who\n1600000000,ada\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_habitue"))
        .args(["load", "--url", "http://127.0.0.1:1", "--mapping", "docs/mappings/online_retail.toml"])
        .arg(&file)
        .output()
        .unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(3) && err.contains("there is no column"), "{err}");
}

/// A file that is not in order of time would be taken, and most of it be late.
#[test]
fn files_are_read_through_before_a_load_is_sent() {
    let service = Service::start();
    let folder = Folder::new();
    std::fs::create_dir_all(folder.path()).unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let mapping = file(
        "mapping.toml",
        "[time]\ncolumn = \"at\"\nunit = \"seconds\"\n[constants]\ncurrency = \"EUR\"\n\
         [purchase]\ncustomer = \"who\"\norder = \"order\"\nitem = \"item\"\nprice = \"price\"\n",
    );
    let load = |file: &str| {
        let arguments = ["load", file, "--mapping", &mapping, "--url", service.origin()];
        let output = Command::new(env!("CARGO_BIN_EXE_habitue")).args(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let head = "at,who,order,item,price\n";
    let mixed =
        format!("{head}1600009000,zoe,o1,tea,4.50\n1600009000,zoe,o2,tea,4.50\n1600000000,zoe,o3,tea,4.50\n");
    let (code, out, err) = load(&file("mixed.csv", &mixed));
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    assert!(err.contains("event 3 (time_ms 1600000000000) lies 2.5 hours before one above it"), "{err}");
    assert_eq!(service.get("/api/v1/customers/zoe").0, 404, "nothing was sent");
    // Rows without ids are told from those of another file, and known again.
    let january =
        file("january.csv", &format!("{head}1500000000,yves,o1,tea,1.00\n1500000060,yves,o2,tea,2.00\n"));
    let february = format!(
        "{head}1500000060,yves,o2,tea,2.00\n1500000120,yves,o1,tea,4.00\n1500000120,yves,o3,tea,8.00\n"
    );
    let february = file("february.csv", &february);
    for file in [&january, &february] {
        let (code, out, err) = load(file);
        assert_eq!(code, Some(0), "{out}{err}");
    }
    service.until("/api/v1/customers/yves", |yves| yves["profile"]["amount_minor"] == 1500);
    let (code, _, err) = load(&file("none.csv", &format!("{head}soon,zoe,o1,tea,4.50\n")));
    assert!(code == Some(1) && err.contains("no row could be read as an event"), "{err}");
    let ahead = format!("{head}1600000000,zoe,o1,tea,4.50\n9000000000,zoe,o2,tea,4.50\n");
    let (code, out, err) = load(&file("ahead.csv", &ahead));
    assert_eq!(code, Some(1), "{err}");
    assert!(out.contains(": 1 events taken, 0 had been taken before, 1 refused; 2 rows"), "{out}");
    assert!(out.contains("first refusal: event 2, ") && out.contains(": implausible_time"), "{out}");
}

/// Too many events at once, and too many who read a topic.
fn limits(
    service: &Service,
    answers: &mut Vec<Answered>,
    post: &impl Fn(&mut Vec<Answered>, &str, &Value) -> (u16, Value),
    get: &impl Fn(&mut Vec<Answered>, &str) -> (u16, Value),
) {
    let many: Vec<Value> = (0..=5_000).map(|n| purchase(&format!("m{n}"), "eve", "tea", 100)).collect();
    assert_eq!(post(answers, "/api/v1/events", &json!(many)).0, 413);
    assert_eq!(post(answers, "/api/v1/loads/july?from=0", &json!(many)).0, 413);
    assert_eq!(get(answers, "/api/v1/loads/july").1["position"], 0);

    let path = "/api/v1/records/purchases";
    let held: Vec<_> = (0..habitue::edge::tap::TAPS_MAX).map(|_| service.hold(path)).collect();
    assert_eq!(get(answers, path).0, 429);
    drop(held);
    service.until(&format!("{path}?from=start&follow=false"), |_| true);
}

/// A load goes on where it stopped, and is refused elsewhere.
fn loads(
    answers: &mut Vec<Answered>,
    post: &impl Fn(&mut Vec<Answered>, &str, &Value) -> (u16, Value),
    get: &impl Fn(&mut Vec<Answered>, &str) -> (u16, Value),
) {
    let part = json!([purchase("l1", "bob", "tea", 100), purchase("l2", "bob", "tea", 100)]);
    assert_eq!(get(answers, "/api/v1/loads/june").1["position"], 0);
    assert_eq!(post(answers, "/api/v1/loads/june?from=0", &part).0, 200);
    let (status, refusal) = post(answers, "/api/v1/loads/june?from=0", &part);
    assert_eq!((status, refusal["error"].as_str()), (409, Some("the load is at position 2")));
    assert_eq!(
        post(answers, "/api/v1/loads/june?from=2", &json!([purchase("l3", "bob", "tea", 100)])).0,
        200
    );
    let (_, load) = get(answers, "/api/v1/loads/june");
    assert_eq!((&load["position"], load["watermark_ms"].is_i64()), (&json!(3), true));
}
