//! What is more urgent goes first (RFC 9218).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;

use super::floods::{PREFACE, frame};
use crate::door::LIMIT;
use crate::http::Pass;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;

/// More than the kernel keeps for a client that does not read.
const BODY_BYTES: usize = 24 << 20;

/// How much the client takes at a time.
const BYTES_A_LOOK: usize = 128 << 10;

/// `GET path` of `h`: fields of the static table, and literals.
fn head(path: &str, priority: &str) -> Vec<u8> {
    let text = |text: &str| {
        let length = u8::try_from(text.len()).expect("small");
        [&[length], text.as_bytes()].concat()
    };
    let parts: [&[u8]; 6] =
        [b"\x82\x86\x04", &text(path), b"\x01\x01h\x00", &text("priority"), &text(priority), b""];
    parts.concat()
}

#[test]
fn the_urgent_goes_first() {
    let pass = Pass::new("[runtime]\nworkers = 1\n");
    let mut client = TcpStream::connect(pass.door.http[0]).expect("the door is open");
    client.set_read_timeout(Some(LIMIT)).expect("a time-out");
    let begin = [
        PREFACE,
        // It would take everything at once, as far as windows go.
        &frame(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]),
        &frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0, 0]),
    ];
    client.write_all(&begin.concat()).expect("it is open");
    let asked = [(1_u32, "/late", "u=7"), (3, "/soon", "u=0, i")];
    let services = asked.map(|(stream, path, priority)| {
        client.write_all(&frame(HEADERS, 5, stream, &head(path, priority))).expect("it is open");
        let mut service = pass.upstream.accept();
        let heard = service.read_request();
        assert!(heard.starts_with(&format!("GET {path} ")), "{heard}");
        thread::spawn(move || {
            service.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY_BYTES}\r\n\r\n"));
            service.send(vec![b'x'; BODY_BYTES]);
            service
        })
    });
    // A client that is slower than the door: the worker looks at everything before it reads on.
    let look = || assert!(pass.door.ask("TRACE / HTTP/1.1\r\nHost: h\r\n\r\n").contains(" 405 "));
    (0..20).for_each(|_| look());
    let mut received = [0; 4];
    let mut looked_at = 0;
    while received[3] < BODY_BYTES {
        let total: usize = received.iter().sum();
        if total >= looked_at + BYTES_A_LOOK {
            looked_at = total;
            (0..3).for_each(|_| look());
        }
        let mut head = [0; 9];
        client.read_exact(&mut head).expect("a frame");
        let [_, a, b, kind, ..] = head;
        let length = usize::from(head[0]) << 16 | usize::from(a) << 8 | usize::from(b);
        let stream = usize::from(head[8]);
        client.read_exact(&mut vec![0; length]).expect("a whole frame");
        if kind == DATA {
            received[stream] += length;
        }
    }
    let early = received[1];
    assert!(early < BODY_BYTES * 3 / 4, "{early} bytes of what can wait came before");
    drop(client);
    for service in services {
        // The one that was not waited for was broken off.
        drop(service.join());
    }
}
