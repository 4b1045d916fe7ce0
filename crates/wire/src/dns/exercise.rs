//! What the fuzzer does with arbitrary bytes, as a function that tests call too.

use super::{Answer, Kind, Record, encode_question, read_answer};

/// Reads `bytes` as the answer to questions of each kind about a name; what is read must be what a
/// caller may count on.
pub fn answer(bytes: &[u8]) {
    let id = bytes.first_chunk::<2>().map_or(0, |id| u16::from_be_bytes(*id));
    for kind in [Kind::A, Kind::Aaaa, Kind::Srv] {
        for name in ["a.example", "_http._tcp.a.example"] {
            let Ok(Answer::Records(records, _)) = read_answer(bytes, id, name, kind) else {
                continue;
            };
            for record in records {
                match (kind, record) {
                    (Kind::A, Record::Address(address)) => assert!(address.is_ipv4()),
                    (Kind::Aaaa, Record::Address(address)) => assert!(address.is_ipv6()),
                    (Kind::Srv, Record::Service { host, .. }) => {
                        let mut out = Vec::new();
                        // The root is a name too, and says that there is no such service.
                        assert!(host.is_empty() || encode_question(1, &host, Kind::A, &mut out));
                    }
                    (kind, record) => panic!("{record:?} is not of {kind:?}"),
                }
            }
        }
    }
}
