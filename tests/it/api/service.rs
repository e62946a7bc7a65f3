//! One process of the binary, on the log in a folder.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::embedded::Folder;

const PATIENCE: Duration = Duration::from_secs(60);

pub struct Service {
    process: Child,
    origin: String,
    _folder: Folder,
}

impl Service {
    /// Returns once it answers.
    pub fn start() -> Service {
        let folder = Folder::new();
        std::fs::create_dir_all(folder.path()).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let at = folder.path().display();
        let text = format!(
            "[service]\nhttp = \"127.0.0.1:{port}\"\nshards = 1\n[log]\nfolder = \"{at}/log\"\nfree_bytes_min = \"16 MiB\"\n\
             [snapshots]\nfolder = \"{at}/snapshots\"\n[topics]\npartitions = 2\n[analysis.anomaly]\npublish_scores = true\n"
        );
        let config = folder.path().join("habitue.toml");
        std::fs::write(&config, text).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_habitue"))
            .args(["run", "--config"])
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let service = Service { process, origin: format!("http://127.0.0.1:{port}"), _folder: folder };
        service.until("/api/v1/status", |status| status["ready"] == "ready");
        service
    }

    pub fn origin(&self) -> &str {
        &self.origin
    }

    pub fn get(&self, path: &str) -> (u16, Value) {
        answer(agent().get(format!("{}{path}", self.origin)).call())
    }

    pub fn post(&self, path: &str, body: &str) -> (u16, Value) {
        let request =
            agent().post(format!("{}{path}", self.origin)).header("content-type", "application/json");
        answer(request.send(body))
    }

    /// Asks until the answer is as wanted.
    pub fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let (status, found) = self.get(path);
            if status == 200 && wanted(&found) {
                return found;
            }
            assert!(begun.elapsed() < PATIENCE, "{path}: {status} {found}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// An answer that has begun and is not read.
    pub fn hold(&self, path: &str) -> ureq::http::Response<ureq::Body> {
        let response = agent().get(format!("{}{path}", self.origin)).call().unwrap();
        assert_eq!(response.status(), 200);
        response
    }

    /// Server-sent events, to the one that ends it.
    pub fn events(&self, path: &str, is_end: impl Fn(&str) -> bool) -> Vec<(String, Value)> {
        let mut response = agent().get(format!("{}{path}", self.origin)).call().unwrap();
        let (mut events, mut name) = (Vec::new(), String::new());
        for line in BufReader::new(response.body_mut().as_reader()).lines() {
            let line = line.unwrap();
            if let Some(found) = line.strip_prefix("event: ") {
                found.clone_into(&mut name);
            } else if let Some(data) = line.strip_prefix("data: ") {
                if is_end(&name) {
                    return events;
                }
                events.push((name.clone(), serde_json::from_str(data).unwrap()));
            }
        }
        panic!("{path}: the stream broke off after {events:?}");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build().into()
}

fn answer(answered: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> (u16, Value) {
    match answered {
        Ok(mut response) => {
            let text = response.body_mut().read_to_string().unwrap();
            (response.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::String(text)))
        }
        // Not there yet.
        Err(error) => (0, Value::String(error.to_string())),
    }
}
