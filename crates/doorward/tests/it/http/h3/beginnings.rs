//! How connections begin: what a client gets before it has shown that its address is its own, and how
//! it shows it.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use quinn::ConnectionError;

use super::Secure;
use crate::door::{Door, Folder, Upstream};
use crate::http::to;
use crate::ops::until;
use crate::quic::{begin, first_packets};
use crate::tls::client::{Made, tables};

/// `INVALID_TOKEN` (RFC 9000, 20.1).
const INVALID_TOKEN: u64 = 0x0b;

/// How long datagrams are at first (RFC 9000, 14).
const DATAGRAM_BYTES: usize = 1200;

/// Somebody on the way between a client and the door.
struct Between {
    /// Where the client thinks that the door is.
    front: UdpSocket,
    /// Where the door thinks that the client is.
    back: UdpSocket,
    door: SocketAddr,
    client: Option<SocketAddr>,
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    // Each side is asked in turn.
    socket.set_read_timeout(Some(Duration::from_millis(2))).expect("a time-out");
    socket
}

impl Between {
    fn new(door: SocketAddr) -> Self {
        Self { front: socket(), back: socket(), door, client: None }
    }

    fn address(&self) -> SocketAddr {
        self.front.local_addr().expect("it is bound")
    }

    /// What the client says next, if it does so now.
    fn hear_client(&mut self) -> Option<Vec<u8>> {
        let mut datagram = vec![0; 2000];
        let (bytes, client) = self.front.recv_from(&mut datagram).ok()?;
        self.client = Some(client);
        datagram.truncate(bytes);
        Some(datagram)
    }

    /// What the door says next, if it does so now.
    fn hear_door(&self) -> Option<Vec<u8>> {
        let mut datagram = vec![0; 2000];
        let bytes = self.back.recv(&mut datagram).ok()?;
        datagram.truncate(bytes);
        Some(datagram)
    }

    fn tell_client(&self, datagram: &[u8]) {
        self.front.send_to(datagram, self.client.expect("it spoke first")).expect("it is sent");
    }

    fn tell_door(&self, datagram: &[u8]) {
        self.back.send_to(datagram, self.door).expect("it is sent");
    }
}

#[test]
fn nobody_gets_more_than_three_times_what_it_sent_before_it_has_shown_its_address() {
    // The answer is longer than what is allowed: its certificate has many names.
    let (folder, upstream) = (Folder::new(), Upstream::new());
    let names: Vec<String> =
        (0..200).map(|at| format!("shop-{at}.a-name-of-some-length.example")).collect();
    let names: Vec<&str> =
        ["localhost"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let made = Made::new(&folder, "own", &names);
    let config =
        format!("{}{}[limits]\nhandshake-time = \"3s\"\n", tables(&[&made]), to(&upstream));
    let door = Door::start_in(folder, &config);
    let mut between = Between::new(door.https[0]);
    let _client = begin(between.address(), &made);
    let (mut heard, mut sent, mut received) = (0, 0, 0);
    let over = "doorward_tls_handshake_failures_total{reason=\"timeout\"} 1\n";
    until(over, || {
        // The client says hello in two datagrams, as long as it has keys that no quantum computer
        // breaks. The door hears nothing behind them: what it repeats counts as well.
        if let Some(datagram) = between.hear_client()
            && heard < 2
        {
            between.tell_door(&datagram);
            heard += 1;
            sent += datagram.len();
        }
        while let Some(datagram) = between.hear_door() {
            received += datagram.len();
        }
        door.admin("GET", "/metrics").contains(over).then_some(())
    });
    assert!(received > 2 * sent, "the limit was not reached: {received} for {sent}");
    // The library sends a whole datagram as long as anything is left: half of one would cost honest
    // clients a round trip.
    assert!(received < 3 * sent + DATAGRAM_BYTES, "{received} for {sent}");
}

/// A door that asks everybody to show its address first.
fn wary() -> Secure {
    let pass = Secure::new("[runtime]\nworkers = 1\n");
    let crowd = socket();
    for packet in first_packets(64, &pass.made) {
        crowd.send_to(&packet, pass.door.https[0]).expect("it is sent");
    }
    pass
}

/// Lets a client begin, which goes on from another address after it was asked back if it `moves`.
/// Whether it was asked, and how it went.
fn asked_back(pass: &Secure, moves: bool) -> (bool, Result<(), ConnectionError>) {
    let mut between = Between::new(pass.door.https[0]);
    let client = begin(between.address(), &pass.made);
    let mut was_asked = false;
    let outcome = until("an end", || {
        if let Some(datagram) = between.hear_client() {
            between.tell_door(&datagram);
        }
        while let Some(datagram) = between.hear_door() {
            between.tell_client(&datagram);
            // RFC 9000, 17.2.5. There is one for each packet of its first word; it heeds the first.
            if datagram[0] & 0xf0 == 0xf0 && !was_asked {
                was_asked = true;
                if moves {
                    between.back = socket();
                }
            }
        }
        client.try_recv().ok()
    });
    (was_asked, outcome)
}

#[test]
fn a_token_is_good_for_the_address_that_it_was_given_to_and_no_other() {
    let pass = wary();
    assert_eq!(asked_back(&pass, false), (true, Ok(())));
    let (was_asked, outcome) = asked_back(&pass, true);
    assert!(was_asked);
    match outcome {
        Err(ConnectionError::ConnectionClosed(close)) => {
            assert_eq!(u64::from(close.error_code), INVALID_TOKEN, "{close}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_flood_of_first_packets_keeps_nobody_out_who_is_known() {
    let pass = Secure::new("[runtime]\nworkers = 1\n");
    let known = pass.connect();
    let packets = first_packets(200, &pass.made);
    let door = pass.door.https[0];
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let flood = std::thread::spawn(move || {
        let crowd: Vec<UdpSocket> = (0..16).map(|_| socket()).collect();
        let mut at = 0;
        while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            // More than a worker handles in one turn, and than it lets wait.
            for _ in 0..4096 {
                // A full buffer loses some.
                let _ = crowd[at % crowd.len()].send_to(&packets[at % packets.len()], door);
                at += 1;
            }
        }
    });
    let lost = "doorward_quic_first_packets_lost_total ";
    until("more than is looked at", || {
        let metrics = pass.door.admin("GET", "/metrics");
        let lost = metrics.lines().find_map(|line| line.strip_prefix(lost)).expect("a metric");
        (lost != "0").then_some(())
    });
    for _ in 0..20 {
        pass.is_next(&known);
    }
    drop(stop);
    flood.join().expect("it ends");
    pass.is_next(&pass.connect());
}
