//! The import table of DESIGN.md section 4, read from the source: who may name whom.

use std::collections::BTreeSet;

use super::source::{Source, closing, line_of, words};

/// What a top-level module may import. `config` is judged by [`is_settings`] as well.
const TABLE: &[(&str, &[&str])] = &[
    ("math", &[]),
    ("event", &[]),
    ("signal", &["event"]),
    ("learn", &["math"]),
    ("customer", &["event", "math"]),
    ("analysis", &["event", "signal", "customer", "learn", "math"]),
    ("engine", &["event", "signal", "customer", "analysis", "math"]),
    ("measure", &["math", "event", "signal", "learn", "customer", "analysis", "engine"]),
    ("codec", &["event", "signal"]),
    ("config", &["math", "event", "signal", "customer", "analysis", "engine", "measure", "codec", "edge"]),
    ("edge", EVERYTHING_BUT_LEARN),
    ("main", EVERYTHING_BUT_LEARN),
];

const EVERYTHING_BUT_LEARN: &[&str] = &[
    "math", "event", "signal", "customer", "analysis", "engine", "measure", "codec", "config", "edge", "main",
];

/// One file names one path of ours.
struct Edge {
    line: usize,
    /// From the crate's root, for as far as it is written there: `["engine", "journal", "Entry"]`.
    path: Vec<String>,
}

/// Every import that the table does not allow, as "file:line: what".
pub fn check(sources: &[Source]) -> Vec<String> {
    let analyses = folders(sources, "analysis");
    let mut faults = Vec::new();
    for source in sources {
        let module = source.module();
        let Some(&from) = module.first() else { continue };
        let Some(allowed) = TABLE.iter().find(|(name, _)| *name == from).map(|(_, allowed)| *allowed) else {
            faults.push(format!("{}:1: `{from}` is not in the import table", source.path));
            continue;
        };
        for edge in edges(source) {
            let to = edge.path[0].as_str();
            let fault = if to != from && !allowed.contains(&to) {
                Some(format!("`{from}` may not import `{to}`"))
            } else if from == "config" && !is_settings(&edge.path) {
                Some(format!("`config` may import settings only, not `{}`", edge.path.join("::")))
            } else if from == "analysis" && is_other_analysis(&module, &edge.path, &analyses) {
                Some(format!("an analysis may not import another: `{}`", edge.path.join("::")))
            } else {
                None
            };
            faults.extend(fault.map(|what| format!("{}:{}: {what}", source.path, edge.line)));
        }
    }
    faults
}

/// The folders directly under `src/<module>/`.
fn folders(sources: &[Source], module: &str) -> BTreeSet<String> {
    let inside = |source: &Source| {
        let parts: Vec<&str> = source.path.split('/').collect();
        (parts.len() > 3 && parts[1] == module).then(|| parts[2].to_owned())
    };
    sources.iter().filter_map(inside).collect()
}

/// The languages of input and output are everyone's; of the rest `config` sees settings.
fn is_settings(path: &[String]) -> bool {
    let names_settings = |part: &String| part.ends_with("Config") || part == "config";
    matches!(path[0].as_str(), "config" | "event" | "signal") || path.iter().any(names_settings)
}

fn is_other_analysis(module: &[&str], path: &[String], analyses: &BTreeSet<String>) -> bool {
    let (Some(own), Some(other)) = (module.get(1), path.get(1)) else { return false };
    path[0] == "analysis" && analyses.contains(*own) && analyses.contains(other) && own != other
}

fn edges(source: &Source) -> Vec<Edge> {
    let code = &source.product;
    let mut edges = Vec::new();
    for root in ["crate", "habitue"] {
        for at in words(code, root) {
            push_tree(code, at + root.len(), &[], &mut edges);
        }
    }
    for at in words(code, "super") {
        if code[..at].ends_with("super::") {
            continue;
        }
        let (base, end) = climb(&source.module(), code, at);
        push_tree(code, end, &base, &mut edges);
    }
    edges
}

/// Follows `super::super`: where it leads, and where in the text the last `super` ends.
fn climb(module: &[&str], code: &str, at: usize) -> (Vec<String>, usize) {
    let mut base: Vec<String> = module.iter().map(|part| (*part).to_owned()).collect();
    let mut end = at + "super".len();
    base.pop();
    while code[end..].starts_with("::super") {
        base.pop();
        end += "::super".len();
    }
    (base, end)
}

/// Adds every path of the use tree (or the one path) that goes on at `at` with `::`.
fn push_tree(code: &str, at: usize, base: &[String], edges: &mut Vec<Edge>) {
    let rest = code[at..].trim_start();
    let Some(rest) = rest.strip_prefix("::") else { return };
    let rest = rest.trim_start();
    let start = code.len() - rest.len();
    if rest.starts_with('{') {
        let end = closing(code, start);
        for (from, to) in split_at_commas(code, start + 1, end) {
            let branch = code[from..to].trim_start();
            push_branch(code, to - branch.len(), base, edges);
        }
        return;
    }
    push_branch(code, start, base, edges);
}

fn push_branch(code: &str, start: usize, base: &[String], edges: &mut Vec<Edge>) {
    let line = line_of(code, start);
    let name: String = code[start..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    if name.is_empty() || name == "self" {
        if !base.is_empty() {
            edges.push(Edge { line, path: base.to_vec() });
        }
        return;
    }
    let mut path = base.to_vec();
    path.push(name.clone());
    let end = start + name.len();
    let before = edges.len();
    push_tree(code, end, &path, edges);
    if edges.len() == before {
        edges.push(Edge { line, path });
    }
}

fn split_at_commas(code: &str, from: usize, to: usize) -> Vec<(usize, usize)> {
    let mut parts = Vec::new();
    let mut depth = 0_usize;
    let mut start = from;
    for (i, byte) in code.bytes().enumerate().take(to).skip(from) {
        match byte {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                parts.push((start, i));
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push((start, to));
    parts
}

fn faults_of(path: &str, text: &str) -> Vec<String> {
    let others =
        ["src/analysis/anomaly/mod.rs", "src/analysis/churn/mod.rs"].map(|path| Source::new(path, ""));
    check(&others.into_iter().chain([Source::new(path, text)]).collect::<Vec<_>>())
}

#[test]
fn an_edge_outside_the_table_is_found_however_it_is_written() {
    for (path, text) in [
        ("src/math/rng.rs", "use crate::event::TimeMs;"),
        ("src/codec/avro.rs", "use crate::{event::Event, engine::Machine};"),
        ("src/codec/avro.rs", "use crate::{\n    event::{Event, Line},\n    customer::{self},\n};"),
        ("src/learn/forest.rs", "fn f() -> super::super::customer::Profile { todo }"),
        ("src/event.rs", "use super::signal;"),
        ("src/main.rs", "use habitue::learn::Learner;"),
        ("src/edge/kafka/mod.rs", "fn f(x: &dyn crate::learn::Learner) {}"),
        ("src/analysis/anomaly/score.rs", "use crate::analysis::churn::band;"),
        ("src/analysis/anomaly/score.rs", "use super::super::churn::band;"),
        ("src/config.rs", "use crate::engine::Machine;"),
        ("src/engine/mod.rs", "use crate::learn::Learner;"),
        ("src/newcomer.rs", "fn f() {}"),
    ] {
        assert_eq!(faults_of(path, text).len(), 1, "{path}: {text}: {:?}", faults_of(path, text));
    }
}

#[test]
fn an_edge_of_the_table_is_no_fault() {
    for (path, text) in [
        (
            "src/codec/avro.rs",
            "use crate::event::{Event, Line};\nuse crate::signal::{journal::Entry, Signal};",
        ),
        ("src/analysis/mod.rs", "use crate::analysis::churn::DESCRIPTOR;"),
        ("src/analysis/anomaly/score.rs", "use super::{Band, config};\nuse crate::learn::forest::Forest;"),
        ("src/config.rs", "use crate::engine::Config as Engine;\nuse crate::signal::Topic;"),
        (
            "src/math/rng.rs",
            "// crate::event\npub(crate) fn f() {}\n#[cfg(test)]\nmod t { use crate::event::Event; }",
        ),
        ("src/edge/log/mod.rs", "use crate::config::Config;"),
    ] {
        assert_eq!(faults_of(path, text), Vec::<String>::new(), "{path}: {text}");
    }
}

#[test]
fn a_fault_names_its_file_and_line() {
    let faults = faults_of("src/codec/json.rs", "//! Text.\n\nuse crate::edge::log::Log;\n");
    assert_eq!(faults, ["src/codec/json.rs:3: `codec` may not import `edge`"]);
    let faults =
        faults_of("src/codec/json.rs", "//! Text.\n\nuse crate::{\n    event::Event,\n    edge::log,\n};\n");
    assert_eq!(faults, ["src/codec/json.rs:5: `codec` may not import `edge`"]);
}
