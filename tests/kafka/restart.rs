//! Instances that are killed or frozen. This binary is run again as the instance.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use habitue::edge::kafka::{KafkaConfig, KafkaLog};
use habitue::edge::log::{Group, GroupConsumer, Log, LogError, Producer, Rebalance};
use habitue::signal::Topic;

use super::Case;
use super::bench::{Member, place, producer, read_all, record, sent, until};
use super::broker::Broker;

pub const CASES: &[Case] =
    &[("a_killed_member_comes_back", killed), ("a_frozen_member_commits_nothing", frozen)];

const CHILD: &str = "HABITUE_KAFKA_TESTS_CHILD";

/// An instance in a process of its own, spoken to by lines.
struct Instance {
    process: Child,
    orders: ChildStdin,
    lines: Receiver<String>,
}

impl Instance {
    fn start(config: &KafkaConfig, member: &str) -> Instance {
        let config = serde_json::to_string(config).unwrap();
        let mut process = Command::new(std::env::current_exe().unwrap())
            .env(CHILD, member)
            .env("HABITUE_KAFKA_TESTS_CONFIG", config)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (send, lines) = channel();
        let output = BufReader::new(process.stdout.take().unwrap());
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Instance { orders: process.stdin.take().unwrap(), process, lines }
    }

    fn order(&mut self, word: &str) {
        writeln!(self.orders, "{word}").unwrap();
    }

    fn awaits(&self, begin: &str) -> String {
        self.awaits_any(&[begin])
    }

    fn awaits_any(&self, begins: &[&str]) -> String {
        loop {
            let line = self.lines.recv_timeout(Duration::from_secs(30)).expect(begins[0]);
            if begins.iter().any(|begin| line.starts_with(begin)) {
                return line;
            }
        }
    }

    fn signal(&self, name: &str) {
        let number = self.process.id().to_string();
        assert!(Command::new("kill").args([name, &number]).status().unwrap().success());
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// The instance's main, where this process is one.
pub fn child() -> Option<ExitCode> {
    let name = std::env::var(CHILD).ok()?;
    let config = std::env::var("HABITUE_KAFKA_TESTS_CONFIG").unwrap();
    let log = KafkaLog::new(serde_json::from_str(&config).unwrap()).unwrap();
    let mut member = Member::new(log.consumer(Group::Customer, &name).unwrap());
    let mut producer = producer(&log, &name);
    let (send, orders) = channel();
    std::thread::spawn(move || {
        std::io::stdin().lines().map_while(Result::ok).try_for_each(|line| send.send(line))
    });
    let mut metadata = None;
    loop {
        match member.consumer.poll(Duration::from_millis(5), &mut |_| {}) {
            Ok(Some(Rebalance::Assigned(partitions))) => {
                member.consumer.accept(&partitions).unwrap();
                println!("assigned {}", partitions.len());
            }
            Ok(Some(Rebalance::Revoked(partitions))) => member.consumer.release(&partitions).unwrap(),
            Ok(Some(Rebalance::Lost(partitions))) => {
                println!("lost {}", partitions.len());
                member.consumer.release(&partitions).unwrap();
            }
            Ok(None) => {}
            Err(error) => {
                println!("ended {error:?}");
                return Some(ExitCode::FAILURE);
            }
        }
        match orders.try_recv().as_deref() {
            Ok("take") => {
                metadata = Some(member.consumer.metadata().unwrap());
                println!("taken");
            }
            Ok(word) => {
                let fresh = word == "fresh";
                let mut commit = || -> Result<(), LogError> {
                    let metadata = match &metadata {
                        Some(metadata) if !fresh => metadata.clone(),
                        _ => member.consumer.metadata()?,
                    };
                    let journal = place(Topic::Journal, 0);
                    sent(&mut producer, &[record(journal, "zombie")]);
                    producer.send_offsets(Group::Customer, &[(journal, 1)], &metadata)?;
                    producer.commit()
                };
                println!("commit {:?}", commit());
                drop(producer.abort());
            }
            Err(_) => {}
        }
    }
}

fn killed(broker: &Broker) {
    let config = broker.config();
    let log = broker.log_of(config.clone(), 4);
    let mut instance = Instance::start(&config, "one");
    instance.awaits("assigned 4");
    for _ in 0..3 {
        drop(instance);
        let begun = Instant::now();
        instance = Instance::start(&config, "one");
        instance.awaits("assigned 4");
        println!("  killed and started again: assigned after {} ms", begun.elapsed().as_millis());
        instance.order("fresh");
        assert_eq!(instance.awaits("commit"), "commit Ok(())");
        assert!(begun.elapsed() < Duration::from_secs(4));
    }
    drop(instance);
    let begun = Instant::now();
    Member::new(log.consumer(Group::Customer, "two").unwrap()).accept();
    println!("  taken over by another: assigned after {} ms", begun.elapsed().as_millis());
}

fn frozen(broker: &Broker) {
    let config = broker.config();
    let log = broker.log_of(config.clone(), 4);
    let mut instance = Instance::start(&config, "one");
    instance.awaits("assigned 4");
    instance.order("take");
    instance.awaits("taken");
    instance.signal("-STOP");
    let mut other = Member::new(log.consumer(Group::Customer, "two").unwrap());
    let mut owned = 0;
    until("everything", || {
        if let Some(Rebalance::Assigned(partitions)) = other.poll() {
            other.consumer.accept(&partitions).unwrap();
            owned += partitions.len();
        }
        (owned == 4).then_some(())
    });
    instance.order("commit");
    instance.signal("-CONT");
    let lines = [instance.awaits_any(&["commit", "lost"]), instance.awaits_any(&["commit", "lost"])];
    println!("  {lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("commit Err(Abort")), "{lines:?}");
    assert!(lines.iter().any(|line| line == "lost 4"), "{lines:?}");
    assert_eq!(read_all(&log, place(Topic::Journal, 0)), Vec::<String>::new());
    // Thawed, it joins again and gets its share.
    until("a revocation", || match other.poll() {
        Some(Rebalance::Revoked(partitions)) => {
            other.consumer.release(&partitions).unwrap();
            Some(())
        }
        _ => None,
    });
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(1) {
        other.poll();
    }
    assert_eq!(instance.awaits("assigned"), "assigned 2");
}
