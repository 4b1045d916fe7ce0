//! What keeps the house clean: rules about the repository itself, so that a laptop knows what CI
//! knows.
//!
//! Each test says what is wrong and what to do about it. A rule that does not fit is changed here,
//! with its reason, or an exception is listed here, with its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The longest file, in lines. Beyond it a file has more than one subject.
const FILE_LINES_MAX: usize = 600;

/// Files that are longer, each with its reason.
const LONG_FILES: &[(&str, &str)] = &[];

/// The longest function outside of tests, in lines: what is read at one glance.
const FUNCTION_LINES_MAX: usize = 80;

/// Functions that are longer, each with its reason.
const LONG_FUNCTIONS: &[(&str, &str)] =
    &[("assemble", "puts the house together, once and in order")];

/// Names that say nothing of what is behind them.
const EMPTY_NAMES: [&str; 9] =
    ["common", "handler", "helper", "helpers", "manager", "misc", "shared", "util", "utils"];

/// Packages by which a crate could reach the world, or be reached by it.
const WORLDLY: [&str; 10] = [
    "async-io", "futures", "hyper", "libc", "mio", "polling", "reqwest", "rustix", "socket2",
    "tokio",
];

#[test]
fn every_file_has_one_subject_and_says_which() {
    let mut wrong = Vec::new();
    let mut unused: BTreeSet<&str> = LONG_FILES.iter().map(|(path, _)| *path).collect();
    for file in rust_files() {
        if !file.text.starts_with("//! ") {
            wrong.push(format!("{}: open it with a `//!` sentence: what it is for", file.path));
        }
        let lines = file.text.lines().count();
        if lines > FILE_LINES_MAX && !unused.remove(&*file.path) {
            wrong.push(format!(
                "{}: has {lines} lines; split it, or list it with a reason",
                file.path
            ));
        }
    }
    wrong.extend(unused.iter().map(|path| format!("{path}: is short, and listed as long")));
    nothing(&wrong);
}

#[test]
fn functions_are_read_at_one_glance() {
    let mut wrong = Vec::new();
    let mut unused: BTreeSet<&str> = LONG_FUNCTIONS.iter().map(|(name, _)| *name).collect();
    for file in rust_files().filter(|file| !file.is_test()) {
        for (name, lines) in functions(file.code()) {
            if lines > FUNCTION_LINES_MAX && !unused.remove(name) {
                let path = &file.path;
                wrong.push(format!(
                    "{path}: `{name}` has {lines} lines; cut it, or list it with a reason"
                ));
            }
        }
    }
    wrong.extend(unused.iter().map(|name| format!("`{name}` is short, and listed as long")));
    nothing(&wrong);
}

#[test]
fn invariants_are_said_and_nothing_is_left_for_later() {
    // Spelt apart, so that this file does not find itself.
    let marks = [
        (concat!(".unwrap", "()"), "write `expect(\"why it holds\")`"),
        (concat!("todo", "!("), "do it, or leave it out"),
        (concat!("unimplemented", "!("), "do it, or leave it out"),
        (concat!("dbg", "!("), "remove it"),
        (concat!("#[ign", "ore"), "assert what happens today, and say why"),
        (concat!("FIX", "ME"), "do it, or leave it out"),
        (concat!("XX", "X:"), "do it, or leave it out"),
    ];
    let mut wrong = Vec::new();
    for file in rust_files().filter(|file| file.path.starts_with("crates/")) {
        // Measuring programs may stop at the first surprise.
        if file.path.contains("/examples/") {
            continue;
        }
        for (mark, advice) in marks {
            if file.text.contains(mark) {
                wrong.push(format!("{}: has `{mark}`: {advice}", file.path));
            }
        }
    }
    nothing(&wrong);
}

#[test]
fn names_say_what_is_behind_them() {
    let mut wrong = Vec::new();
    for file in rust_files() {
        let stem = file.path.rsplit('/').next().and_then(|name| name.strip_suffix(".rs"));
        if stem.is_some_and(|stem| EMPTY_NAMES.contains(&stem)) {
            wrong.push(format!("{}: name it after its job", file.path));
        }
        for word in ["struct ", "enum ", "trait ", "mod ", "fn "] {
            for (at, _) in file.text.match_indices(word) {
                let rest = &file.text[at + word.len()..];
                let end =
                    rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                let name = &rest[..end];
                let lower = name.to_lowercase();
                let ends_empty = ["manager", "handler", "helper", "utils"]
                    .iter()
                    .any(|empty| lower.ends_with(empty));
                let begins_empty = word == "fn "
                    && ["do_", "handle_", "process_"].iter().any(|verb| name.starts_with(verb));
                if ends_empty || begins_empty {
                    wrong.push(format!("{}: `{name}` says little: name what it does", file.path));
                }
            }
        }
    }
    nothing(&wrong);
}

#[test]
fn what_decides_cannot_reach_the_world() {
    let lock = Lock::read();
    let mut wrong = Vec::new();
    for (from, never) in [
        ("wire", &["config", "rules", "doorward"][..]),
        ("config", &["wire", "rules", "doorward"]),
        ("rules", &["doorward"]),
    ] {
        let reached = lock.reached_from(from);
        assert!(!reached.is_empty(), "`{from}` is not in Cargo.lock");
        let bad = reached.iter().filter(|name| WORLDLY.contains(name) || never.contains(name));
        wrong.extend(
            bad.map(|name| format!("`{from}` reaches `{name}`: see ARCHITECTURE.md, Invariants")),
        );
    }
    nothing(&wrong);
}

#[test]
fn no_crate_may_write_unsafe() {
    let root = read("Cargo.toml");
    assert!(root.contains("unsafe_code = \"forbid\""), "Cargo.toml no longer forbids `unsafe`");
    for manifest in files(&["crates"], ".toml").filter(|file| file.path.ends_with("/Cargo.toml")) {
        assert!(
            manifest.text.contains("[lints]\nworkspace = true"),
            "{}: takes no lints over",
            manifest.path
        );
    }
}

/// Every package is code that somebody here answers for.
#[test]
fn dependencies_are_counted_and_each_raise_has_its_reason() {
    let lock = Lock::read();
    let ours = ["config", "wire", "rules"];
    let count = lock.reached_from("doorward").iter().filter(|name| !ours.contains(name)).count();
    let budget = read("crates/doorward/tests/dependencies.txt");
    let last =
        budget.lines().rfind(|line| !line.is_empty() && !line.starts_with('#')).expect("a number");
    let (most, reason) = last.split_once(' ').expect("a number and its reason");
    let most: usize = most.parse().expect("a number");
    assert!(!reason.trim().is_empty(), "the raise has no reason");
    assert!(
        count <= most,
        "{count} packages are more than {most}: do without, or raise it in tests/dependencies.txt with a reason"
    );
    assert!(
        count + 10 > most,
        "{count} packages are far fewer than {most}: write the new number down"
    );
    let elsewhere = lock.text.lines().filter(|line| line.starts_with("source = "));
    let elsewhere: Vec<_> = elsewhere
        .filter(|line| !line.contains("\"registry+https://github.com/rust-lang/crates.io-index\""))
        .collect();
    assert!(elsewhere.is_empty(), "packages from elsewhere: {elsewhere:?}");
}

#[test]
fn licences_are_there() {
    assert!(read("LICENSE-MIT").contains("MIT License"));
    assert!(read("LICENSE-APACHE").contains("Version 2.0"));
    assert!(read("Cargo.toml").contains("license = \"MIT OR Apache-2.0\""));
}

#[test]
fn the_changelog_knows_this_version() {
    let heading = format!("## [{}]", env!("CARGO_PKG_VERSION"));
    let changelog = read("CHANGELOG.md");
    assert!(changelog.contains(&heading), "CHANGELOG.md has no `{heading}`");
}

#[test]
fn decisions_are_numbered_once_and_listed() {
    let index = read("docs/decisions/README.md");
    let mut numbers = BTreeMap::new();
    for file in files(&["docs/decisions"], ".md") {
        let name = file.path.rsplit('/').next().expect("a name");
        if name == "README.md" {
            continue;
        }
        let number = name.split('-').next().expect("a number");
        assert!(
            number.len() == 3 && number.parse::<u16>().is_ok(),
            "{name}: begin with three digits"
        );
        assert!(
            file.text.starts_with(&format!("# {number}: ")),
            "{name}: its title lacks its number"
        );
        assert!(index.contains(name), "docs/decisions/README.md does not list {name}");
        let before = numbers.insert(number.to_owned(), name.to_owned());
        assert_eq!(before, None, "{name} has the same number");
    }
    assert!(numbers.len() > 5, "the decisions are not found any more");
}

#[test]
fn links_lead_somewhere() {
    let mut wrong = Vec::new();
    for page in pages() {
        let folder = Path::new(&page.path).parent().expect("a folder").to_owned();
        for link in links(&page.text) {
            let (path, anchor) =
                link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
            let target =
                if path.is_empty() { PathBuf::from(&page.path) } else { folder.join(path) };
            if !root().join(&target).exists() {
                wrong.push(format!("{}: leads to `{link}`, which is not there", page.path));
            } else if let Some(anchor) = anchor
                && !headings(&read(&target.to_string_lossy())).contains(anchor)
            {
                wrong.push(format!(
                    "{}: leads to `{link}`, where no heading is called so",
                    page.path
                ));
            }
        }
    }
    nothing(&wrong);
}

/// Paths in backticks, such as `data/serve.rs`, are promises, too.
#[test]
fn files_that_the_map_names_are_there() {
    let all: BTreeSet<String> = rust_files().map(|file| file.path).collect();
    let mut wrong = Vec::new();
    for page in ["ARCHITECTURE.md", "CONTRIBUTING.md"] {
        for word in
            code_words(&read(page)).filter(|word| is_source(word) && !word.contains(['<', '*']))
        {
            if !all.iter().any(|path| path == &word || path.ends_with(&format!("/{word}"))) {
                wrong.push(format!("{page}: names `{word}`, which is not there"));
            }
        }
    }
    nothing(&wrong);
}

#[test]
fn every_metric_is_in_the_guide_and_no_other() {
    let metrics = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        words.filter(|word| word.starts_with("doorward_")).map(ToOwned::to_owned).collect()
    };
    let mut written = metrics(&read("crates/doorward/src/admin/prometheus.rs"));
    written.append(&mut metrics(&read("crates/doorward/src/admin/prometheus/gates.rs")));
    let told = metrics(&read("docs/admin.md"));
    assert!(written.len() > 10, "the metrics are not found any more");
    assert_eq!(told, written, "docs/admin.md (left) and the code (right) differ");
}

#[test]
fn every_fault_is_in_the_guide_with_its_status() {
    let code = read("crates/rules/src/fault/words.rs");
    let slugs = code.split_once("fn slug").expect("its slugs").1;
    let slugs = slugs.split_once("\n    }").expect("an end").0;
    let guide = read("docs/limits.md");
    let mut count = 0;
    for slug in slugs.split('"').skip(1).step_by(2) {
        assert!(guide.contains(&format!("`{slug}`")), "docs/limits.md does not tell of `{slug}`");
        count += 1;
    }
    assert!(count > 20, "the faults are not found any more");
}

#[test]
fn every_filter_is_in_the_guide() {
    let guide = read("docs/routing.md");
    for (name, _) in rules::filter::ALL {
        assert!(guide.contains(&format!("`{name}`")), "docs/routing.md does not tell of `{name}`");
    }
}

/// A reader of the repository has neither this machine nor this user.
#[test]
fn no_path_leads_to_somebodys_machine() {
    let mut wrong = Vec::new();
    let texts = pages().chain(rust_files()).chain(files(&["bench", "examples", ".ci"], ""));
    for file in texts {
        for place in [concat!("/ro", "ot/"), concat!("/wor", "k/"), concat!("/ho", "me/")] {
            for (at, _) in file.text.match_indices(place) {
                let before = file.text[..at].chars().next_back();
                // `/home/me` is everybody's.
                let everybodys = file.text[at..].starts_with(concat!("/ho", "me/me"));
                if !everybodys
                    && !before.is_some_and(|c| c.is_alphanumeric() || "._-}*".contains(c))
                {
                    wrong.push(format!("{}: names a path below `{place}`", file.path));
                }
            }
        }
    }
    nothing(&wrong);
}

#[track_caller]
fn nothing(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n  {}\n", wrong.join("\n  "));
}

/// A text file of the repository.
struct File {
    /// From the root of the repository.
    path: String,
    text: String,
}

impl File {
    fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.path.ends_with("/tests.rs")
    }

    /// All but the tests at its end.
    fn code(&self) -> &str {
        self.text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default()
    }
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn rust_files() -> impl Iterator<Item = File> {
    files(&["crates", "fuzz", "bench", "examples"], ".rs")
}

/// The pages that people read.
fn pages() -> impl Iterator<Item = File> {
    let own = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"];
    let own = own.map(|path| File { path: path.to_owned(), text: read(path) });
    own.into_iter().chain(files(&["docs", "examples", "bench", "fuzz"], ".md"))
}

/// The text files below `folders` whose names end in `extension`, without what is built or made.
fn files(folders: &[&str], extension: &str) -> impl Iterator<Item = File> {
    let mut found = Vec::new();
    let mut waiting: Vec<String> = folders.iter().map(ToString::to_string).collect();
    while let Some(folder) = waiting.pop() {
        let Ok(entries) = fs::read_dir(root().join(&folder)) else { continue };
        for entry in entries {
            let entry = entry.expect("it can be read");
            let name = entry.file_name().into_string().expect("plain names");
            let made = ["target", "work", "data", "corpus", "artifacts", "seeds", "node_modules"];
            let path = format!("{folder}/{name}");
            if entry.file_type().expect("a type").is_dir() {
                if !made.contains(&&*name) && !name.starts_with('.')
                    || path == "crates/doorward/src/data"
                {
                    waiting.push(path);
                }
            } else if name.ends_with(extension)
                && let Ok(text) = fs::read_to_string(entry.path())
            {
                found.push(File { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found.into_iter()
}

/// Each function in `code` with its length in lines. Relies on the layout that rustfmt makes: the
/// line that ends a function is a brace as far in as its first line.
fn functions(code: &str) -> Vec<(&str, usize)> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for (first, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let Some((before, after)) = line.split_once("fn ") else { continue };
        let words =
            ["pub", "pub(crate)", "pub(super)", "const", "async", "unsafe", "extern", "\"C\""];
        if !before.split_whitespace().all(|word| words.contains(&word)) {
            continue;
        }
        let name = after.split(['(', '<']).next().unwrap_or_default();
        let Some(opens) = lines[first..].iter().position(|line| line.ends_with(['{', ';', '}']))
        else {
            continue;
        };
        if !lines[first + opens].ends_with('{') {
            continue;
        }
        let brace = format!("{}}}", " ".repeat(indent));
        let end = lines[first + opens..].iter().position(|line| *line == brace);
        found.push((name, opens + end.unwrap_or(0) + 1));
    }
    found
}

/// The targets of the links in a page that lead to files.
fn links(page: &str) -> impl Iterator<Item = &str> {
    let targets =
        page.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target));
    targets.filter(|target| {
        !target.contains("://")
            && !target.starts_with("mailto:")
            && !target.contains(char::is_whitespace)
    })
}

/// The anchors of a page's headings, as GitHub makes them.
fn headings(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let text = line.trim_start_matches('#').trim().to_lowercase();
            let kept = text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

/// What stands in backticks within lines.
fn code_words(page: &str) -> impl Iterator<Item = String> {
    let lines = page.lines().filter(|line| !line.starts_with("```"));
    let words = lines.flat_map(|line| line.split('`').skip(1).step_by(2));
    words.map(ToOwned::to_owned).collect::<Vec<_>>().into_iter()
}

fn is_source(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension == "rs")
}

/// `Cargo.lock`, as far as it matters here.
struct Lock {
    text: String,
    /// The names that each package needs, whatever the platform, and for tests and builds, too.
    needs: BTreeMap<String, Vec<String>>,
}

impl Lock {
    fn read() -> Self {
        let text = read("Cargo.lock");
        let table: toml::Table = text.parse().expect("Cargo.lock is TOML");
        let packages = table["package"].as_array().expect("packages");
        let mut needs: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for package in packages {
            let name = package["name"].as_str().expect("a name").to_owned();
            let list = package.get("dependencies").and_then(toml::Value::as_array);
            let names =
                list.into_iter().flatten().filter_map(|need| need.as_str()?.split(' ').next());
            needs.entry(name).or_default().extend(names.map(ToOwned::to_owned));
        }
        Self { text, needs }
    }

    fn reached_from(&self, name: &str) -> BTreeSet<&str> {
        let mut reached = BTreeSet::new();
        let mut waiting: Vec<&str> = self.needs[name].iter().map(String::as_str).collect();
        while let Some(name) = waiting.pop() {
            if reached.insert(name) {
                waiting.extend(self.needs[name].iter().map(String::as_str));
            }
        }
        reached
    }
}
