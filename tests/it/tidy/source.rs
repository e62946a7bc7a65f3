//! Rust text with its comments, strings and tests painted over, so that rules can search it plainly.
//!
//! Painting keeps every line where it was: a hit's line is the file's line.

use std::fs;
use std::path::{Path, PathBuf};

/// One file, in three forms of equal length in lines.
pub struct Source {
    /// From the package's root, with forward slashes: "src/engine/mod.rs".
    pub path: String,
    /// As it lies on disk.
    pub text: String,
    /// Without comments and the contents of strings.
    pub code: String,
    /// `code` without what is compiled for tests only.
    pub product: String,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Source {
        let code = paint_comments_and_strings(text);
        let all_tests = path.ends_with("/tests.rs") || path.contains("/tests/");
        let product = if all_tests { blank(&code) } else { paint_tests(&code) };
        Source { path: path.to_owned(), text: text.to_owned(), code, product }
    }

    /// The file's place in the module tree: `src/a/mod.rs` and `src/a.rs` are `["a"]`, `src/a/b.rs` is
    /// `["a", "b"]`, `src/lib.rs` is empty, `src/main.rs` is `["main"]`.
    pub fn module(&self) -> Vec<&str> {
        let inner = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        let mut parts: Vec<&str> = inner.split('/').collect();
        if matches!(parts.last(), Some(&("mod" | "lib"))) {
            parts.pop();
        }
        parts
    }
}

/// Every Rust file under `folder` of the package, in path order.
pub fn read_all(folder: &str) -> Vec<Source> {
    let root = root();
    let mut files = Vec::new();
    collect(&root.join(folder), &mut files);
    files.sort();
    let read = |file: &PathBuf| {
        let path =
            file.strip_prefix(&root).expect("lies under the root").to_string_lossy().replace('\\', "/");
        Source::new(&path, &fs::read_to_string(file).expect("is readable UTF-8"))
    };
    files.iter().map(read).collect()
}

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("is listed").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The line, counted from 1, in which byte `at` of `text` lies.
pub fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count() + 1
}

/// Byte positions at which `word` stands by itself in `text`.
pub fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let bytes = text.as_bytes();
    text.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let before = at.checked_sub(1).is_none_or(|i| !is_word(bytes[i]));
        let after = bytes.get(at + word.len()).is_none_or(|&byte| !is_word(byte));
        before && after
    })
}

pub fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The position of the bracket that closes the one at `open`; the text's end where there is none.
pub fn closing(text: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (i, byte) in text.bytes().enumerate().skip(open) {
        match byte {
            b'{' | b'(' | b'[' => depth += 1,
            b'}' | b')' | b']' => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth == 0 {
            return i;
        }
    }
    text.len()
}

/// The first `{` or `;` at or after `from` that is not inside round or square brackets.
pub fn body_or_end(text: &str, from: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (i, byte) in text.bytes().enumerate().skip(from) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b'{' | b';' if depth == 0 => return Some(i),
            _ => {}
        }
    }
    None
}

fn paint_tests(code: &str) -> String {
    let mut painted = code.as_bytes().to_vec();
    for (at, _) in code.match_indices("#[cfg(") {
        let end = closing(code, at + 1);
        if words(&code[at..end], "test").next().is_none() || code[at..end].contains("not(") {
            continue;
        }
        let Some(stop) = body_or_end(code, end + 1) else { continue };
        let last = if code.as_bytes()[stop] == b'{' { closing(code, stop) } else { stop };
        let until = (last + 1).min(painted.len());
        paint(&mut painted[at..until]);
    }
    String::from_utf8(painted).expect("whole characters were painted")
}

fn paint(bytes: &mut [u8]) {
    for byte in bytes.iter_mut().filter(|byte| **byte != b'\n') {
        *byte = b' ';
    }
}

fn blank(text: &str) -> String {
    text.chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect()
}

fn paint_comments_and_strings(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut painted = bytes.to_vec();
    let mut i = 0;
    while i < bytes.len() {
        let end = token_end(bytes, i);
        match end {
            Some(end) => {
                paint(&mut painted[i..end]);
                i = end;
            }
            // A word is passed over whole: the `r` of `for` opens no raw string.
            None if is_word(bytes[i]) => {
                while i < bytes.len() && is_word(bytes[i]) {
                    i += 1;
                }
            }
            None => i += 1,
        }
    }
    String::from_utf8(painted).expect("whole characters were painted")
}

/// Where the comment, string or character that begins at `i` ends; None where none begins.
fn token_end(bytes: &[u8], i: usize) -> Option<usize> {
    let rest = &bytes[i..];
    if rest.starts_with(b"//") {
        return Some(rest.iter().position(|&b| b == b'\n').map_or(bytes.len(), |n| i + n));
    }
    if rest.starts_with(b"/*") {
        return Some(comment_end(bytes, i));
    }
    let prefix = rest.iter().take_while(|&&b| matches!(b, b'b' | b'c' | b'r')).count();
    if prefix <= 2 && bytes.get(i + prefix) == Some(&b'"') {
        let raw = rest[..prefix].contains(&b'r');
        return Some(if raw { raw_end(bytes, i + prefix, 0) } else { quoted_end(bytes, i + prefix) });
    }
    if (1..=2).contains(&prefix) && rest[prefix - 1] == b'r' {
        let hashes = rest[prefix..].iter().take_while(|&&b| b == b'#').count();
        if hashes > 0 && bytes.get(i + prefix + hashes) == Some(&b'"') {
            return Some(raw_end(bytes, i + prefix + hashes, hashes));
        }
    }
    if rest[0] == b'\'' { char_end(bytes, i) } else { None }
}

fn comment_end(bytes: &[u8], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut i = start;
    while i < bytes.len() {
        if bytes[i..].starts_with(b"/*") {
            depth += 1;
            i += 2;
        } else if bytes[i..].starts_with(b"*/") {
            depth -= 1;
            i += 2;
            if depth == 0 {
                return i;
            }
        } else {
            i += 1;
        }
    }
    bytes.len()
}

fn quoted_end(bytes: &[u8], quote: usize) -> usize {
    let mut i = quote + 1;
    while i < bytes.len() && bytes[i] != b'"' {
        i += if bytes[i] == b'\\' { 2 } else { 1 };
    }
    (i + 1).min(bytes.len())
}

fn raw_end(bytes: &[u8], quote: usize, hashes: usize) -> usize {
    let mut close = vec![b'"'];
    close.resize(hashes + 1, b'#');
    let found = bytes[quote + 1..].windows(close.len()).position(|window| window == close);
    found.map_or(bytes.len(), |n| quote + 1 + n + close.len())
}

/// A lifetime is no character: `'a` followed by anything but a quote.
fn char_end(bytes: &[u8], quote: usize) -> Option<usize> {
    let first = *bytes.get(quote + 1)?;
    if first == b'\\' {
        let skip = quote + 3;
        return bytes[skip.min(bytes.len())..].iter().position(|&b| b == b'\'').map(|n| skip + n + 1);
    }
    let width = std::str::from_utf8(&bytes[quote + 1..]).ok()?.chars().next()?.len_utf8();
    (bytes.get(quote + 1 + width) == Some(&b'\'')).then_some(quote + width + 2)
}

#[test]
fn comments_strings_and_characters_are_painted_over() {
    let text = r##"fn f<'a>(x: &'a str) { // unsafe {
    let s = "unsafe \" {"; let r = r#"un"safe"#; let c = '{'; let q = '\''; /* { /* } */ */ for i in 0..1 {}
}"##;
    let source = Source::new("src/x.rs", text);
    assert_eq!(words(&source.code, "unsafe").count(), 0);
    assert_eq!(source.code.matches('{').count(), 2, "{}", source.code);
    assert_eq!(source.code.lines().count(), 3);
    let open = source.code.find('{').expect("is there");
    assert_eq!(closing(&source.code, open), text.len() - 1);
}

#[test]
fn what_is_for_tests_only_is_no_product() {
    let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() { x.unwrap() }\n}\nfn c() {}\n#[cfg(test)]\nmod t;\n";
    let source = Source::new("src/x.rs", text);
    assert!(source.product.contains("fn a") && source.product.contains("fn c"));
    assert!(!source.product.contains("unwrap") && !source.product.contains("mod t"));
    assert!(source.code.contains("unwrap"));
    assert!(Source::new("src/x/tests.rs", text).product.trim().is_empty());
}
