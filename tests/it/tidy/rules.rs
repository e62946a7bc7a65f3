//! The rules for single files: length, documentation, names, and what is not written at all.

use super::source::{Source, body_or_end, closing, is_word, line_of, words};

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

/// Words that say nothing about what a thing does.
const EMPTY_WORDS: &[&str] =
    &["manager", "helper", "helpers", "util", "utils", "processor", "handler", "common"];

/// What a learner's file says of itself, each on a line of its own in the file's head.
const LEARNER_LINES: &[&str] = &["Input", "Output", "Cost", "Source", "Differs", "Checked"];

pub fn file_lengths(sources: &[Source]) -> Vec<String> {
    let long = sources.iter().filter(|source| source.text.lines().count() > FILE_LINES_MAX);
    long.map(|source| {
        let lines = source.text.lines().count();
        format!("{}:{lines}: a file has at most {FILE_LINES_MAX} lines", source.path)
    })
    .collect()
}

pub fn function_lengths(sources: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    for source in sources {
        for at in words(&source.code, "fn") {
            let Some(open) = body_or_end(&source.code, at) else { continue };
            // A declaration in a trait, or the type `fn(..)` of a pointer.
            if source.code.as_bytes()[open] == b';' || name_after(&source.code, at + 2).is_none() {
                continue;
            }
            let first = line_of(&source.code, at);
            let end = closing(&source.code, open).min(source.code.len() - 1);
            let lines = line_of(&source.code, end) + 1 - first;
            if lines > FUNCTION_LINES_MAX {
                let what = format!("a function of {lines} lines; at most {FUNCTION_LINES_MAX}");
                faults.push(format!("{}:{first}: {what}", source.path));
            }
        }
    }
    faults
}

pub fn heads(sources: &[Source]) -> Vec<String> {
    let bare = sources.iter().filter(|source| !source.text.trim_start().starts_with("//!"));
    bare.map(|source| format!("{}:1: a file begins with a line of `//!` that says what it is", source.path))
        .collect()
}

pub fn unwraps(sources: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    for source in sources {
        for (at, _) in source.product.match_indices(".unwrap()") {
            let line = line_of(&source.product, at);
            faults
                .push(format!("{}:{line}: `unwrap` outside tests; `expect` says why it holds", source.path));
        }
    }
    faults
}

pub fn unsafes(sources: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    for source in sources {
        for at in words(&source.code, "unsafe") {
            faults.push(format!("{}:{}: no `unsafe`", source.path, line_of(&source.code, at)));
        }
    }
    faults
}

/// Names of files, modules and types that contain an empty word.
pub fn names(sources: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    for source in sources {
        let stem = source.module().last().map(|stem| (*stem).to_owned());
        for name in stem.iter().filter(|name| is_empty_name(name)) {
            faults.push(format!("{}:1: `{name}` says nothing", source.path));
        }
        for keyword in ["mod", "struct", "enum", "trait", "type"] {
            for at in words(&source.code, keyword) {
                let name = name_after(&source.code, at + keyword.len());
                for name in name.iter().filter(|name| is_empty_name(name)) {
                    let line = line_of(&source.code, at);
                    faults.push(format!("{}:{line}: `{name}` says nothing", source.path));
                }
            }
        }
    }
    faults
}

/// Files of `learn` whose doc comments do not say all of [`LEARNER_LINES`] once for each learner.
pub fn learner_heads(sources: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    for source in sources.iter().filter(|source| source.path.starts_with("src/learn/")) {
        let becomes = |at: &usize| source.product[at + 7..].trim_start().starts_with("for ");
        let learners = words(&source.product, "Learner").filter(becomes).count();
        let docs = source.text.lines().filter_map(|line| {
            let line = line.trim_start();
            line.strip_prefix("//!").or_else(|| line.strip_prefix("///"))
        });
        let docs: Vec<&str> =
            docs.map(|line| line.trim_start_matches([' ', '*', '-', '_', '#', '`'])).collect();
        for label in LEARNER_LINES {
            let says = |line: &&&str| {
                line.strip_prefix(label).is_some_and(|rest| rest.starts_with(|c: char| !c.is_alphanumeric()))
            };
            if docs.iter().filter(says).count() < learners {
                faults.push(format!("{}:1: a learner's docs have a line `{label}: …`", source.path));
            }
        }
    }
    faults
}

fn name_after(code: &str, at: usize) -> Option<String> {
    let rest = code[at..].trim_start();
    let name: String = rest.bytes().take_while(|&byte| is_word(byte)).map(char::from).collect();
    (rest.len() < code[at..].len() && !name.is_empty()).then_some(name)
}

/// Splits `HttpHandler` and `date_util` into words.
fn is_empty_name(name: &str) -> bool {
    let mut spaced = String::new();
    for c in name.chars() {
        if c.is_uppercase() || c == '_' {
            spaced.push(' ');
        }
        spaced.extend(c.to_lowercase());
    }
    spaced.split([' ', '_']).any(|word| EMPTY_WORDS.contains(&word))
}

type Rule = fn(&[Source]) -> Vec<String>;

#[test]
fn each_rule_finds_its_fault() {
    let long_body = "    x();\n".repeat(FUNCTION_LINES_MAX);
    let long_file = "//! Head.\n".repeat(FILE_LINES_MAX + 1);
    let cases: &[(Rule, &str, &str)] = &[
        (file_lengths, &long_file, "src/x.rs:501:"),
        (function_lengths, &format!("//! Head.\nfn f() {{\n{long_body}}}\n"), "src/x.rs:2: a function of 72"),
        (heads, "use std::fmt;\n", "src/x.rs:1:"),
        (unwraps, "//! Head.\nfn f() {\n    g().unwrap();\n}\n", "src/x.rs:3:"),
        (unsafes, "//! Head.\nunsafe fn f() {}\n", "src/x.rs:2:"),
        (names, "//! Head.\n\nstruct HttpHandler;\n", "src/x.rs:3: `HttpHandler`"),
        (names, "//! Head.\nmod date_util;\n", "src/x.rs:2: `date_util`"),
    ];
    for (rule, text, expected) in cases {
        let faults = rule(&[Source::new("src/x.rs", text)]);
        assert!(faults.len() == 1 && faults[0].starts_with(expected), "{expected}: {faults:?}");
    }
}

#[test]
fn good_text_has_no_fault() {
    let body = "    x();\n".repeat(FUNCTION_LINES_MAX - 2);
    let text = format!(
        "//! Head: unsafe, unwrap() in words only.\nfn f() {{\n{body}}}\n\
         fn g(f: fn(u8) -> u8) {{ f(\".unwrap()\"); }}\n#[cfg(test)]\nmod tests {{ fn t() {{ x.unwrap() }} }}\n\
         struct Handle; enum Manage {{}}\n"
    );
    let sources = [Source::new("src/x.rs", &text)];
    let rules: [Rule; 6] = [file_lengths, function_lengths, heads, unwraps, unsafes, names];
    for rule in rules {
        assert_eq!(rule(&sources), Vec::<String>::new());
    }
}

#[test]
fn a_learner_without_its_docs_block_is_found() {
    let bare = "//! A forest.\n//!\n//! - *Input*: rows.\n\nimpl Learner for Forest {}\n";
    assert_eq!(learner_heads(&[Source::new("src/learn/forest.rs", bare)]).len(), 5);
    assert_eq!(learner_heads(&[Source::new("src/edge/forest.rs", bare)]).len(), 0);
    let head: String = LEARNER_LINES.iter().map(|label| format!("//! **{label}**: words.\n")).collect();
    let whole = format!("{head}\nimpl<T> crate::learn::Learner for Forest<T> {{}}\n");
    assert_eq!(learner_heads(&[Source::new("src/learn/forest.rs", &whole)]), Vec::<String>::new());
}
