//! `habitue send`.

use std::io::{BufRead, Write};

use super::client::Client;
use super::{Exit, Failure};

/// Events of a request, where they come from standard input.
const BATCH: usize = 500;

/// Send events to a running service: one as an argument, or one JSON object a line from standard input.
///
/// An event is what the topics hold, with a `type`: purchase, engagement or feedback.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    habitue send '{\"type\":\"engagement\",\"event_id\":\"e1\",\"customer\":\"ada\",\"time_ms\":1764000000000,\"kind\":\"view\",\"item\":\"tea\"}'\n  \
    tail -f events.jsonl | habitue send")]
pub struct Args {
    /// The event; without it they are read from standard input.
    event: Option<String>,
    #[command(flatten)]
    client: Client,
}

impl Args {
    pub fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let (mut accepted, mut rejected) = (0, 0);
        let mut send = |events: &[String]| -> Result<(), Failure> {
            let answer = self.client.post("/api/v1/events", &format!("[{}]", events.join(",")))?;
            if answer.body["results"].is_null() {
                return answer.success().map(drop);
            }
            accepted += answer.body["accepted"].as_u64().unwrap_or(0);
            rejected += answer.body["rejected"].as_u64().unwrap_or(0);
            for item in answer.body["results"].as_array().into_iter().flatten() {
                if let Some(reason) = item["reason"].as_str() {
                    eprintln!("refused: {reason}");
                }
            }
            Ok(())
        };
        match &self.event {
            Some(event) => send(std::slice::from_ref(event))?,
            None => {
                let mut waiting = Vec::new();
                let mut input = std::io::stdin().lock();
                let mut line = String::new();
                while input.read_line(&mut line)? > 0 {
                    if !line.trim().is_empty() {
                        waiting.push(std::mem::take(&mut line));
                    }
                    line.clear();
                    // A slow pipe's event does not wait for others.
                    if waiting.len() == BATCH || input.fill_buf()?.is_empty() {
                        send(&waiting)?;
                        waiting.clear();
                    }
                }
                if !waiting.is_empty() {
                    send(&waiting)?;
                }
            }
        }
        writeln!(out, "{accepted} taken, {rejected} refused")?;
        if rejected > 0 { Err(Failure::new(Exit::Failed, "")) } else { Ok(()) }
    }
}
