//! `habitue load`.

use std::io::Write;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant, UNIX_EPOCH};

use indicatif::ProgressBar;
use serde_json::json;
use xxhash_rust::xxh3::xxh3_64;

use super::client::{Client, encoded};
use super::input::{CsvForm, refuse_nothing_read};
use super::output;
use super::{Exit, Failure};
use crate::codec::event_json;
use crate::config::Mapping;
use crate::edge::csv_file::progress;
use crate::edge::event_files::{EventFiles, ReadError};
use crate::event::TimeMs;

/// Send the history in event files to a running service, in the order of time.
///
/// The same files and the same mapping as for `habitue backtest`. A service that has no history is blind to churn for
/// its whole horizon, and knows nobody's habits. A load that broke off goes on where it stopped when it is started
/// again: the service keeps its position with the events. Loads are for a service that has not seen later events: of a
/// file that begins before its watermark everything would come too late, and it is refused.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    habitue load online_retail_II.csv.gz --mapping docs/mappings/online_retail.toml\n  \
    habitue load june.csv july.csv --mapping mapping.toml --url http://shop:9464 --json")]
pub struct Args {
    /// The event files: CSV, plain, .gz or .zst, each in order of time; several are merged.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What the columns mean, see docs/mappings.
    #[arg(long, value_name = "MAPPING.toml")]
    mapping: PathBuf,
    /// What the service calls the load; by default made of the files' names and sizes and of the mapping.
    #[arg(long)]
    name: Option<String>,
    /// Events of one request.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    batch: u32,
    /// Give up when the service has not answered for so many seconds.
    #[arg(long, default_value_t = 120)]
    patience_seconds: u64,
    /// Write one JSON document to standard output and nothing else.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    form: CsvForm,
    #[command(flatten)]
    client: Client,
}

/// How far the service is.
#[derive(Debug, serde::Deserialize)]
struct At {
    position: u64,
    watermark_ms: Option<TimeMs>,
    lateness_ms: TimeMs,
}

/// What was done.
#[derive(Debug, Default)]
struct Sent {
    /// Events that the service had already.
    skipped: u64,
    accepted: u64,
    /// With the first reason.
    rejected: u64,
    reason: Option<String>,
}

impl Args {
    pub fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let mapping = Mapping::read(&self.mapping)?;
        let name = match &self.name {
            Some(name) => name.clone(),
            None => self.default_name()?,
        };
        let mut load = Load { args: &self, path: format!("/api/v1/loads/{}", encoded(&name)), position: 0 };
        let began = Instant::now();
        let bar = progress(&self.files);
        // Before the service is asked, which may be away for a while: what is wrong with the files is said at once.
        let mut files = self.open(&mapping, &bar)?;
        let at = load.ask()?;
        if at.position == 0 {
            self.check(&mapping, &at)?;
        }
        let sent = load.all(at.position, &mut files, &bar)?;
        bar.finish_and_clear();
        let left_out: Vec<(&str, u64)> =
            files.left_out().iter().map(|(reason, count)| (reason.name(), *count)).collect();
        if self.json {
            let left_out: serde_json::Map<_, _> =
                left_out.into_iter().map(|(reason, count)| (reason.to_owned(), json!(count))).collect();
            let document = json!({
                "name": name, "rows": files.rows(), "skipped": sent.skipped, "accepted": sent.accepted,
                "rejected": sent.rejected, "left_out": left_out, "seconds": began.elapsed().as_secs_f64(),
            });
            return Ok(output::json(out, &document)?);
        }
        writeln!(
            out,
            "{name}: {} events taken, {} had been taken before, {} refused; {} rows read in {:.1} s",
            sent.accepted,
            sent.skipped,
            sent.rejected,
            files.rows(),
            began.elapsed().as_secs_f64()
        )?;
        if let Some(reason) = sent.reason {
            writeln!(out, "first refusal: {reason}")?;
        }
        for (reason, count) in left_out {
            writeln!(out, "left out, {reason}: {count} rows")?;
        }
        if sent.rejected > 0 {
            return Err(Failure::new(Exit::Failed, ""));
        }
        refuse_nothing_read(files.rows(), sent.skipped + sent.accepted)
    }

    fn open(&self, mapping: &Mapping, bar: &ProgressBar) -> Result<EventFiles, Failure> {
        Ok(EventFiles::open(&self.files, mapping, &self.form.clone().into(), bar)?)
    }

    /// Reads through the files before anything is sent: what lies too far before an event above it would be taken and
    /// then be a dead letter. Pipes can be read once only.
    fn check(&self, mapping: &Mapping, at: &At) -> Result<(), Failure> {
        if !self.files.iter().all(|file| file.is_file()) {
            return Ok(());
        }
        let mut files = self.open(mapping, &ProgressBar::hidden())?;
        let Some(first) = files.next_event()? else { return Ok(()) };
        let mut newest_ms = first.event().time_ms();
        check_watermark(newest_ms, at.watermark_ms)?;
        for number in 2_u64.. {
            let Some(next) = files.next_event()? else { break };
            let time_ms = next.event().time_ms();
            newest_ms = newest_ms.max(time_ms);
            if newest_ms - time_ms > at.lateness_ms {
                let [before, lateness] = [newest_ms - time_ms, at.lateness_ms].map(shown);
                return Err(Failure::new(
                    Exit::Failed,
                    format!(
                        "event {number} (time_ms {time_ms}) lies {before} before one above it, and more than {lateness} \
                         is too late: sort the file by time, or raise engine.lateness. Nothing was sent"
                    ),
                ));
            }
        }
        Ok(())
    }

    fn default_name(&self) -> Result<String, Failure> {
        let mut text = std::fs::read_to_string(&self.mapping)?;
        for file in &self.files {
            let about = std::fs::metadata(file)?;
            // A corrected file is another, though it may be as long.
            let changed = about.modified()?.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            let bytes = about.len();
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            text.push_str(&format!("\n{name} {bytes} {changed}"));
        }
        let first = self.files[0].file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let plain: String = first.chars().filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).collect();
        Ok(format!("{plain}-{:016x}", xxh3_64(text.as_bytes())))
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Failure {
        let exit = match error {
            ReadError::Columns { .. } => Exit::Configuration,
            ReadError::Read { .. } => Exit::Failed,
        };
        Failure::new(exit, error.to_string())
    }
}

struct Load<'a> {
    args: &'a Args,
    path: String,
    /// Events that the service has.
    position: u64,
}

impl Load<'_> {
    fn all(&mut self, position: u64, files: &mut EventFiles, bar: &ProgressBar) -> Result<Sent, Failure> {
        self.position = position;
        let mut sent = Sent { skipped: position, ..Sent::default() };
        for skipped in 0..position {
            if files.next_event()?.is_none() {
                let message = format!("the service has {position} events of this load, the files have {skipped}");
                return Err(Failure::new(Exit::Guard, message));
            }
        }
        let mut batch = Vec::with_capacity(self.args.batch as usize);
        while let Some(next) = files.next_event()? {
            batch.push(event_json(&next.event()).to_string());
            if batch.len() == self.args.batch as usize {
                self.send(&mut batch, &mut sent, bar)?;
            }
        }
        if !batch.is_empty() {
            self.send(&mut batch, &mut sent, bar)?;
        }
        Ok(sent)
    }

    fn ask(&self) -> Result<At, Failure> {
        let body = self.patiently(|| self.args.client.get(&self.path))?;
        serde_json::from_value(body)
            .map_err(|error| Failure::new(Exit::Failed, format!("the service's answer: {error}")))
    }

    fn send(&mut self, batch: &mut Vec<String>, sent: &mut Sent, bar: &ProgressBar) -> Result<(), Failure> {
        let body = format!("[{}]", batch.join(","));
        let to = self.position + batch.len() as u64;
        let path = format!("{}?from={}", self.path, self.position);
        let mut position = self.position;
        let mut lost = false;
        let taken = self.patiently(|| {
            if lost {
                // Whether the part was taken before the connection broke is asked, not guessed.
                position = self.ask()?.position;
                if position == to {
                    return self.args.client.get(&self.path);
                }
                if position != self.position {
                    let (at, own) = (position, self.position);
                    let message = format!(
                        "the service is at event {at} of this load, not at {own}: another load of this name is under \
                         way; wait for it, and begin again to go on from there, or give this one a --name of its own"
                    );
                    return Err(Failure::new(Exit::Guard, message));
                }
            }
            let answer = self.args.client.post(&path, &body);
            lost = answer.as_ref().map_or(true, |answer| answer.status == 409 || answer.is_for_later());
            answer
        })?;
        self.position = to;
        let rejected = taken["rejected"].as_u64().unwrap_or(0);
        sent.accepted += batch.len() as u64 - rejected;
        sent.rejected += rejected;
        if sent.reason.is_none() && rejected > 0 {
            let results = taken["results"].as_array().into_iter().flatten();
            sent.reason = results.zip(to - batch.len() as u64 + 1..).find_map(|(item, number)| {
                let (reason, id) = (item["reason"].as_str()?, item["event_id"].as_str().unwrap_or_default());
                Some(format!("event {number}, {id}: {reason}"))
            });
        }
        batch.clear();
        bar.set_message(format!("{} events", self.position));
        Ok(())
    }

    /// Asks again while the service is away, starting, or behind.
    fn patiently(
        &self,
        mut ask: impl FnMut() -> Result<super::client::Answer, Failure>,
    ) -> Result<serde_json::Value, Failure> {
        let mut heard = Instant::now();
        loop {
            let failure = match ask() {
                Ok(answer) if answer.is_for_later() || answer.status == 409 => {
                    if answer.status == 429 {
                        // It lives, and has enough to do.
                        heard = Instant::now();
                    }
                    Failure::new(Exit::Failed, answer.error())
                }
                Ok(answer) => return answer.success(),
                Err(failure) if failure.exit == Exit::Broker => failure,
                Err(failure) => return Err(failure),
            };
            if heard.elapsed() > Duration::from_secs(self.args.patience_seconds) {
                return Err(failure);
            }
            sleep(Duration::from_millis(200));
        }
    }
}

fn shown(span_ms: TimeMs) -> String {
    match span_ms as f64 / 3_600_000.0 {
        hours if hours < 2.0 => format!("{:.1} minutes", hours * 60.0),
        hours if hours < 48.0 => format!("{hours:.1} hours"),
        hours => format!("{:.1} days", hours / 24.0),
    }
}

fn check_watermark(first_ms: TimeMs, watermark_ms: Option<TimeMs>) -> Result<(), Failure> {
    let Some(watermark_ms) = watermark_ms.filter(|watermark_ms| first_ms < *watermark_ms) else { return Ok(()) };
    let below = shown(watermark_ms - first_ms);
    let message = format!(
        "the first event (time_ms {first_ms}) lies {below} below the service's watermark ({watermark_ms}): it \
         has seen later events, and everything older is refused as late. Load history before live events come, or \
         into a service with an empty log"
    );
    Err(Failure::new(Exit::Guard, message))
}
