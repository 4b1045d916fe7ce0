//! A name server of the test's own, on loopback.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// What a name has: each record's kind, data, and time to live in seconds.
type Records = Vec<(u16, Vec<u8>, u32)>;

/// Answers by UDP, and by TCP what is too long for it.
pub(crate) struct Names {
    address: SocketAddr,
    zone: Arc<Mutex<HashMap<String, Records>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

/// More records than this are answered by TCP only.
const BY_UDP_MAX: usize = 20;

impl Names {
    pub(crate) fn new() -> Self {
        // The same port is needed for both; another program may have one of them.
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").expect("a free port");
            let address = udp.local_addr().expect("it is bound");
            if let Ok(tcp) = TcpListener::bind(address) {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().expect("it is bound");
        let names = Self { address, zone: Arc::default(), asked: Arc::default() };
        let (zone, asked) = (Arc::clone(&names.zone), Arc::clone(&names.asked));
        let by_udp = move |question: &[u8], long: bool| answer(&zone, &asked, question, long);
        let by_tcp = by_udp.clone();
        thread::spawn(move || {
            let mut bytes = [0; 1500];
            while let Ok((count, from)) = udp.recv_from(&mut bytes) {
                if let Some(answer) = by_udp(&bytes[..count], false) {
                    let _ = udp.send_to(&answer, from);
                }
            }
        });
        thread::spawn(move || {
            for mut stream in tcp.incoming().flatten() {
                let mut length = [0; 2];
                if stream.read_exact(&mut length).is_err() {
                    continue;
                }
                let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
                if stream.read_exact(&mut question).is_ok()
                    && let Some(answer) = by_tcp(&question, true)
                {
                    let _ = stream.write_all(&(answer.len() as u16).to_be_bytes());
                    let _ = stream.write_all(&answer);
                }
            }
        });
        names
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on `name` has these addresses, for so many seconds.
    pub(crate) fn put(&self, name: &str, addresses: &[Ipv4Addr], ttl_s: u32) {
        let records = addresses.iter().map(|one| (1, one.octets().to_vec(), ttl_s)).collect();
        self.set(name, records);
    }

    /// From now on `name` has these `SRV` records: priority, weight, port, host.
    pub(crate) fn put_srv(&self, name: &str, records: &[(u16, u16, u16, &str)], ttl_s: u32) {
        let data = |&(priority, weight, port, host): &(u16, u16, u16, &str)| {
            let mut data = Vec::new();
            for number in [priority, weight, port] {
                data.extend_from_slice(&number.to_be_bytes());
            }
            for label in host.split('.') {
                data.push(label.len() as u8);
                data.extend_from_slice(label.as_bytes());
            }
            data.push(0);
            (33, data, ttl_s)
        };
        self.set(name, records.iter().map(data).collect());
    }

    pub(crate) fn remove(&self, name: &str) {
        self.zone.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    fn set(&self, name: &str, records: Records) {
        let mut zone = self.zone.lock().unwrap_or_else(PoisonError::into_inner);
        zone.insert(name.to_owned(), records);
    }

    /// How often `name` was asked for.
    pub(crate) fn asked(&self, name: &str) -> usize {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.iter().filter(|other| *other == name).count()
    }
}

fn answer(
    zone: &Mutex<HashMap<String, Records>>,
    asked: &Mutex<Vec<String>>,
    question: &[u8],
    long: bool,
) -> Option<Vec<u8>> {
    let (mut name, mut at) = (String::new(), 12);
    loop {
        let length = usize::from(*question.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        if !name.is_empty() {
            name.push('.');
        }
        name += std::str::from_utf8(question.get(at..at + length)?).ok()?;
        at += length;
    }
    let kind = u16::from_be_bytes(*question.get(at..)?.first_chunk::<2>()?);
    asked.lock().unwrap_or_else(PoisonError::into_inner).push(name.clone());
    let zone = zone.lock().unwrap_or_else(PoisonError::into_inner);
    let mut answer = question[..at + 4].to_vec();
    let records = zone.get(&name);
    let found: Vec<_> = records.into_iter().flatten().filter(|(of, ..)| *of == kind).collect();
    let cut = !long && found.len() > BY_UDP_MAX;
    let flags: u16 = match (records, cut) {
        (None, _) => 0x8183,
        (Some(_), true) => 0x8380,
        (Some(_), false) => 0x8180,
    };
    answer[2..4].copy_from_slice(&flags.to_be_bytes());
    let count = if cut { 0 } else { found.len() as u16 };
    answer[6..8].copy_from_slice(&count.to_be_bytes());
    answer[8..12].copy_from_slice(&[0; 4]);
    for (of, data, ttl_s) in found.into_iter().take(usize::from(count)) {
        answer.extend_from_slice(&[0xc0, 12]);
        answer.extend_from_slice(&of.to_be_bytes());
        answer.extend_from_slice(&[0, 1]);
        answer.extend_from_slice(&ttl_s.to_be_bytes());
        answer.extend_from_slice(&(data.len() as u16).to_be_bytes());
        answer.extend_from_slice(data);
    }
    Some(answer)
}
