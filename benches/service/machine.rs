//! What the figures were measured on, and processor time of processes.

use std::process::Command;

/// Ticks a second of `/proc/PID/stat`: the same on every Linux that runs this.
const TICKS: f64 = 100.0;

/// Prints processor, cores, memory, load, versions.
pub fn print() {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map_or("unknown", |(_, value)| value.trim()).to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("processor   {} ({cores} cores)", field(&read("/proc/cpuinfo"), "model name"));
    println!("memory      {}", field(&read("/proc/meminfo"), "MemTotal"));
    println!("load        {} (1, 5, 15 minutes, at the start)", first_words(&read("/proc/loadavg"), 3));
    println!("kernel      {}", read("/proc/sys/kernel/osrelease").trim());
    println!("rustc       {}", first_line("rustc", &["--version"]));
    println!("java        {}", first_line("java", &["-version"]));
    println!("kafka       {}", kafka());
    println!("librdkafka  {}", rdkafka::util::get_rdkafka_version().1);
    println!("commit      {}", first_line("git", &["rev-parse", "--short", "HEAD"]));
}

fn first_words(text: &str, count: usize) -> String {
    text.split_whitespace().take(count).collect::<Vec<_>>().join(" ")
}

fn first_line(program: &str, arguments: &[&str]) -> String {
    let Ok(output) = Command::new(program).args(arguments).output() else { return "unknown".into() };
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    String::from_utf8_lossy(&text).lines().next().unwrap_or("unknown").to_owned()
}

/// The version that `broker.sh` starts.
fn kafka() -> String {
    if std::env::var_os("HABITUE_KAFKA").is_some() {
        return "that of HABITUE_KAFKA".into();
    }
    let pom = include_str!("../../tests/kafka/broker/pom.xml");
    let after = pom.split("kafka_2.13").nth(1).and_then(|rest| rest.split("<version>").nth(1));
    after.and_then(|rest| rest.split('<').next()).unwrap_or("unknown").to_owned()
}

/// Processor time in seconds, user and system, all threads, since the process began. None when it has ended.
pub fn cpu_seconds(pid: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name may hold spaces; user and system time are words 14 and 15 of the whole.
    let words: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = words.get(11)?.parse::<u64>().ok()? + words.get(12)?.parse::<u64>().ok()?;
    Some(ticks as f64 / TICKS)
}
