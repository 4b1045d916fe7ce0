//! Certificates whose files change while the door is open.

use std::fs;
use std::process::Stdio;

use super::client::{Made, Wants};
use super::secure_door;

use crate::door::{Door, Folder};

#[test]
fn files_that_change_are_read_again_and_broken_ones_are_not_used() {
    let (door, first, _service) = secure_door();
    let mut open = Wants::trusting(&[&first]).connect(door.https[0]).expect("TLS");
    open.get("/");
    // Another one, in the same files.
    let second = Made::new(&door.folder, "own", &["localhost"]);
    door.stderr.wait_for("own.pem has been read again");
    Wants::trusting(&[&second]).connect(door.https[0]).expect("the new one").get("/");
    let refusal = Wants::trusting(&[&first]).refusal(door.https[0]);
    assert!(refusal.contains("UnknownIssuer") || refusal.contains("BadSignature"), "{refusal}");
    // What is open stays open.
    open.get("/");

    let good = fs::read(door.folder.path().join("own.key")).expect("it is there");
    for (file, content, words) in [
        ("own.pem", "no certificate at all", "own.pem: no certificate in PEM"),
        ("own.key", "no key at all", "own.pem: no certificate in PEM"),
    ] {
        door.folder.write(file, content);
        door.stderr.wait_for(words);
    }
    door.stderr.wait_for("the certificate that was read before stays in use");
    Wants::trusting(&[&second]).connect(door.https[0]).expect("the old one").get("/");
    let status = door.admin("GET", "/api/status");
    assert!(status.contains("\"own.pem: no certificate in PEM\""), "{status}");
    let metrics = door.admin("GET", "/metrics");
    assert!(metrics.contains("doorward_tls_certificate_problems{from=\"files\"} 1\n"), "{metrics}");

    // The key of another certificate.
    let third = Made::new(&door.folder, "own", &["localhost"]);
    door.folder.write("own.key", good);
    door.stderr.wait_for("own.key is not the key of own.pem");
    Wants::trusting(&[&second]).connect(door.https[0]).expect("the old one").get("/");
    drop(third);
    let fourth = Made::new(&door.folder, "own", &["localhost"]);
    let mut seen = 0;
    while seen < 2 {
        // Twice by now: the line of the second, and of the fourth.
        seen = door.stderr.all().iter().filter(|line| line.contains("has been read again")).count();
        door.admin("GET", "/livez");
    }
    Wants::trusting(&[&fourth]).connect(door.https[0]).expect("the new one").get("/");
    let status = door.admin("GET", "/api/status");
    assert!(status.contains("\"certificate-problems\": []"), "{status}");
}

#[test]
fn a_reload_with_a_broken_certificate_is_refused_as_a_whole() {
    let (door, made, _service) = secure_door();
    let config = fs::read_to_string(door.folder.path().join("doorward.toml")).expect("it is there");
    door.folder.write("other.pem", "nothing");
    door.rewrite(&config.replace(
        "certificates = [",
        "certificates = [{ cert = \"other.pem\", key = \"other.key\" }, ",
    ));
    let reply = door.admin("POST", "/api/reload");
    assert!(reply.contains("other.pem: no certificate in PEM"), "{reply}");
    Wants::trusting(&[&made]).connect(door.https[0]).expect("the old one").get("/");
    // Another name, by a reload that is right.
    let other = Made::new(&door.folder, "other", &["other.test"]);
    let reply = door.admin("POST", "/api/reload");
    assert!(reply.contains("\"applied\": true"), "{reply}");
    let wants = Wants::trusting(&[&other]).name("other.test");
    wants.connect(door.https[0]).expect("the other one").get("/");
}

#[test]
fn https_without_a_certificate_does_not_start() {
    let folder = Folder::new();
    folder.write("doorward.toml", "[listen]\nhttps = \"127.0.0.1:0\"\n");
    let output = Door::command(&folder, &["run"])
        .stderr(Stdio::piped())
        .output()
        .expect("the program is built");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("`https` has no certificate to show"), "{said}");
    assert_eq!(output.status.code(), Some(2));
}
