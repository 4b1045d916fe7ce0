//! Sessions that stay at one endpoint: signs and believes the cookies that say so.

use std::time::SystemTime;

use aws_lc_rs::{constant_time, hmac};
use rules::balance::{Bond, Claim, MAC_BYTES, Sticky};
use wire::RequestHead;

use super::connection::Connection;
use super::scratch::Scratch;
use crate::control::snapshot::{Endpoint, Service};

/// How the sessions of one service are tied to its endpoints.
pub(crate) struct Ties {
    rules: Sticky,
    /// The first one signs.
    keys: Box<[hmac::Key]>,
}

impl Ties {
    /// For the sessions of the service `name`; signed with the keys of `rules`, or else with `node_key`. A
    /// cookie of one service means nothing to another.
    pub(crate) fn new(name: &str, rules: &Sticky, node_key: &[u8]) -> Self {
        let given = rules.keys.iter().map(|key| key.reveal().as_bytes());
        let own = rules.keys.is_empty().then_some(node_key);
        let keys = given.chain(own).map(|key| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, key);
            hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, name.as_bytes()).as_ref())
        });
        Self { rules: rules.clone(), keys: keys.collect() }
    }

    /// What the client's cookie says, and whether that is to be believed.
    pub(crate) fn read(&self, request: &RequestHead) -> Bond {
        let is_ours = |claim: &Claim, given: &[u8; MAC_BYTES]| {
            let signed_by = |key| constant_time::verify_slices_are_equal(&mac(key, claim), given);
            self.keys.iter().any(|key| signed_by(key).is_ok())
        };
        self.rules.read(request, now_s(), is_ours)
    }

    /// Ties the session to `endpoint`, which answered, unless it is already.
    pub(super) fn tie(
        &self,
        connection: &Connection,
        scratch: &mut Scratch,
        service: &Service,
        (bond, endpoint): (&Bond, &Endpoint),
    ) {
        let tie = self.rules.tie(bond, endpoint.hash, now_s(), &scratch.response);
        service.metrics.shards[connection.worker.index].ties[tie.result as usize].add(1);
        scratch.cx.record("sticky", tie.result.name(), tie.why);
        if let Some(claim) = tie.claim {
            let mut value = Vec::new();
            self.rules.write(&claim, &mac(&self.keys[0], &claim), scratch.cx.https, &mut value);
            scratch.response.fields.push("Set-Cookie", &value);
        }
    }
}

fn mac(key: &hmac::Key, claim: &Claim) -> [u8; MAC_BYTES] {
    let tag = hmac::sign(key, &claim.signed());
    let mac = tag.as_ref().first_chunk::<MAC_BYTES>();
    *mac.expect("a SHA-256 is longer")
}

fn now_s() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
