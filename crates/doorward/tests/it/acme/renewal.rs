//! What comes after the first certificate: renewal, by age and as the authority wants it, while
//! clients are served.

use std::fs;

use super::clock::Clock;
use super::front::Front;
use super::pebble::Pebble;
use super::{ROUTES, acme, wait_for_two};
use crate::door::Folder;

const MINUTE: u64 = 60;
const DAY: u64 = 24 * 60 * MINUTE;

/// Pebble's certificates are good for five years: two thirds of that, a twentieth for chance, and a
/// day.
const RENEWED: u64 = 5 * 365 * DAY * 2 / 3 + 5 * 365 * DAY / 20 + DAY;

#[test]
fn a_certificate_is_renewed_while_its_connections_go_on() {
    let folder = Folder::new();
    let pebble = Pebble::start(&folder, &[]);
    let (door, clock) = Clock::door(folder, &format!("{}{ROUTES}", pebble.tables()));
    door.stderr.wait_for("one.example: certified until");
    let client = pebble.client("one.example");
    let mut open = client.connect(door.https[0]).expect("it is trusted");
    assert!(open.get("/").contains("elsewhere.example"), "it is answered");

    clock.set(RENEWED);
    wait_for_two(&door, "one.example: certified until");
    // One that resumes its session would not be shown any.
    let fresh = pebble.client("one.example").connect(door.https[0]).expect("it is trusted");
    assert_ne!(fresh.shown(), open.shown());
    assert!(open.get("/").contains("elsewhere.example"), "it is still open");

    // By its clock the new one is as old as the old one was. It is left alone all the same.
    let status = acme(&door);
    let next = status["certificates"][0]["next-unix"].as_u64().expect("a time");
    let now = std::time::UNIX_EPOCH.elapsed().expect("it is later").as_secs() + RENEWED;
    assert!(next > now + DAY / 2, "{next} {now}");
    assert_eq!(status["issued"], 2);
    let version: serde_json::Value =
        serde_json::from_str(&door.admin("GET", "/api/status")).expect("JSON");
    assert_eq!(version["config"]["version"], 1, "nothing was reloaded");
}

#[test]
fn the_old_certificate_stays_until_the_authority_is_back() {
    let folder = Folder::new();
    let mut pebble = Pebble::start(&folder, &[]);
    let (door, clock) = Clock::door(folder, &format!("{}{ROUTES}", pebble.tables()));
    door.stderr.wait_for("one.example: certified until");
    let client = pebble.client("one.example");
    pebble.kill();
    clock.set(RENEWED);
    let said = door.stderr.wait_for("one.example: no certificate");
    assert!(said.contains("\"warn\"") && said.contains("cannot be reached"), "{said}");
    client.connect(door.https[0]).expect("the old one is shown");
    let status = acme(&door);
    assert_eq!(status["certificates"][0]["state"], "valid");
    assert_eq!(status["certificates"][0]["failures"], 1);

    // It comes back, and knows nobody any more. The next attempt is not due yet.
    pebble.start_again(&door.folder, &[]);
    clock.set(RENEWED + 2 * MINUTE);
    wait_for_two(&door, "one.example: certified until");
    pebble.client("one.example").connect(door.https[0]).expect("the new one is shown");
    assert_eq!(acme(&door)["certificates"][0]["error"], serde_json::Value::Null);
}

#[test]
fn the_authority_says_when() {
    let folder = Folder::new();
    let pebble = Pebble::start(&folder, &[]);
    let front = Front::start(&pebble, &folder, &["renewalInfo"]);
    let window = |start: &str, end: &str| {
        let body = format!("{{\"suggestedWindow\":{{\"start\":\"{start}\",\"end\":\"{end}\"}}}}");
        front.answer("/renewalInfo", "200 OK\r\nRetry-After: 3600\r\n", &body);
    };
    window("2101-01-01T00:00:00Z", "2101-01-02T00:00:00Z");
    let (door, clock) = Clock::door(folder, &format!("{}{ROUTES}", front.tables(&pebble)));
    door.stderr.wait_for("one.example: to be renewed between Sat, 01 Jan 2101");
    let certificate = acme(&door)["certificates"][0].clone();
    assert_eq!(certificate["next-reason"], "the authority wants it renewed then");

    // Something is wrong with what it has signed: everybody is to renew at once.
    window("2001-01-01T00:00:00Z", "2001-01-02T00:00:00Z");
    clock.set(2 * DAY);
    door.stderr.wait_for("one.example: to be renewed between Mon, 01 Jan 2001");
    wait_for_two(&door, "one.example: certified until");
    front.asked.wait_for("/renewalInfo/");
}

#[test]
fn the_old_certificate_stays_while_nothing_can_be_written() {
    let folder = Folder::new();
    let pebble = Pebble::start(&folder, &[]);
    let (door, clock) = Clock::door(folder, &format!("{}{ROUTES}", pebble.tables()));
    door.stderr.wait_for("one.example: certified until");
    let client = pebble.client("one.example");
    let first = client.connect(door.https[0]).expect("it is trusted").shown().clone();
    // A disk cannot be filled here, and root may write everywhere; but nobody can write a folder.
    let state = door.folder.path().join(".doorward/acme");
    let files: Vec<_> = fs::read_dir(&state)
        .expect("it is there")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some())
        .map(|path| path.with_added_extension("new"))
        .collect();
    for path in &files {
        fs::create_dir(path).expect("there is none");
    }
    clock.set(RENEWED);
    let said = door.stderr.wait_for("cannot be written");
    assert!(said.contains(".doorward/acme/one.example"), "{said}");
    let shown = pebble
        .client("one.example")
        .connect(door.https[0])
        .expect("it is shown")
        .shown()
        .to_owned();
    assert_eq!(shown, first);
    assert_eq!(acme(&door)["certificates"][0]["state"], "valid");
    for path in &files {
        fs::remove_dir(path).expect("it is there");
    }
    clock.set(RENEWED + DAY);
    wait_for_two(&door, "one.example: certified until");
    let shown = pebble
        .client("one.example")
        .connect(door.https[0])
        .expect("it is shown")
        .shown()
        .to_owned();
    assert_ne!(shown, first);
}
