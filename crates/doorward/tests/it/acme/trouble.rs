//! What goes wrong between a door and an authority, and what people are told.

use std::fs;

use rustix::process::Signal;

use super::clock::Clock;
use super::front::Front;
use super::pebble::Pebble;
use super::{ROUTES, acme};
use crate::door::{Door, Folder};

#[test]
fn an_authority_that_cannot_reach_us_says_so_and_is_not_hammered() {
    let folder = Folder::new();
    let pebble = Pebble::start(&folder, &[]);
    // It looks at port 5002, and nobody is there.
    let tables = pebble.tables().replace(":5002", ":5003");
    let mut door = Door::start_in(folder, &format!("{tables}{ROUTES}"));
    let said = door.stderr.wait_for("one.example: no certificate");
    assert!(said.contains("port 80 of this name must lead to"), "{said}");
    let certificate = acme(&door)["certificates"][0].clone();
    assert_eq!(certificate["failures"], 1);
    assert_eq!(certificate["next-reason"], "the attempt before failed");

    // A restart does not try at once: what failed is remembered.
    door.signal(Signal::TERM);
    door.wait();
    let folder = std::mem::replace(&mut door.folder, Folder::new());
    let door = Door::start_in(folder, &format!("{tables}{ROUTES}"));
    super::wait_until("it looks", || acme(&door)["certificates"].get(0).is_some());
    let certificate = acme(&door)["certificates"][0].clone();
    assert_eq!(certificate["failures"], 1, "{certificate}");
    assert_eq!(certificate["next-reason"], "the attempt before failed");
    assert!(!door.stderr.all().iter().any(|line| line.contains("is ordered")));
}

#[test]
fn limits_of_an_authority_are_respected() {
    let folder = Folder::new();
    let pebble = Pebble::start(&folder, &[]);
    let front = Front::start(&pebble, &folder, &["newOrder"]);
    front.answer(
        "/newOrder",
        "429 Too Many Requests\r\nRetry-After: 86400\r\nContent-Type: application/problem+json\r\n",
        "{\"type\":\"urn:ietf:params:acme:error:rateLimited\",\"detail\":\"too many of example\"}",
    );
    let (door, clock) = Clock::door(folder, &format!("{}{ROUTES}", front.tables(&pebble)));
    let said = door.stderr.wait_for("one.example: no certificate: too many of example");
    assert!(said.contains("see its rate limits"), "{said}");
    let now = std::time::UNIX_EPOCH.elapsed().expect("it is later").as_secs();
    let next = acme(&door)["certificates"][0]["next-unix"].as_u64().expect("a time");
    assert!((86_000..87_000).contains(&(next - now)), "{}", next - now);

    clock.set(90_000);
    door.stderr.wait_for("the attempt before failed");
}

#[test]
fn an_order_goes_on_after_a_restart() {
    let folder = Folder::new();
    let pebble = Pebble::start(&folder, &[]);
    let hook = pebble.hook(&folder);
    folder.write("hold", "");
    let config =
        format!("{}challenge = \"dns-01\"\ndns-hook = \"{hook}\"\n{ROUTES}", pebble.tables());
    let mut door = Door::start_in(folder, &config);
    let log = door.folder.path().join("hook.log");
    super::wait_until("the hook is called", || fs::read_to_string(&log).is_ok());
    door.signal(Signal::KILL);
    door.wait();

    let folder = std::mem::replace(&mut door.folder, Folder::new());
    fs::remove_file(folder.path().join("hold")).expect("it is there");
    let door = Door::start_in(folder, &config);
    door.stderr.wait_for("one.example: an earlier order goes on");
    door.stderr.wait_for("one.example: certified until");
    let calls = fs::read_to_string(&log).expect("it was called");
    let verbs: Vec<&str> = calls.lines().filter_map(|line| line.split(' ').next()).collect();
    // What the first process left in DNS is removed before.
    assert_eq!(verbs, ["add", "remove", "add", "remove"]);
}

#[test]
fn an_authority_that_dies_in_the_middle_of_an_order_is_asked_anew() {
    let folder = Folder::new();
    let mut pebble = Pebble::start(&folder, &[]);
    let hook = pebble.hook(&folder);
    folder.write("hold", "");
    let config =
        format!("{}challenge = \"dns-01\"\ndns-hook = \"{hook}\"\n{ROUTES}", pebble.tables());
    let door = Door::start_in(folder, &config);
    let log = door.folder.path().join("hook.log");
    super::wait_until("the hook is called", || fs::read_to_string(&log).is_ok());
    // It comes back, and knows neither the account nor the order.
    pebble.start_again(&door.folder, &[]);
    fs::remove_file(door.folder.path().join("hold")).expect("it is there");
    door.stderr.wait_for("one.example: certified until");
    pebble.client("one.example").connect(door.https[0]).expect("it is trusted");
    let calls = fs::read_to_string(&log).expect("it was called");
    let verbs: Vec<&str> = calls.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(verbs, ["add", "remove", "add", "remove"]);
}

#[test]
fn one_process_orders_and_others_use_it() {
    let folder = Folder::new();
    let state = Folder::new();
    let pebble = Pebble::start(&folder, &[]);
    let place = format!("state = \"{}\"\n", state.path().display());
    let config = format!("{}{place}{ROUTES}", pebble.tables());
    let mut door = Door::start_in(folder, &config);
    door.stderr.wait_for("one.example: certified until");

    let folder = Folder::new();
    fs::write(folder.path().join("pebble.pem"), pebble_root(&door)).expect("it can be written");
    let second = config.replace(":5002", ":5012").replace(":5001", ":5011");
    let second = Door::start_in(folder, &second);
    second.stderr.wait_for("another process looks after");
    pebble.client("one.example").connect(second.https[0]).expect("it is the first one's");
    door.signal(Signal::KILL);
    door.wait();
    second.stderr.wait_for("the other process has ended");
}

fn pebble_root(door: &Door) -> Vec<u8> {
    fs::read(door.folder.path().join("pebble.pem")).expect("it is there")
}

#[test]
fn a_hook_that_fails_is_heard() {
    let folder = Folder::new();
    let pebble = Pebble::start(&folder, &[]);
    folder.write("hook.sh", "#!/bin/sh\necho \"no credentials for $2\" >&2\nexit 3\n");
    let config =
        format!("{}challenge = \"dns-01\"\ndns-hook = \"sh hook.sh\"\n{ROUTES}", pebble.tables());
    let door = Door::start_in(folder, &config);
    let said = door.stderr.wait_for("one.example: no certificate");
    let words = "`dns-hook add` ended with 3: no credentials for _acme-challenge.one.example";
    assert!(said.contains(words), "{said}");
}

#[test]
fn a_folder_that_cannot_be_used_is_named() {
    let folder = Folder::new();
    let pebble = Pebble::start(&folder, &[]);
    folder.write("file", "");
    let config = format!("{}state = \"file/below\"\n{ROUTES}", pebble.tables());
    let door = Door::start_in(folder, &config);
    let said = door.stderr.wait_for("file/below cannot be used");
    assert!(said.contains("\"error\""), "{said}");
    let status = acme(&door);
    assert!(status["trouble"].as_str().is_some_and(|words| words.contains("file/below")));
    assert!(door.admin("GET", "/metrics").contains("doorward_acme_stuck 1"));
}

#[test]
fn an_authority_that_cannot_be_verified_is_not_used() {
    let folder = Folder::new();
    let pebble = Pebble::start(&folder, &[]);
    let other = crate::tls::client::Made::new(&folder, "other", &["other.example"]);
    let tables = pebble.tables().replace(&pebble.own.cert, &other.cert);
    let names = "names = [\"one.example\", \"two.example\"]\n";
    let door = Door::start_in(folder, &format!("{tables}{names}{ROUTES}"));
    for name in ["one.example", "two.example"] {
        let said = door.stderr.wait_for(&format!("{name}: no certificate"));
        assert!(said.contains("cannot be verified") && said.contains("`roots`"), "{said}");
        let kept = door.folder.path().join(format!(".doorward/acme/{name}.json"));
        super::wait_until("it is remembered", || {
            fs::read_to_string(&kept).is_ok_and(|kept| kept.contains("\"count\": 1,"))
        });
    }
    // For the second one nobody was asked again.
    let ordered = door.stderr.all().iter().filter(|line| line.contains("is ordered")).count();
    assert_eq!(ordered, 1);
}
