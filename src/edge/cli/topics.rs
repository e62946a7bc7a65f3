//! `habitue topics`.

use std::collections::BTreeMap;
use std::io::Write;

use serde_json::{Value, json};

use super::exit::of_log;
use super::input::ConfigFile;
use super::output;
use super::{Exit, Failure, Format};
use crate::config::{Config, show_duration};
use crate::edge::connect::kafka_config;
use crate::edge::kafka::{Created, KafkaLog, TopicFacts, TopicPlan};
use crate::edge::topics::{Difference, Harm, PlannedTopic, plan};
use crate::signal::Topic;

/// Plan and create the topics that the service needs.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  habitue topics plan --config habitue.toml\n  \
    habitue topics plan --config habitue.toml --connect\n  habitue topics create --config habitue.toml")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Plan(PlanArgs),
    Create(CreateArgs),
}

/// Print each topic with its settings and the reason for them.
///
/// With --connect also whether it exists and how it differs; a difference with which the service would not start
/// is exit code 4. A topic that is missing is none: `topics create` makes it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  habitue topics plan --config habitue.toml --connect")]
struct PlanArgs {
    #[command(flatten)]
    config: ConfigFile,
    /// Ask the broker what exists.
    #[arg(long)]
    connect: bool,
    /// How the result is written.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Create the topics that are missing; those that exist are left as they are.
///
/// Creates nothing when one that exists differs so that the service would not start (exit code 4).
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  habitue topics create --config habitue.toml")]
struct CreateArgs {
    #[command(flatten)]
    config: ConfigFile,
    /// How the result is written.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Args {
    pub fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        match self.command {
            Command::Plan(args) => args.run(out),
            Command::Create(args) => args.run(out),
        }
    }
}

impl PlanArgs {
    fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let config = self.config.read()?;
        let plan = plan(&config);
        let found = if self.connect { Some(ask(&connect(&config)?, &plan)?) } else { None };
        print_plan(out, self.format, &plan, found.as_ref())?;
        found.map_or(Ok(()), |found| refuse(&plan, &found))
    }
}

impl CreateArgs {
    fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let config = self.config.read()?;
        let plan = plan(&config);
        let log = connect(&config)?;
        refuse(&plan, &ask(&log, &plan)?)?;
        let wanted: Vec<TopicPlan> = plan.iter().map(wanted).collect();
        let created: BTreeMap<Topic, Created> =
            log.create_topics(&wanted).map_err(of_log)?.into_iter().collect();
        let outcome = |planned: &PlannedTopic| match created.get(&planned.topic) {
            Some(Created::New) => "created",
            _ => "exists",
        };
        match self.format {
            Format::Json => {
                let topics: Vec<Value> = plan
                    .iter()
                    .map(|planned| json!({ "name": planned.name, "outcome": outcome(planned) }))
                    .collect();
                output::json(out, &json!({ "topics": topics }))?;
            }
            Format::Text => {
                let rows: Vec<Vec<String>> =
                    plan.iter().map(|p| vec![p.name.clone(), outcome(p).to_string()]).collect();
                output::table(out, &["TOPIC", "OUTCOME"], &rows)?;
            }
        }
        Ok(())
    }
}

fn connect(config: &Config) -> Result<KafkaLog, Failure> {
    if config.has_embedded_log() {
        let message = "kafka.brokers names no broker: the log in `log.folder` makes its topics itself";
        return Err(Failure::new(Exit::Configuration, message));
    }
    KafkaLog::new(kafka_config(config)?)
        .map_err(|error| Failure::new(Exit::Configuration, error.to_string()))
}

fn wanted(planned: &PlannedTopic) -> TopicPlan {
    TopicPlan {
        topic: planned.topic,
        partitions: planned.partitions,
        replication: planned.replication.map(u32::from),
        configs: planned.settings(),
    }
}

/// Of the topics that exist: how each differs from the plan.
type Found = BTreeMap<Topic, Vec<Difference>>;

fn ask(log: &KafkaLog, plan: &[PlannedTopic]) -> Result<Found, Failure> {
    let topics: Vec<Topic> = plan.iter().map(|planned| planned.topic).collect();
    let facts = log.describe_topics(&topics).map_err(of_log)?;
    Ok(compare(plan, &facts))
}

fn compare(plan: &[PlannedTopic], facts: &[TopicFacts]) -> Found {
    let facts: BTreeMap<Topic, &TopicFacts> = facts.iter().map(|facts| (facts.topic, facts)).collect();
    let existing = plan.iter().filter_map(|planned| {
        let facts = facts.get(&planned.topic)?;
        Some((planned.topic, planned.compare(facts.partitions?, &facts.configs)))
    });
    existing.collect()
}

/// Refuses when the service would not start with what is there.
fn refuse(plan: &[PlannedTopic], found: &Found) -> Result<(), Failure> {
    let harmful = plan.iter().flat_map(|planned| {
        let differences = found.get(&planned.topic).into_iter().flatten();
        differences
            .filter(|difference| difference.harm == Harm::Refused)
            .map(|difference| {
                format!("error: topic {}: {}; {}", planned.name, said(difference), planned.way_out(difference))
            })
    });
    let lines: Vec<String> = harmful.collect();
    if lines.is_empty() { Ok(()) } else { Err(Failure::new(Exit::Guard, lines.join("\n"))) }
}

fn said(difference: &Difference) -> String {
    format!("{} is {}, planned is {}", difference.setting, difference.found, difference.planned)
}

fn state(planned: &PlannedTopic, found: &Found) -> &'static str {
    match found.get(&planned.topic) {
        None => "missing",
        Some(differences) if differences.is_empty() => "exists",
        Some(_) => "differs",
    }
}

fn print_plan(
    out: &mut dyn Write,
    format: Format,
    plan: &[PlannedTopic],
    found: Option<&Found>,
) -> std::io::Result<()> {
    if format == Format::Json {
        let topics: Vec<Value> = plan.iter().map(|planned| document(planned, found)).collect();
        return output::json(out, &json!({ "topics": topics }));
    }
    let mut head = vec!["TOPIC", "PARTITIONS", "CLEANUP.POLICY", "RETENTION", "MAX.MESSAGE.BYTES"];
    if found.is_some() {
        head.push("STATE");
    }
    head.push("WHY");
    let rows: Vec<Vec<String>> = plan
        .iter()
        .map(|planned| {
            let mut row = vec![
                planned.name.clone(),
                planned.partitions.to_string(),
                planned.cleanup.name().to_string(),
                planned.retention.map_or("forever".to_string(), show_duration),
                planned.max_message_bytes.to_string(),
            ];
            row.extend(found.map(|found| state(planned, found).to_string()));
            row.push(planned.why.to_string());
            row
        })
        .collect();
    output::table(out, &head, &rows)?;
    for planned in plan {
        let differences = found.and_then(|found| found.get(&planned.topic)).into_iter().flatten();
        for difference in differences.filter(|difference| difference.harm == Harm::Noted) {
            writeln!(out, "note: topic {}: {}", planned.name, said(difference))?;
        }
    }
    Ok(())
}

fn document(planned: &PlannedTopic, found: Option<&Found>) -> Value {
    let mut document = json!({
        "topic": planned.topic.name(),
        "name": planned.name,
        "partitions": planned.partitions,
        "replication": planned.replication,
        "settings": planned.settings(),
        "why": planned.why,
    });
    if let Some(found) = found {
        document["state"] = json!(state(planned, found));
        let differences = found.get(&planned.topic).into_iter().flatten();
        document["differences"] = differences
            .map(|difference| {
                json!({
                    "setting": difference.setting,
                    "planned": difference.planned,
                    "found": difference.found,
                    "refused": difference.harm == Harm::Refused,
                })
            })
            .collect();
    }
    document
}
