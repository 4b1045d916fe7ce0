//! Where a service is may change: by names, by a file, by the API.

use std::net::Ipv4Addr;

use serde_json::json;

use super::names::Names;
use crate::door::{Door, Folder};
use crate::ops::{get, operate, status, until};
use crate::wire::{Service, Upstream, ok};

const HOME: Ipv4Addr = Ipv4Addr::LOCALHOST;

fn config(names: &Names, endpoints: &[&str]) -> String {
    format!(
        "[dns]\nservers = [\"{}\"]\n[service.it]\nendpoints = {endpoints:?}\n\
         [[route]]\npath = \"/*\"\nservice = \"it\"\n",
        names.address()
    )
}

/// The addresses of the service's endpoints, as `status` has them.
fn endpoints(door: &Door) -> Vec<String> {
    let status = status(door);
    let endpoints = status["services"][0]["endpoints"].as_array().expect("a list");
    endpoints.iter().filter_map(|one| Some(one["address"].as_str()?.to_owned())).collect()
}

#[track_caller]
fn until_at(door: &Door, expected: &[String]) {
    until("it is there", || (endpoints(door) == expected).then_some(()));
}

/// A second service on another address of loopback, at the port of the first.
fn at(address: [u8; 4], port: u16) -> std::net::TcpListener {
    std::net::TcpListener::bind((Ipv4Addr::from(address), port)).expect("a free port")
}

#[test]
fn a_name_is_asked_for_again_when_its_time_is_over() {
    let (names, service) = (Names::new(), Service::saying("a"));
    let port = service.address().port();
    let _other = at([127, 0, 0, 2], port);
    names.put("shop.example", &[HOME], 1);
    names.put("rare.example", &[HOME], 3000);
    let name = |host| format!("{host}:{port}");
    let door = Door::start(&config(&names, &[&name("Shop.example")]));
    until_at(&door, &[service.address().to_string()]);
    assert_eq!(get(door.http[0], "/").1, "a");
    // `Host` is the client's; a service that wants its own gets the name.
    names.put("shop.example", &[HOME, [127, 0, 0, 2].into()], 1);
    until_at(&door, &[service.address().to_string(), format!("127.0.0.2:{port}")]);
    names.put("shop.example", &[[127, 0, 0, 2].into()], 1);
    until_at(&door, &[format!("127.0.0.2:{port}")]);
    // An outage of the name server is none of the service.
    names.remove("shop.example");
    door.stderr.wait_for("`shop.example:");
    assert_eq!(endpoints(&door), [format!("127.0.0.2:{port}")]);
    // What is good for long is not asked for again meanwhile.
    door.rewrite(&config(&names, &[&name("rare.example")]));
    operate(&door, "POST", "/api/reload", "");
    until_at(&door, &[service.address().to_string()]);
    let asked = names.asked("rare.example");
    let before = names.asked("shop.example");
    assert_eq!(asked, 2, "for IPv4 and for IPv6");
    assert!(before > 2);
}

#[test]
fn a_long_answer_comes_by_tcp() {
    let (names, service) = (Names::new(), Service::saying("a"));
    let port = service.address().port();
    let many: Vec<Ipv4Addr> = (1..=100).map(|at| [127, 0, 1, at].into()).collect();
    names.put("many.example", &many, 60);
    let door = Door::start(&config(&names, &[&format!("many.example:{port}")]));
    until("all are there", || (endpoints(&door).len() == 100).then_some(()));
}

#[test]
fn srv_records_have_ports_and_priorities() {
    let (names, a, b) = (Names::new(), Service::saying("a"), Service::saying("b"));
    let (a_port, b_port) = (a.address().port(), b.address().port());
    names.put("n1.example", &[HOME], 60);
    let name = "_http._tcp.shop.example";
    names.put_srv(name, &[(1, 1, a_port, "n1.example"), (2, 1, b_port, "n1.example")], 1);
    let door = Door::start(&config(&names, &["srv:_http._tcp.Shop.example"]));
    until_at(&door, &[a.address().to_string(), b.address().to_string()]);
    assert_eq!(get(door.http[0], "/").1, "a");
    names.put_srv(name, &[(2, 1, b_port, "n1.example"), (1, 1, 1, "gone.example")], 1);
    until_at(&door, &[b.address().to_string()]);
    assert_eq!(get(door.http[0], "/").1, "b");
}

#[test]
fn a_file_of_endpoints_is_watched() {
    let (names, a, b) = (Names::new(), Service::saying("a"), Service::saying("b"));
    names.put("b.example", &[HOME], 60);
    let folder = Folder::new();
    folder.write("some/where.txt", format!("# ours\n{}\n", a.address()));
    let door = Door::start_in(folder, &config(&names, &["file:some/where.txt"]));
    until_at(&door, &[a.address().to_string()]);
    let both = format!("{} # the old one\nb.example:{}\n", a.address(), b.address().port());
    door.folder.write("some/where.txt", both);
    until_at(&door, &[a.address().to_string(), b.address().to_string()]);
    door.folder.write("some/where.txt", "nonsense\n");
    door.stderr.wait_for("line 1: its port is missing");
    assert_eq!(endpoints(&door).len(), 2);
    door.folder.write("some/where.txt", b.address().to_string());
    until_at(&door, &[b.address().to_string()]);
    assert_eq!(get(door.http[0], "/").1, "b");
}

#[test]
fn what_leaves_ends_its_requests_and_gets_no_more() {
    let (names, slow, other) = (Names::new(), Upstream::new(), Service::saying("other"));
    let folder = Folder::new();
    folder.write("list", slow.address().to_string());
    let door = Door::start_in(folder, &config(&names, &["file:list"]));
    until_at(&door, &[slow.address().to_string()]);
    let mut client = door.connect();
    client.send("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut running = slow.accept();
    running.read_request();
    door.folder.write("list", other.address().to_string());
    until_at(&door, &[other.address().to_string()]);
    assert_eq!(get(door.http[0], "/").1, "other");
    running.send(ok("slow"));
    assert!(client.read_response().ends_with("slow"));
}

#[test]
fn operators_add_and_drain_endpoints() {
    let (names, a, b) = (Names::new(), Service::saying("a"), Service::saying("b"));
    let written = [a.address().to_string()];
    let door = Door::start(&config(&names, &[&written[0]]));
    let path = |service: &Service| format!("/api/services/it/endpoints/{}", service.address());
    let added = operate(&door, "PUT", &path(&b), "");
    let (a_text, b_text) = (a.address().to_string(), b.address().to_string());
    let expected = json!({
        "service": "it", "endpoints": [a_text, b_text], "added": [b_text], "drained": [],
    });
    assert_eq!((added.status, added.json()), (200, expected.clone()));
    assert_eq!(endpoints(&door), [a_text.clone(), b_text.clone()]);
    let drained = operate(&door, "DELETE", &path(&a), "").json();
    assert_eq!((&drained["endpoints"], &drained["drained"]), (&json!([b_text]), &json!([a_text])));
    assert_eq!(get(door.http[0], "/").1, "b");
    // It outlives a reload.
    operate(&door, "POST", "/api/reload", "");
    assert_eq!(endpoints(&door).join(" "), b_text);
    operate(&door, "PUT", &path(&a), "");
    assert_eq!(operate(&door, "GET", "/api/services/it/endpoints", "").json(), expected);
    let removed = operate(&door, "DELETE", &path(&b), "").json();
    assert_eq!((&removed["endpoints"], &removed["added"]), (&json!([a_text]), &json!([])));
    for (method, path, status) in [
        ("GET", "/api/services/no/endpoints", 404),
        ("DELETE", "/api/services/it/endpoints/127.0.0.1:1", 404),
        ("PUT", "/api/services/it/endpoints/nonsense", 400),
        ("PUT", "/api/services/it/endpoints/file:x", 400),
        ("POST", "/api/services/it/endpoints", 405),
        ("GET", "/api/services/it/endpoints/127.0.0.1:1", 405),
        ("GET", "/api/services/it/elsewhere", 404),
    ] {
        assert_eq!(operate(&door, method, path, "").status, status, "{method} {path}");
    }
}
