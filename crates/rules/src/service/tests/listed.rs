//! Files of endpoints.

use crate::service::endpoint::LISTED_MAX;
use crate::service::{Rank, Ranked};

#[test]
fn endpoints_stand_in_a_file_one_on_a_line() {
    let read = |text| match Ranked::read_list(text) {
        Ok(list) => {
            let shown = |one: &Ranked| match &one.rank {
                rank if *rank == Rank::default() => one.endpoint.to_string(),
                rank => format!("{} {rank:?}", one.endpoint),
            };
            list.iter().map(shown).collect::<Vec<_>>().join(" ")
        }
        Err((line, advice)) => format!("{line}: {advice}"),
    };
    assert_eq!(
        read("\n# ours\n127.0.0.1:1 # the first\n  b:2\n\n127.0.0.1:1\n"),
        "127.0.0.1:1 b:2"
    );
    assert_eq!(read(""), "");
    assert_eq!(read("a:1\nb\n"), "2: its port is missing: \"b:3000\"");
    assert_eq!(read("file:x"), "1: a file of endpoints cannot name another");
    let many = (0..=LISTED_MAX).map(|at| format!("h{at}:1\n")).collect::<String>();
    assert_eq!(
        read("a:1 zone=b tier=1 weight=3 # c\n b:1"),
        "a:1 Rank { weight: 3, tier: 1, zone: Some(\"b\") } b:1"
    );
    assert_eq!(read("a:1 b:1"), "1: `b:1` is none of `weight=3`, `tier=1` and `zone=b`");
    assert_eq!(read("a:1 weight=x"), "1: `weight=x` is none of `weight=3`, `tier=1` and `zone=b`");
    assert_eq!(read("a:1 weight=0"), "1: a weight is from 1 to 65535");
    assert_eq!(read("a:1 tier=8"), "1: a tier is from 0 to 7");
    assert_eq!(
        read("a:1 zone=b/c"),
        "1: `b/c` is no zone: at most 64 letters, digits, `-`, `_` and `.`"
    );
    assert_eq!(read(&many), "10001: at most 10000 endpoints");
}
