//! Paths in a configuration start at its file, wherever the program is started.

use std::process::Command;

use crate::door::Folder;

#[test]
fn files_lie_beside_the_configuration() {
    let folder = Folder::new();
    folder.write("doorward.toml", "[[route]]\npath = \"/*\"\nfiles = { root = \"public\" }\n");
    let output = Command::new(env!("CARGO_BIN_EXE_doorward"))
        .args(["explain", "GET", "http://h/a.txt", "--config"])
        .arg(folder.path())
        .current_dir("/")
        .output()
        .expect("the program is built");
    let explained: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let public = folder.path().join("public");
    assert_eq!(explained["outcome"], format!("serve a file of {}: a.txt", public.display()));
}
