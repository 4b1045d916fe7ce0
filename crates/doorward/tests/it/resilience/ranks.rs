//! What endpoints get beside each other: weights, tiers and zones, wherever they are written.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::names::Names;
use super::{Patient, endpoint, until_found};
use crate::door::{Door, Folder};
use crate::ops::{get, metrics_with, operate, until};
use crate::wire::Service;

/// A door before a service with these endpoints and keys.
fn door(endpoints: &str, more: &str) -> Door {
    Door::start(&format!(
        "[runtime]\nworkers = 1\nzone = \"here\"\n\
         [service.it]\nendpoints = [{endpoints}]\n{more}\n\
         [[route]]\npath = \"/*\"\nservice = \"it\"\n"
    ))
}

/// How often each service answers so many requests.
fn shares(door: &Door, count: usize) -> BTreeMap<String, usize> {
    let mut shares = BTreeMap::new();
    for _ in 0..count {
        *shares.entry(get(door.http[0], "/").1).or_default() += 1;
    }
    shares
}

/// What is said of the endpoint of `service`.
fn rank(door: &Door, service: &Service) -> Value {
    let endpoint = endpoint(door, service.address());
    json!([endpoint["weight"], endpoint["tier"], endpoint["zone"]])
}

#[test]
fn requests_come_in_proportion_to_weights() {
    let (a, b) = (Service::saying("a"), Service::saying("b"));
    let door = door(
        &format!("\"{}\", {{ address = \"{}\", weight = 3 }}", a.address(), b.address()),
        "balance = { by = \"round-robin\" }",
    );
    assert_eq!(shares(&door, 40), [("a".to_owned(), 10), ("b".to_owned(), 30)].into());
    // Operators say otherwise, and a reload does not change that.
    let path = format!("/api/services/it/endpoints/{}", a.address());
    let said = operate(&door, "PUT", &path, "{\"weight\": 9}").json();
    let ranks = json!({ a.address().to_string(): { "weight": 9, "tier": 0, "zone": null } });
    assert_eq!(said["ranks"], ranks);
    operate(&door, "POST", "/api/reload", "");
    assert_eq!(rank(&door, &a), json!([9, 0, null]));
    assert_eq!(shares(&door, 40), [("a".to_owned(), 30), ("b".to_owned(), 10)].into());
    // Without a word it stays as it is.
    assert_eq!(operate(&door, "PUT", &path, "").json()["ranks"], ranks);
    for body in ["{\"weight\": 0}", "{\"tier\": 8}", "{\"zone\": \"a b\"}", "{\"wait\": 1}", "3"] {
        assert_eq!(operate(&door, "PUT", &path, body).status, 400, "{body}");
    }
}

#[test]
fn a_tier_takes_over_and_hands_back() {
    let (first, second) = (Patient::new("first", true), Patient::new("second", true));
    let door = door(
        &format!("\"{}\", {{ address = \"{}\", tier = 1 }}", first.address(), second.address()),
        "health = { path = \"/healthz\", every = \"100ms\", healthy-after = 1 }",
    );
    until_found(&door, first.address(), "well");
    until_found(&door, second.address(), "well");
    assert_eq!(shares(&door, 10), [("first".to_owned(), 10)].into());
    first.becomes(false);
    until_found(&door, first.address(), "unwell");
    until("the plan is made anew", || (get(door.http[0], "/").1 == "second").then_some(()));
    assert_eq!(shares(&door, 10), [("second".to_owned(), 10)].into());
    metrics_with(&door, "doorward_balance_spilled_total{service=\"it\"}", 11.0);
    let explained = operate(&door, "POST", "/api/explain", "{\"url\": \"http://h/\"}").body;
    assert!(explained.contains("\"tier\": \"1\""), "{explained}");
    assert!(explained.contains("(unwell)"), "{explained}");
    first.becomes(true);
    until_found(&door, first.address(), "well");
    until("it is used again", || (get(door.http[0], "/").1 == "first").then_some(()));
}

#[test]
fn our_own_zone_is_preferred() {
    let services = ["far", "near", "anywhere"].map(Service::saying);
    let [far, near, anywhere] = services.each_ref().map(Service::address);
    let door = door(
        &format!(
            "{{ address = \"{far}\", zone = \"there\" }}, \
             {{ address = \"{near}\", zone = \"here\" }}, \"{anywhere}\""
        ),
        "balance = { by = \"round-robin\" }",
    );
    assert_eq!(shares(&door, 20), [("anywhere".to_owned(), 10), ("near".to_owned(), 10)].into());
    // Two thirds of ours are gone, which is more than the rest can carry.
    for address in [near, anywhere] {
        operate(&door, "DELETE", &format!("/api/services/it/endpoints/{address}"), "");
    }
    assert_eq!(shares(&door, 5), [("far".to_owned(), 5)].into());
}

#[test]
fn a_file_says_what_each_gets() {
    let (a, b) = (Service::saying("a"), Service::saying("b"));
    let folder = Folder::new();
    let list = format!("{} weight=2\n{} tier=1 zone=there\n", a.address(), b.address());
    folder.write("list", list);
    let door = Door::start_in(
        folder,
        "[service.it]\nendpoints = [{ address = \"file:list\", weight = 2, zone = \"here\" }]\n\
         [[route]]\npath = \"/*\"\nservice = \"it\"\n",
    );
    until("it is read", || (rank(&door, &a) == json!([4, 0, "here"])).then_some(()));
    assert_eq!(rank(&door, &b), json!([2, 1, "there"]));
    // Another weight is a change like any other.
    door.folder.write("list", format!("{} weight=3\n{}\n", a.address(), b.address()));
    until("it is read again", || (rank(&door, &a) == json!([6, 0, "here"])).then_some(()));
    assert_eq!(rank(&door, &b), json!([2, 0, "here"]));
}

#[test]
fn srv_records_say_what_each_gets() {
    let (names, services) = (Names::new(), ["a", "b", "c"].map(Service::saying));
    let [a, b, c] = services.each_ref().map(|service| service.address().port());
    names.put("n1.example", &[Ipv4Addr::LOCALHOST], 60);
    let records = [(10, 30, a, "n1.example"), (10, 0, b, "n1.example"), (20, 5, c, "n1.example")];
    names.put_srv("_http._tcp.shop.example", &records, 60);
    let door = Door::start(&format!(
        "[dns]\nservers = [\"{}\"]\n[service.it]\nendpoints = [\"srv:_http._tcp.shop.example\"]\n\
         [[route]]\npath = \"/*\"\nservice = \"it\"\n",
        names.address()
    ));
    let ranks = || services.each_ref().map(|service| rank(&door, service));
    let expected = [json!([30, 0, null]), json!([1, 0, null]), json!([5, 1, null])];
    until("they are found", || (ranks() == expected).then_some(()));
}
