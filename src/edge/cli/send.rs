//! `habitue send`.

use std::io::{BufRead, Write};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use serde_json::value::RawValue;

use super::client::{Answer, Client};
use super::{Exit, Failure};

/// Events of a request, where they come from standard input.
const BATCH: usize = 500;
/// A pipe that is silent for so long has paused.
const PAUSE: Duration = Duration::from_millis(20);
/// Longest wait for a service that is busy, away or starting.
const PATIENCE: Duration = Duration::from_secs(60);

/// Send events to a running service: one as an argument, or one JSON object a line from standard input.
///
/// An event is what the topics hold, with a `type`: purchase, engagement or feedback.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    habitue send '{\"type\":\"engagement\",\"event_id\":\"e1\",\"customer\":\"ada\",\"kind\":\"view\",\"item\":\"tea\"}'\n  \
    tail -f events.jsonl | habitue send")]
pub struct Args {
    /// The event; without it they are read from standard input.
    event: Option<String>,
    #[command(flatten)]
    client: Client,
}

impl Args {
    pub fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let mut sent = Sent { client: &self.client, accepted: 0, rejected: 0 };
        let outcome = match &self.event {
            Some(event) => sent.send(&[(None, event.clone().into_bytes())]),
            None => sent.pipe(),
        };
        // Whatever happened: what was taken is taken.
        writeln!(out, "{} taken, {} refused", sent.accepted, sent.rejected)?;
        outcome?;
        if sent.rejected > 0 { Err(Failure::new(Exit::Failed, "")) } else { Ok(()) }
    }
}

/// A line's number, where there are several, and its bytes.
type Line = (Option<u64>, Vec<u8>);

struct Sent<'a> {
    client: &'a Client,
    accepted: u64,
    rejected: u64,
}

impl Sent<'_> {
    fn pipe(&mut self) -> Result<(), Failure> {
        let lines = lines();
        // Until the pipe is closed.
        while let Ok(first) = lines.recv() {
            let mut batch = vec![first?];
            // A slow pipe's event does not wait for others.
            while batch.len() < BATCH
                && let Ok(next) = lines.recv_timeout(PAUSE)
            {
                batch.push(next?);
            }
            self.send(&batch)?;
        }
        Ok(())
    }

    /// Lines that are no JSON are refused here: they would take the others with them.
    fn send(&mut self, lines: &[Line]) -> Result<(), Failure> {
        let mut good: Vec<(Option<u64>, &RawValue)> = Vec::new();
        for (number, line) in lines {
            match serde_json::from_slice::<&RawValue>(line) {
                Ok(event) => good.push((*number, event)),
                Err(error) => self.refuse(*number, &format!("malformed: {error}")),
            }
        }
        if good.is_empty() {
            return Ok(());
        }
        let events: Vec<&str> = good.iter().map(|(_, event)| event.get()).collect();
        let answer = self.patiently(&format!("[{}]", events.join(",")))?;
        let Some(results) = answer.body["results"].as_array() else { return answer.success().map(drop) };
        for ((number, _), result) in good.iter().zip(results) {
            match result["reason"].as_str() {
                Some(reason) => self.refuse(*number, reason),
                None => self.accepted += 1,
            }
        }
        Ok(())
    }

    /// Sends again while the service is busy, away or starting: event ids keep what was taken from counting twice.
    fn patiently(&self, body: &str) -> Result<Answer, Failure> {
        let begun = Instant::now();
        loop {
            let failure = match self.client.post("/api/v1/events", body) {
                Ok(answer) if answer.is_for_later() => Failure::new(Exit::Failed, answer.error()),
                // Who asks for one event, or has the wrong address, is told at once.
                Err(failure) if self.accepted > 0 && failure.exit == Exit::Broker => failure,
                answer => return answer,
            };
            if begun.elapsed() > PATIENCE {
                return Err(failure);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn refuse(&mut self, number: Option<u64>, reason: &str) {
        self.rejected += 1;
        match number {
            Some(number) => eprintln!("refused: line {number}: {reason}"),
            None => eprintln!("refused: {reason}"),
        }
    }
}

/// The lines of standard input that are not empty, read on a thread of its own.
fn lines() -> Receiver<Result<Line, Failure>> {
    let (lines, read) = sync_channel(BATCH);
    std::thread::spawn(move || {
        for (number, line) in (1..).zip(std::io::stdin().lock().split(b'\n')) {
            let unreadable =
                |error| Failure::new(Exit::Failed, format!("line {number} cannot be read: {error}"));
            let line = line.map_err(unreadable).map(|line| {
                // Some programs begin a file with the mark of its byte order.
                let line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&line).trim_ascii();
                (Some(number), line.to_vec())
            });
            if line.as_ref().is_ok_and(|(_, line)| line.is_empty()) {
                continue;
            }
            if lines.send(line).is_err() {
                return;
            }
        }
    });
    read
}
