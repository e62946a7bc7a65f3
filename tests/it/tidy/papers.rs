//! The rules for the package's papers: few dependencies, a short map, and invariants that name their tests.

use std::fs;

use super::source::{read_all, root, words};

const DEPENDENCIES_MAX: usize = 35;
const ARCHITECTURE_LINES_MAX: usize = 300;

fn paper(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Names under every `[…dependencies]` table of a manifest.
fn dependencies(manifest: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut inside = false;
    for line in manifest.lines() {
        if let Some(table) = line.strip_prefix('[') {
            inside = table.trim_end_matches(']').ends_with("dependencies");
        } else if inside && line.starts_with(|c: char| c.is_ascii_alphabetic()) {
            names.extend(line.split(['=', '.', ' ']).next());
        }
    }
    names
}

/// The numbered points under the heading "Invariants", each with its continuation lines.
fn invariants(architecture: &str) -> Vec<String> {
    let mut points: Vec<String> = Vec::new();
    let section = architecture.lines().skip_while(|line| !is_heading(line, "Invariants")).skip(1);
    for line in section.take_while(|line| !line.starts_with('#')) {
        let numbered = line.split_once(". ").is_some_and(|(n, _)| n.parse::<u32>().is_ok());
        match points.last_mut() {
            _ if numbered => points.push(line.to_owned()),
            Some(point) => point.push_str(&format!("\n{line}")),
            None => {}
        }
    }
    points
}

fn is_heading(line: &str, name: &str) -> bool {
    line.starts_with('#') && line.trim_start_matches(['#', ' ']).contains(name)
}

/// The tests that a point names in backticks: `` `sim::replay_is_equality` ``.
fn tests_named(point: &str) -> Vec<&str> {
    let quoted = point.split('`').skip(1).step_by(2);
    quoted.filter(|name| ["it::", "sim::", "kafka::"].iter().any(|binary| name.starts_with(binary))).collect()
}

/// True where a file of the named test binary has a test function of that name.
fn exists(name: &str) -> bool {
    let Some((binary, rest)) = name.split_once("::") else { return false };
    let function = rest.rsplit("::").next().unwrap_or(rest);
    read_all(&format!("tests/{binary}")).iter().any(|source| {
        words(&source.code, function).any(|at| {
            let before = source.code[..at].trim_end();
            let attributes = before.strip_suffix("fn").map(str::trim_end);
            attributes.is_some_and(|text| text.ends_with("#[test]"))
        })
    })
}

#[test]
fn direct_dependencies_are_few() {
    let manifest = paper("Cargo.toml");
    let names = dependencies(&manifest);
    assert!(names.contains(&"serde") && names.contains(&"proptest"), "the manifest was not understood");
    assert!(names.len() <= DEPENDENCIES_MAX, "{} of at most {DEPENDENCIES_MAX}: {names:?}", names.len());
}

#[test]
fn every_dependency_has_its_reason() {
    let manifest = paper("Cargo.toml");
    let reasons = paper("docs/decisions/0002-dependencies.md");
    for name in dependencies(&manifest) {
        let row = format!("| `{name}` |");
        assert!(reasons.contains(&row), "docs/decisions/0002-dependencies.md has no row {row}");
    }
}

#[test]
fn the_map_is_short() {
    let lines = paper("ARCHITECTURE.md").lines().count();
    assert!(lines <= ARCHITECTURE_LINES_MAX, "ARCHITECTURE.md:{lines}: at most {ARCHITECTURE_LINES_MAX}");
}

#[test]
fn invariants_name_their_tests() {
    let architecture = paper("ARCHITECTURE.md");
    let points = invariants(&architecture);
    assert!(points.len() >= 5, "ARCHITECTURE.md has {} invariants under that heading", points.len());
    for point in &points {
        let tests = tests_named(point);
        assert!(!tests.is_empty(), "ARCHITECTURE.md: names no test: {point}");
        for test in tests {
            assert!(exists(test), "ARCHITECTURE.md: there is no test `{test}`: {point}");
        }
    }
}

#[test]
fn a_test_that_is_not_there_is_missed() {
    assert!(exists("it::tidy::invariants_name_their_tests"));
    assert!(!exists("it::tidy::papers"), "a module is no test");
    assert!(!exists("sim::invariants_name_their_tests"), "it is in another binary");
    let text = "# Map\n## Invariants\n1. **A.** Words\n   `it::a`.\n2. **B.** `crate::b`\n## Next\n3. no\n";
    let points = invariants(text);
    assert_eq!(points.len(), 2);
    assert_eq!(tests_named(&points[0]), ["it::a"]);
    assert!(tests_named(&points[1]).is_empty());
}
