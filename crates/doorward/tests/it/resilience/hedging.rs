//! A second attempt beside one that takes unusually long.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use h2::Reason;
use http::Response;

use crate::door::{Door, LIMIT};
use crate::frames::{FrameService, Frames, request};
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
    // The same for a client of HTTP/2.
    let client = Frames::connect(door.http[0]);
    for _ in 0..2 {
        assert_eq!(client.ask(request("GET", "/hang"), b"").text(), "b");
    }
    assert_eq!(ends.recv().expect("it is cut off"), End::Closed);
    // By chance others may be slow, too.
    let won = value(&metrics(&door), "doorward_upstream_hedges_won_total{service=\"it\"}");
    assert!(won >= 1.0, "{won}");
}

/// Says that the test is over, also when it fails.
struct Over<'t>(&'t AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn the_stream_of_who_is_overtaken_is_reset() {
    let services = [FrameService::new(), FrameService::new()];
    let addresses = services.each_ref().map(|service| service.address.to_string());
    let door = door(&addresses, "{ hedge = \"95%\" }\nprotocol = \"h2\"");
    let (over, (said, resets)) = (AtomicBool::new(false), mpsc::channel());
    let serve = |service: &FrameService, name: &'static str, said: mpsc::Sender<Reason>| {
        while !over.load(Ordering::Relaxed) {
            let Some(mut served) = service.try_accept(Duration::from_millis(20)) else { continue };
            if name == "a" && served.head.uri().path() == "/hang" {
                let reset = service.wait(poll_fn(|cx| served.respond.poll_reset(cx)));
                said.send(reset.expect("a reset")).expect("the test waits");
            } else if let Ok(mut send) = served.respond.send_response(Response::new(()), false) {
                // By chance it may have been overtaken, too.
                let _ = send.send_data(name.into(), true);
            }
        }
    };
    thread::scope(|scope| {
        for (service, name) in services.iter().zip(["a", "b"]) {
            let (serve, said) = (&serve, said.clone());
            scope.spawn(move || serve(service, name, said));
        }
        let _over = Over(&over);
        let client = Frames::connect(door.http[0]);
        for _ in 0..160 {
            client.ask(request("GET", "/"), b"");
        }
        for _ in 0..2 {
            assert_eq!(client.ask(request("GET", "/hang"), b"").text(), "b");
        }
        assert_eq!(resets.recv_timeout(LIMIT).expect("it is cut off"), Reason::CANCEL);
    });
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
