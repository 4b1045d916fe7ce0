//! `doorward check` on files that are right and on files that are wrong.
//!
//! `tests/config/bad/FAULT.toml` has its expected output beside it, in `FAULT.txt`;
//! `UPDATE_EXPECT=1` rewrites it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use expect_test::expect_file;
use serde_json::Value;

const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/config");

/// Runs `doorward check` in `folder` of the test files.
fn check(folder: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_doorward"))
        .arg("check")
        .args(arguments)
        .current_dir(Path::new(TESTS).join(folder))
        .env_clear()
        .env("DOORWARD_TEST_TOKEN", "a token from the environment")
        .env("DOORWARD_TEST_SHORT", "swordfish")
        .output()
        .expect("the program is built")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is UTF-8")
}

/// The files of `folder` that end in `.toml`, sorted.
fn files(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(Path::new(TESTS).join(folder)).expect("the folder is there");
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("it can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    files
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).expect("test files have plain names")
}

#[test]
fn good_files_are_fine() {
    for path in files("good") {
        let output = check("good", &[name(&path)]);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!((output.status.code(), err.as_str()), (Some(0), ""), "{}", path.display());
        assert!(out.starts_with(&format!("{} is fine: ", name(&path))), "{out}");
        assert_eq!(out.lines().count(), 1, "{out}");
    }
}

#[test]
fn bad_files_are_explained() {
    for path in files("bad") {
        let output = check("bad", &[name(&path)]);
        assert_eq!(text(&output.stdout), "", "{}", path.display());
        expect_file![path.with_extension("txt")].assert_eq(&text(&output.stderr));
        assert_eq!(output.status.code(), Some(2), "{}", path.display());
    }
}

#[test]
fn odd_files_are_explained_and_can_be_used() {
    for path in files("odd") {
        let output = check("odd", &[name(&path)]);
        expect_file![path.with_extension("txt")].assert_eq(&text(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{}", path.display());
    }
}

#[test]
fn a_folder_stands_for_its_doorward_toml() {
    let output = check("good", &["folder"]);
    assert_eq!(text(&output.stdout), "folder/doorward.toml is fine: 1 file, 1 service, 1 route\n");
    let output = check("good/folder", &[]);
    assert_eq!(text(&output.stdout), "doorward.toml is fine: 1 file, 1 service, 1 route\n");
}

#[test]
fn json_has_the_whole_config_and_no_secret() {
    let output = check("good", &["--json", "env.toml"]);
    let out = text(&output.stdout);
    assert!(!out.contains("a token from"), "{out}");
    let object: Value = serde_json::from_str(&out).expect("one object");
    assert_eq!(object["ok"], true);
    assert_eq!(object["config"]["admin"]["token"], "***");
    assert_eq!(object["config"]["limits"]["body"], "2GiB");
    assert_eq!(object["config"]["route"][0]["path"], "/from-default/*");

    let output = check("bad", &["--json", "unknown-key.toml"]);
    assert_eq!(output.status.code(), Some(2));
    let object: Value = serde_json::from_slice(&output.stdout).expect("one object");
    assert_eq!((&object["ok"], object.get("config")), (&Value::Bool(false), None));
    let problem = &object["problems"][0];
    assert_eq!((&problem["line"], &problem["column"]), (&Value::from(2), &Value::from(1)));
    assert_eq!(problem["help"], "did you mean `http`?");
}

#[test]
fn the_schema_and_the_full_file_know_the_same_keys() {
    let schema: Value = serde_json::from_str(&schema()).expect("JSON");
    let full = fs::read_to_string(Path::new(TESTS).join("good/full.toml")).expect("it is there");
    for (table, property) in schema["properties"].as_object().expect("tables") {
        let reference = &property["anyOf"][0]["$ref"];
        let reference = property["$ref"].as_str().or(reference.as_str());
        let Some(definition) = reference.and_then(|path| path.rsplit('/').next()) else {
            continue;
        };
        assert!(full.contains(&format!("\n[{table}]\n")), "full.toml lacks [{table}]");
        let keys = schema["$defs"][definition]["properties"].as_object().expect("keys");
        for key in keys.keys() {
            assert!(full.contains(&format!("\n{key} = ")), "full.toml lacks {table}.{key}");
        }
    }
}

/// The output of `doorward check --schema`.
pub(crate) fn schema() -> String {
    let output = check("good", &["--schema"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// The one message without a file: it would take one of 256 MiB.
const TOO_LARGE: [&str; 2] = ["it has more than", "MiB"];

/// Every message in the code that loads has a file that provokes it.
#[test]
fn every_fault_has_a_file() {
    let shown: String = ["bad", "odd"]
        .iter()
        .flat_map(|folder| files(folder))
        .map(|path| fs::read_to_string(path.with_extension("txt")).expect("its output"))
        .collect();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/control");
    let mut paths = files_of_source(&source.join("model"));
    paths.push(source.join("load.rs"));
    let mut count = 0;
    for path in paths {
        let code = fs::read_to_string(&path).expect("source");
        let code = code.split("#[cfg(test)]").next().unwrap_or_default();
        for message in messages(code) {
            if message == TOO_LARGE {
                continue;
            }
            count += 1;
            let whole = message.iter().all(|part| shown.contains(part.as_str()));
            assert!(whole, "no file shows {message:?} of {}", path.display());
        }
    }
    assert!(count > 10, "the messages are not found any more");
}

fn files_of_source(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    entries.map(|entry| entry.expect("it can be read").path()).collect()
}

/// The fixed words of each message: the first string behind `.error(`, `.warning(` or `format!(`.
fn messages(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for call in [".error(", ".warning(", "format!("] {
        for rest in code.split(call).skip(1) {
            let Some((_, rest)) = rest.split_once('"') else {
                continue;
            };
            // Up to the next quote, escaped or not: enough to know the message by.
            let literal = rest.split(['"', '\\']).next().unwrap_or_default();
            let mut parts: Vec<String> =
                literal.split(['{', '}']).step_by(2).map(|part| part.trim().to_owned()).collect();
            parts.retain(|part| part.len() > 2);
            found.push(parts);
        }
    }
    found
}
