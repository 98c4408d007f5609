//! `docs/spec.md` and the tests hold each other: every rule has a test, and nobody names a rule that does not exist.

#![allow(clippy::unwrap_used)] // In the helpers of tests too.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// How the names of recordings begin; each kind has a directory below `tests/vectors`.
const RECORDED: [&str; 7] = ["attach-", "cri-", "exec-", "kubectl-", "kubelet-", "portforward-", "spdy-"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn spec() -> String {
    fs::read_to_string(root().join("docs/spec.md")).unwrap()
}

/// Every file below `dir`, if there is such a directory, except what a build or a package manager put there.
fn files_below(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut files = Vec::new();
    for path in entries.map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_string_lossy();
        let foreign = ["target", "node_modules", "package-lock.json", "vectors", "vendor"];
        if name.starts_with('.') || foreign.contains(&&*name) {
            continue;
        }
        match path.is_dir() {
            true => files.extend(files_below(&path)),
            false => files.push(path),
        }
    }
    files.sort();
    files
}

/// The text files of the crates and of `interop`.
fn sources() -> Vec<(PathBuf, String)> {
    let paths = [files_below(&root().join("crates")), files_below(&root().join("interop"))].concat();
    paths.into_iter().filter_map(|path| fs::read_to_string(&path).ok().map(|text| (path, text))).collect()
}

/// The rule that a heading states: `### FRM-7 — title`.
fn heading(line: &str) -> Option<(&str, usize)> {
    let (id, title) = line.strip_prefix("### ")?.split_once(" — ")?;
    assert!(!title.trim().is_empty(), "{id} has no title");
    let (family, number) = id.split_once('-')?;
    Some((family, number.parse().unwrap_or_else(|_| panic!("{id} is no id"))))
}

/// Every id, such as `FRM-7`, in the order of the specification.
fn rules(spec: &str) -> Vec<String> {
    spec.lines().filter_map(heading).map(|(family, number)| format!("{family}-{number}")).collect()
}

/// The ids that a comment names as held, and the number of its first line: `// Holds FRM-7, EXE-2.`, in a script
/// `# Holds FRM-7.` It ends with the full stop, lines further down perhaps; behind
/// that may come a remark.
fn held(text: &str) -> Vec<(usize, String)> {
    let mut all = Vec::new();
    let mut lines = text.lines().map(str::trim).enumerate();
    while let Some((number, line)) = lines.next() {
        let Some((mark, rest)) = line.split_once(" Holds ").filter(|(mark, _)| matches!(*mark, "//" | "#"))
        else {
            continue;
        };
        let mut ids = rest.to_owned();
        while !ids.contains('.') {
            let next = lines.next().and_then(|(_, line)| line.strip_prefix(mark));
            ids += next.unwrap_or_else(|| panic!("line {}: no full stop behind {rest:?}", number + 1));
        }
        let (ids, _remark) = ids.split_once('.').unwrap_or_default();
        all.extend(ids.split(',').map(|id| (number + 1, id.trim().to_owned())));
    }
    all
}

/// Whatever looks like the id of a rule: three capital letters and a number.
fn mentioned(text: &str) -> Vec<&str> {
    const OTHERS: [&str; 5] = ["CVE", "KEP", "RFC", "SHA", "UTF"];
    let is_word = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_');
    let words = text.split(|character: char| !is_word(character)).map(|word| word.trim_matches('-'));
    let is_id = |word: &&str| {
        word.split_once('-').is_some_and(|(family, number)| {
            let is_family = family.len() == 3 && family.bytes().all(|byte| byte.is_ascii_uppercase());
            is_family && !OTHERS.contains(&family) && number.parse::<u32>().is_ok()
        })
    };
    words.filter(is_id).collect()
}

/// The comment in a line, if there is one. An address is none.
fn comment(line: &str) -> &str {
    line.split_once("//").filter(|(code, _)| !code.ends_with(':')).map_or("", |(_, comment)| comment)
}

#[test]
fn rules_are_numbered_without_gaps_and_in_order() {
    let mut last = BTreeMap::new();
    let spec = spec();
    for line in spec.lines().filter(|line| line.starts_with("### ")) {
        let (family, number) = heading(line).unwrap_or_else(|| panic!("not `### FRM-7 — title`: {line}"));
        assert!(spec.contains(&format!("({family})\n")), "no chapter is called ({family})");
        let before = last.insert(family, number).unwrap_or(0);
        assert_eq!(number, before + 1, "{line}");
    }
    assert!(last.len() >= 6, "{last:?}");
}

#[test]
fn every_rule_has_a_test() {
    let mut untested: BTreeSet<String> = rules(&spec()).into_iter().collect();
    for (_, text) in sources() {
        for (_, id) in held(&text) {
            untested.remove(&id);
        }
    }
    assert!(untested.is_empty(), "rules without a test: {untested:?}");
}

#[test]
fn every_rule_that_a_test_names_exists() {
    let rules = rules(&spec());
    for (path, text) in sources().into_iter().filter(|(path, _)| !is_this_file(path)) {
        for (number, id) in held(&text) {
            assert!(rules.contains(&id), "{}:{number}: no rule {id:?}", path.display());
        }
    }
}

#[test]
fn what_names_rules_stands_directly_above_a_test() {
    let is_rust = |path: &Path| path.extension().is_some_and(|end| end == "rs") && !is_this_file(path);
    for (path, text) in sources().into_iter().filter(|(path, _)| is_rust(path)) {
        for (number, _) in held(&text) {
            let mut behind =
                text.lines().skip(number).map(str::trim).skip_while(|line| line.starts_with("//"));
            let next = behind.next().unwrap_or_default();
            assert!(next.starts_with("#["), "{}:{number}: above {next:?}", path.display());
        }
    }
}

#[test]
fn every_rule_that_a_comment_mentions_exists() {
    let spec = spec();
    let rules = rules(&spec);
    let mut unknown = BTreeSet::new();
    let mut check = |text: &str, place: &dyn Fn() -> String| {
        for id in mentioned(text).into_iter().filter(|id| !rules.iter().any(|rule| rule == id)) {
            unknown.insert(format!("{id} in {}", place()));
        }
    };
    check(&spec, &|| "docs/spec.md".into());
    for (path, text) in sources().into_iter().filter(|(path, _)| !is_this_file(path)) {
        let is_rust = path.extension().is_some_and(|end| end == "rs");
        for (number, line) in text.lines().enumerate() {
            let place = || format!("{}:{}", path.display(), number + 1);
            check(if is_rust { comment(line) } else { line }, &place);
        }
    }
    assert!(unknown.is_empty(), "no such rules: {unknown:#?}");
}

#[test]
fn every_recording_that_the_specification_names_exists() {
    let vectors = files_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors"));
    let name = |path: PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
    let recorded: BTreeSet<String> = vectors.into_iter().map(name).collect();
    let spec = spec();
    let missing: BTreeSet<_> =
        recordings(&spec).into_iter().filter(|name| !recorded.contains(*name)).collect();
    assert!(missing.is_empty(), "recordings that are not in tests/vectors: {missing:?}");
}

#[test]
fn every_line_of_recordings_names_recordings_only() {
    for line in spec().lines().filter_map(|line| line.strip_prefix("- Recording: ").map(str::to_owned)) {
        let names = recordings(&line).len();
        assert!(names > 0 && names == line.split(", ").count(), "{line}");
    }
}

/// The names of recordings in backquotes.
fn recordings(text: &str) -> Vec<&str> {
    // Every second part of a line is in backquotes. What ends in `-` stands for its kind.
    let quoted = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    let is_name = |name: &&str| RECORDED.iter().any(|kind| name.starts_with(kind)) && !name.ends_with('-');
    quoted.filter(is_name).collect()
}

fn is_this_file(path: &Path) -> bool {
    path.ends_with("tests/spec.rs")
}

#[test]
fn the_readers_read() {
    assert_eq!(heading("### FRM-7 — a title"), Some(("FRM", 7)));
    assert_eq!(heading("## FRM"), None);
    let text =
        "    // Holds FRM-7, EXE-2,\n    // EXE-3.\n#[test]\n# Holds FRM-1. A remark.\n// It Holds FRM-9.";
    let ids = [(1, "FRM-7"), (1, "EXE-2"), (1, "EXE-3"), (4, "FRM-1")];
    assert_eq!(held(text), ids.map(|(number, id)| (number, id.to_owned())));
    assert_eq!(mentioned("(FRM-3 to FRM-99), KEP-4006, EXE-0x, UTF-8, CVE-2026-35469"), ["FRM-3", "FRM-99"]);
    assert_eq!((comment("let a = 1; // FRM-1"), comment("\"http://x\"")), (" FRM-1", ""));
    assert_eq!(recordings("`exec-a`, `{255, 0}`, `cri-` and `kubectl-b`"), ["exec-a", "kubectl-b"]);
}
