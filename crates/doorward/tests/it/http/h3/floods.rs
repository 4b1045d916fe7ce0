//! Frames that cost their sender nothing: their connection ends, and nobody else notices.

use super::Secure;
use crate::ops::until;
use crate::quic::{DATA, Quic, SETTINGS, frame, request};

const EXCESSIVE_LOAD: u64 = 0x107;

#[test]
fn each_flood_ends_its_connection_and_is_counted() {
    let pass = Secure::new("");
    let other = pass.connect();
    let mut asked = other.open(&request("GET", "/", &[]), true);
    let mut service = pass.upstream.accept();
    service.read_request();
    type Attack = fn(&Quic);
    let floods: [(&str, Attack); 4] = [
        ("priority", |client| {
            let update = frame(0xf_0700, b"\x00u=1");
            let said = [vec![0], frame(SETTINGS, b""), update.repeat(5000)].concat();
            drop(client.wait(client.connection.open_uni()).map(|mut stream| {
                let _ = client.wait(stream.write_all(&said));
                stream
            }));
        }),
        ("priority", |client| {
            // Streams of a kind that nobody knows.
            client.wait(async {
                while let Ok(mut stream) = client.connection.open_uni().await {
                    let _ = stream.write_all(b"\x21").await;
                    let _ = stream.finish();
                }
            });
        }),
        ("reset", |client| {
            client.wait(async {
                while let Ok((mut send, _)) = client.connection.open_bi().await {
                    let _ = send.write_all(&request("POST", "/", &[])).await;
                    let _ = send.reset(quinn::VarInt::from_u32(0x10c));
                }
            });
        }),
        ("empty", |client| {
            let said = [request("POST", "/", &[]), frame(DATA, b"").repeat(5000)].concat();
            let _ = client.open(&said, false);
        }),
    ];
    let mut counted = std::collections::HashMap::new();
    for (kind, flood) in floods {
        let client = match kind {
            "priority" => Quic::connect_with(pass.door.https[0], &pass.made, b""),
            _ => pass.connect(),
        };
        flood(&client);
        assert_eq!(client.ended(), EXCESSIVE_LOAD, "{kind}");
        let count = counted.entry(kind).or_insert(0);
        *count += 1;
        let line = format!("doorward_client_floods_total{{kind=\"{kind}\"}} {count}\n");
        // The goodbye may be read before it is counted.
        until(&line, || pass.door.admin("GET", "/metrics").contains(&line).then_some(()));
    }
    service.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstill");
    assert_eq!(other.answer(&mut asked).expect("an answer").text(), "still");
}
