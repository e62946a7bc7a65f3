//! What the commands that ask a running service have in common: where it is, and how it answers.

use std::io::{BufRead, BufReader};
use std::time::Duration;

use serde_json::Value;
use ureq::{Agent, Body, http::Response};

use super::{Exit, Failure};

/// Longest time for an answer that is not a stream.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running service.
#[derive(Debug, Clone, clap::Args)]
pub struct Client {
    /// Where it serves HTTP.
    #[arg(long, value_name = "URL", env = "HABITUE_URL", default_value = "http://127.0.0.1:9464")]
    url: String,
    /// Its bearer token, where it asks for one; better given by the environment.
    #[arg(long, value_name = "TOKEN", env = "HABITUE_HTTP_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

/// What a service answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Seconds after which to try again, where it says so.
    pub retry_after: Option<Duration>,
    pub body: Value,
}

impl Answer {
    /// To be tried again.
    pub fn is_for_later(&self) -> bool {
        self.retry_after.is_some()
    }

    /// What the service says is wrong.
    pub fn error(&self) -> String {
        match self.body["error"].as_str() {
            Some(error) => error.to_owned(),
            None => match self.body.as_str().map(str::trim) {
                Some("") => format!("the service answers {}", self.status),
                Some(text) => format!("the service answers {}: {text}", self.status),
                None => format!("the service answers {}: {}", self.status, self.body),
            },
        }
    }

    /// # Errors
    /// The service's own words where it is no success.
    pub fn success(self) -> Result<Value, Failure> {
        match self.status {
            200..300 => Ok(self.body),
            401 => {
                let message = format!("{}: give it by --token or HABITUE_HTTP_TOKEN", self.error());
                Err(Failure::new(Exit::Broker, message))
            }
            _ => Err(Failure::new(Exit::Failed, self.error())),
        }
    }
}

impl Client {
    /// # Errors
    /// Where nobody answers.
    pub fn get(&self, path: &str) -> Result<Answer, Failure> {
        let request = self.agent(Some(PATIENCE)).get(self.address(path));
        let request = self.authorised(request);
        answer(request.call().map_err(|error| self.unreachable(&error))?)
    }

    /// # Errors
    /// Where nobody answers.
    pub fn post(&self, path: &str, body: &str) -> Result<Answer, Failure> {
        let request = self.agent(Some(PATIENCE)).post(self.address(path));
        let request = self.authorised(request).header("content-type", "application/json");
        answer(request.send(body).map_err(|error| self.unreachable(&error))?)
    }

    /// Hands over the events of a stream with their names until it ends or `each` says false.
    ///
    /// # Errors
    /// Where nobody answers, the answer is no stream, or the service says that it goes no further.
    pub fn stream(
        &self,
        path: &str,
        each: &mut dyn FnMut(&str, Value) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let request = self.authorised(self.agent(None).get(self.address(path)));
        let mut response = request.call().map_err(|error| self.unreachable(&error))?;
        if !response.status().is_success() {
            return answer(response)?.success().map(drop);
        }
        let mut name = String::new();
        for line in BufReader::new(response.body_mut().as_reader()).lines() {
            let gone = |error| Failure::new(Exit::Broker, format!("the service went away: {error}"));
            let line = line.map_err(gone)?;
            if let Some(found) = line.strip_prefix("event: ") {
                found.clone_into(&mut name);
            } else if let Some(data) = line.strip_prefix("data: ") {
                let value: Value = serde_json::from_str(data).unwrap_or(Value::Null);
                if name == "error" {
                    let why = value["error"].as_str().unwrap_or("it does not say why");
                    return Err(Failure::new(
                        Exit::Failed,
                        format!("the service cannot read the topic: {why}"),
                    ));
                }
                if !each(&name, value)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn agent(&self, patience: Option<Duration>) -> Agent {
        Agent::config_builder().http_status_as_error(false).timeout_global(patience).build().into()
    }

    fn address(&self, path: &str) -> String {
        format!("{}{path}", self.url.trim_end_matches('/'))
    }

    fn authorised<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    fn unreachable(&self, error: &ureq::Error) -> Failure {
        let message = format!(
            "no service answers at {} ({error}); start one with `habitue run`, or name another with --url",
            self.url
        );
        Failure::new(Exit::Broker, message)
    }
}

fn answer(mut response: Response<Body>) -> Result<Answer, Failure> {
    let seconds = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
    let status = response.status().as_u16();
    let text = response.body_mut().read_to_string();
    let text = text.map_err(|error| Failure::new(Exit::Failed, format!("the answer broke off: {error}")))?;
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Ok(Answer { status, retry_after: seconds.map(Duration::from_secs), body })
}

/// Text as part of a path.
pub fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let one = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}
