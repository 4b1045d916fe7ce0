//! Which paths are meant: those of files start at the configuration, those in the log are the
//! client's.

use std::process::Command;

use crate::door::{Door, Folder};

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

#[test]
fn the_log_shows_what_the_client_asked_for() {
    let door = Door::start(
        "[log]\naccess = \"text\"\n[[route]]\npath = \"/v1/{rest...}\"\nrespond = {}\n\
         rewrite = { path = \"/v2/{path.rest}\", query = \"\" }\n",
    );
    door.ask("GET /v1/a?b=1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    let line = door.stdout.wait_for("200 GET");
    assert!(line.contains("GET h/v1/a?b=1 "), "{line}");
}
