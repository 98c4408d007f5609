//! The core does no I/O and reads no clock, no entropy and no thread: neither its sources nor what they stand on.

#![allow(clippy::unwrap_used)] // In the helpers of tests too.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Crates that have no place below the core: runtimes, sockets, clocks, entropy.
const FORBIDDEN_CRATES: [&str; 18] = [
    "async-channel",
    "async-io",
    "async-std",
    "chrono",
    "crossbeam-channel",
    "fastrand",
    "futures-executor",
    "getrandom",
    "hyper",
    "mio",
    "polling",
    "rand",
    "rustix",
    "smol",
    "socket2",
    "time",
    "tokio",
    "windows-sys",
];

/// Paths of the standard library that the sources may not use.
const FORBIDDEN_PATHS: [&str; 8] =
    ["std::env", "std::fs", "std::io", "std::net", "std::os", "std::process", "std::task", "std::thread"];

/// What of them is no I/O all the same: a slice, for vectored writes.
const ALLOWED_PATHS: [&str; 1] = ["std::io::IoSlice"];

/// What reads a clock or entropy, and what the core is not. A `HashMap` seeds itself, from the system's entropy.
const FORBIDDEN_WORDS: [&str; 14] = [
    "Instant::now",
    ".elapsed",
    "SystemTime",
    "getrandom",
    "OsRng",
    "from_os_rng",
    "rand::rng",
    "thread_rng",
    "RandomState",
    "HashMap",
    "HashSet",
    "async",
    "await",
    "unsafe",
];

/// What in `source` breaks the rules; comments, strings, doctests and tests do not count.
fn violations(source: &str) -> Vec<String> {
    let code = without_tests(&without_comments_and_strings(source));
    let tokens = tokens(&code);
    let has = |words: &&&str| {
        let words = self::tokens(words);
        tokens.windows(words.len()).any(|window| window == words)
    };
    let words = FORBIDDEN_WORDS.iter().filter(has).map(|words| (*words).to_owned());
    let is_forbidden = |path: &String| {
        let below = |prefix: &&str| path == *prefix || path.starts_with(&format!("{prefix}::"));
        FORBIDDEN_PATHS.iter().any(&below) && !ALLOWED_PATHS.iter().any(below)
    };
    words.chain(paths(&tokens).into_iter().filter(is_forbidden)).collect()
}

/// Blanks comments (doctests are comments), strings and characters. Line ends stay.
fn without_comments_and_strings(source: &str) -> String {
    let mut out = String::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let len = literal_or_comment(rest);
        let (skipped, behind) = rest.split_at(len.max(first.len_utf8()));
        match len {
            0 => out.push_str(skipped),
            _ => out.extend(skipped.chars().map(|character| if character == '\n' { '\n' } else { ' ' })),
        }
        // A raw string begins behind no letter, so words go whole.
        rest = behind;
        if first.is_alphanumeric() && len == 0 {
            let end = rest.find(|character: char| !(character.is_alphanumeric() || character == '_'));
            let (word, behind) = rest.split_at(end.unwrap_or(rest.len()));
            out.push_str(word);
            rest = behind;
        }
    }
    out
}

/// The length of the comment, string or character that `rest` begins with; 0 if it begins with none.
fn literal_or_comment(rest: &str) -> usize {
    let from = |at: usize, end: &str| rest[at..].find(end).map_or(rest.len(), |found| at + found + end.len());
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return from(2, "*/");
    }
    let prefix = ["br", "r", "b", "c", ""].into_iter().find(|prefix| {
        let behind = rest.strip_prefix(prefix).unwrap_or_default();
        let opens = if prefix.ends_with('r') { behind.trim_start_matches('#') } else { behind };
        opens.starts_with('"')
    });
    if let Some(prefix) = prefix {
        let hashes = rest[prefix.len()..].bytes().take_while(|byte| *byte == b'#').count();
        if prefix.ends_with('r') {
            return from(prefix.len() + hashes + 1, &format!("\"{}", "#".repeat(hashes)));
        }
        let mut bytes = rest.bytes().enumerate().skip(prefix.len() + 1);
        while let Some((at, byte)) = bytes.next() {
            match byte {
                b'\\' => drop(bytes.next()),
                b'"' => return at + 1,
                _ => {}
            }
        }
        return rest.len();
    }
    let quoted = rest.strip_prefix('\'').map(|behind| behind.chars().collect::<Vec<_>>());
    match quoted.as_deref() {
        Some(['\\', ..]) => from(3, "'"),
        Some([character, '\'', ..]) => 2 + character.len_utf8(),
        // A lifetime.
        _ => 0,
    }
}

/// Drops every item behind a `#[cfg(test)]`, to its `;` or the end of its braces.
fn without_tests(code: &str) -> String {
    let mut out = String::new();
    let mut rest = code;
    while let Some((before, behind)) = rest.split_once("#[cfg(test)]") {
        out.push_str(before);
        let mut depth = 0usize;
        let end = behind.find(|character| {
            match character {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            depth == 0 && matches!(character, ';' | '}')
        });
        rest = end.map_or("", |end| &behind[end + 1..]);
    }
    out + rest
}

/// Words and single signs, `::` being one.
fn tokens(code: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|character: char| !(character.is_alphanumeric() || character == '_'));
        let len = match word.unwrap_or(rest.len()) {
            0 if rest.starts_with("::") => 2,
            0 => first.len_utf8(),
            len => len,
        };
        tokens.push(&rest[..len]);
        rest = rest[len..].trim_start();
    }
    tokens
}

/// Every path that begins with `std`, the ones in the braces of a `use` spelled out.
fn paths(tokens: &[&str]) -> Vec<String> {
    let starts = (0..tokens.len()).filter(|at| tokens[*at] == "std");
    starts.flat_map(|at| tree(tokens, &mut { at }, "")).collect()
}

/// The paths of the tree that begins at `at`, which ends up behind it.
fn tree(tokens: &[&str], at: &mut usize, prefix: &str) -> Vec<String> {
    let mut path = prefix.to_owned();
    while let Some(token) = tokens.get(*at) {
        *at += 1;
        if *token != "{" {
            path.push_str(token);
            if tokens.get(*at) != Some(&"::") {
                return vec![path];
            }
            path.push_str("::");
            *at += 1;
            continue;
        }
        let mut all = Vec::new();
        while !matches!(tokens.get(*at), None | Some(&"}")) {
            // Commas, and `as name`, come out as paths of their own, which harm nobody.
            all.extend(tree(tokens, at, &path));
        }
        *at += 1;
        return all;
    }
    vec![path]
}

/// The forbidden crates in the output of `cargo tree --prefix none`.
fn forbidden_crates(tree: &str) -> Vec<&str> {
    let names = tree.lines().filter_map(|line| line.split_whitespace().next());
    names.filter(|name| FORBIDDEN_CRATES.contains(name) || name.starts_with("tokio-")).collect()
}

fn manifest_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All features of the core but two: `tungstenite`, whose handshake brings entropy of its own, for programs that have it
/// anyway, and `fuzz`, which compares with tungstenite.
fn features() -> String {
    let manifest = fs::read_to_string(manifest_dir().join("Cargo.toml")).unwrap();
    let section = manifest.split_once("[features]").unwrap().1.split("\n[").next().unwrap();
    let names = section.lines().filter_map(|line| line.split_once(" = ")).map(|(name, _)| name);
    names.filter(|name| !matches!(*name, "tungstenite" | "fuzz")).collect::<Vec<_>>().join(",")
}

fn sources_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        match path.is_dir() {
            // The fuzz bodies drive the core; they are no part of it.
            true if path.ends_with("src/fuzz") => {}
            true => files.extend(sources_below(&path)),
            false if path.extension().is_some_and(|end| end == "rs") => files.push(path),
            false => {}
        }
    }
    files
}

#[test]
fn the_sources_do_no_io() {
    let files = sources_below(&manifest_dir().join("src"));
    assert!(files.len() > 20, "{files:?}");
    for path in files {
        let found = violations(&fs::read_to_string(&path).unwrap());
        assert!(found.is_empty(), "{}: {found:?}", path.display());
    }
}

#[test]
fn nothing_below_does_io() {
    let features = features();
    let arguments =
        ["tree", "-p", "channel-proto", "-e", "normal", "--prefix", "none", "--offline", "--features"];
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output =
        Command::new(cargo).args(arguments).arg(&features).current_dir(manifest_dir()).output().unwrap();
    let tree = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(tree.lines().count() > 10, "{tree}");
    assert_eq!(forbidden_crates(&tree), [""; 0]);
}

#[test]
fn planted_violations_are_found() {
    let planted = [
        ("use std::net::TcpStream;", "std::net::TcpStream"),
        ("use std::{fmt, time::Duration, net::{Ipv4Addr, TcpStream as Stream}};", "std::net::TcpStream"),
        ("use std::{io::{self, IoSlice}};", "std::io::self"),
        ("fn f() { ::std::thread::spawn(|| {}); }", "std::thread::spawn"),
        ("fn f() -> Instant { return Instant :: now() }", "Instant::now"),
        ("fn f() { let x = at\n    .elapsed(); }", ".elapsed"),
        ("use std::time::{Instant, SystemTime};", "SystemTime"),
        ("fn f() { getrandom::fill(&mut seed) }", "getrandom"),
        ("fn f() { rand::rng().next_u32() }", "rand::rng"),
        ("use std::collections::HashMap;", "HashMap"),
        ("pub async fn f() {}", "async"),
        ("fn f() { unsafe { g() } }", "unsafe"),
        ("fn f() { std::fs::read(\"x\") }", "std::fs::read"),
        // What stands before does not hide it.
        ("const A: char = '\"'; // \"\nfn f<'a>() { unsafe { g() } }", "unsafe"),
        ("const A: &str = r#\"\"#; unsafe fn f() {}", "unsafe"),
        ("#[cfg(test)]\nmod tests { fn f() { {} } }\nasync fn f() {}", "async"),
        ("#[cfg(test)]\nmod table;\nasync fn f() {}", "async"),
    ];
    for (source, violation) in planted {
        assert!(
            violations(source).iter().any(|found| found == violation),
            "{source}: {:?}",
            violations(source)
        );
    }
}

#[test]
fn what_is_no_violation_is_not_found() {
    let sound = [
        "//! use std::net::TcpStream;\n/// Never calls `Instant::now()`.\n/* async unsafe */ fn f() {}",
        "const A: &str = \"async \\\" unsafe\"; const B: &[u8] = br#\"std::net \" async\"#;",
        "use std::{collections::{BTreeMap, VecDeque}, fmt, io::IoSlice, time::{Duration, Instant}};",
        "fn f(asynchronous: u8, elapsed: u8) {}",
        "#[cfg(test)]\nmod tests {\n    use std::{fs, thread};\n    fn f() { Instant::now(); }\n}\n",
    ];
    for source in sound {
        assert_eq!(violations(source), [""; 0], "{source}");
    }
}

#[test]
fn planted_crates_are_found() {
    let tree = "channel-proto v0.1.0 (/x)\nbytes v1.12.1\ntokio v1.48.0\nrand_core v0.10.1\ntokio-util v0.7.1\nrand v0.10.3 (*)";
    assert_eq!(forbidden_crates(tree), ["tokio", "tokio-util", "rand"]);
}
