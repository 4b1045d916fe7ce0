//! Frames that cost their sender nothing: their connection ends, and nobody else notices.

use crate::door::Wire;
use crate::frames::{Frames, request};
use crate::http::Pass;
use crate::ops::until;

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("small").to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// `POST /` of `h`; :method and :path by the static table.
const POST: &[u8] = b"\x83\x86\x84\x01\x01h";

/// Reads frames until the goodbye, and returns its code.
#[track_caller]
fn goodbye(client: &mut Wire) -> u32 {
    loop {
        let head = client.read_exact(9);
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let payload = client.read_exact(length);
        if head[3] == GOAWAY {
            return u32::from_be_bytes(payload[4..8].try_into().expect("four bytes"));
        }
    }
}

#[test]
fn each_flood_ends_its_connection_and_is_counted() {
    let pass = Pass::new("");
    let other = Frames::connect(pass.door.http[0]);
    let asked = other.open(request("GET", "/"), true);
    let mut service = pass.upstream.accept();
    service.read_request();
    let opened = frame(1, 4, 1, POST);
    let rapid: Vec<u8> = (0..2000)
        .flat_map(|at| [frame(1, 5, 2 * at + 1, POST), frame(3, 0, 2 * at + 1, &[0, 0, 0, 8])])
        .flatten()
        .collect();
    for (kind, before, flood) in [
        ("settings", Vec::new(), frame(SETTINGS, 0, 0, &[]).repeat(2000)),
        ("ping", Vec::new(), frame(6, 0, 0, &[0; 8]).repeat(5000)),
        ("window-update", Vec::new(), frame(8, 0, 0, &[0, 0, 0, 1]).repeat(9000)),
        ("empty", opened.clone(), frame(0, 0, 1, &[]).repeat(5000)),
        ("priority", Vec::new(), frame(2, 0, 1, &[0, 0, 0, 3, 7]).repeat(5000)),
        ("continuation", frame(1, 0, 1, POST), frame(9, 0, 1, b"\x00\x01a\x01b").repeat(2000)),
        ("reset", Vec::new(), rapid),
    ] {
        let mut client = pass.door.connect();
        client.send([PREFACE, &frame(SETTINGS, 0, 0, &[]), &before].concat());
        // The door may hang up before it has heard all.
        let _ = client.try_send(&flood);
        assert_eq!(goodbye(&mut client), ENHANCE_YOUR_CALM, "{kind}");
        let line = format!("doorward_client_floods_total{{kind=\"{kind}\"}} 1\n");
        // The goodbye may be read before it is counted.
        until(&line, || pass.door.admin("GET", "/metrics").contains(&line).then_some(()));
    }
    service.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstill");
    assert_eq!(other.answer(asked.response).expect("an answer").text(), "still");
}
