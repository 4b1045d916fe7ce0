//! A second attempt beside one that takes unusually long.

use std::sync::mpsc;
use std::thread;

use crate::door::Door;
use crate::ops::{get, metrics, value};
use crate::wire::{End, Service, Upstream, ok};

/// A service that never answers `/hang`; how each connection ended on which that was asked.
fn hanging() -> (std::net::SocketAddr, mpsc::Receiver<End>) {
    let upstream = Upstream::new();
    let (address, (said, ends)) = (upstream.address(), mpsc::channel());
    thread::spawn(move || {
        loop {
            let mut wire = upstream.accept();
            let said = said.clone();
            thread::spawn(move || {
                while let Some(request) = wire.read_some() {
                    if request.starts_with(b"GET /hang ") {
                        break;
                    }
                    wire.send(ok("a"));
                }
                // Nobody may be there any more to hear of it.
                let _ = said.send(wire.expect_end());
            });
        }
    });
    (address, ends)
}

fn door(endpoints: &[String], retry: &str) -> Door {
    Door::start(&format!(
        "[runtime]\nworkers = 1\n[service.it]\nendpoints = {endpoints:?}\n\
         balance = {{ by = \"round-robin\" }}\neject = {{ at-most = \"0%\" }}\n\
         retry = {retry}\n[[route]]\npath = \"/*\"\nservice = \"it\"\n"
    ))
}

#[test]
fn who_hangs_is_overtaken_and_cut_off() {
    let (a, ends) = hanging();
    let b = Service::saying("b");
    let door = door(&[a.to_string(), b.address().to_string()], "{ hedge = \"95%\" }");
    // So many tell how long it takes.
    for _ in 0..160 {
        get(door.http[0], "/");
    }
    // One of two in turn begins at the one that hangs.
    for _ in 0..2 {
        assert_eq!(get(door.http[0], "/hang"), (200, "b".to_owned()));
    }
    assert_eq!(ends.recv().expect("it is cut off"), End::Closed);
    // By chance others may be slow, too.
    let won = value(&metrics(&door), "doorward_upstream_hedges_won_total{service=\"it\"}");
    assert!(won >= 1.0, "{won}");
}

#[test]
fn nobody_is_overtaken_unless_that_is_wanted_or_without_another() {
    let (a, b) = (Service::saying("a"), Service::saying("b"));
    let addresses = [a.address().to_string(), b.address().to_string()];
    for (endpoints, retry) in [
        (&addresses[..], "{}"),
        (&addresses[..1], "{ hedge = \"50%\" }"),
        (&addresses[..], "{ hedge = \"50%\", attempts = 1 }"),
    ] {
        let door = door(endpoints, retry);
        for _ in 0..160 {
            get(door.http[0], "/");
        }
        let hedges = value(&metrics(&door), "doorward_upstream_hedges_total{service=\"it\"}");
        assert_eq!(hedges, 0.0, "{retry}");
    }
}
