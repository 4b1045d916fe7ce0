//! How long it takes after a restart until what lies on the disk is served, and until all of it is known.

use std::time::Instant;

use super::*;

const OBJECTS: &str = "DOORWARD_TEST_RESTART_OBJECTS";

/// Objects whose records are about 300 bytes: what a million of them cost is not their bytes.
fn fill(store: &Store, count: u64) {
    for path in 0..count {
        let object = object(&path.to_string(), "de", 0, &path.to_le_bytes());
        store.insert(object).expect("it fits");
        // More than the queue holds would not be written.
        if path % 10_000 == 0 {
            disk(store).flush();
        }
    }
    disk(store).flush();
}

/// Takes away the list of the newest segment, as if the process had been killed.
fn crash(folder: &Path) {
    let files = std::fs::read_dir(folder).expect("it is there");
    let paths = files.map(|file| file.expect("it can be read").path());
    let lists = paths.filter(|path| path.extension().is_some_and(|text| text == "list"));
    let newest = lists.max().expect("there is one");
    std::fs::remove_file(newest).expect("it can be removed");
}

/// `DOORWARD_TEST_RESTART_OBJECTS=1000000 cargo test --release -p doorward restart -- --nocapture` makes it a
/// million.
#[test]
fn a_restart_serves_within_a_second() {
    let count = std::env::var(OBJECTS).ok().and_then(|text| text.parse().ok()).unwrap_or(20_000);
    let folder = Folder::new("million");
    let megabytes = 64 + count / 500;
    let before = store(&folder.0, megabytes);
    fill(&before, count);
    let stats = disk(&before).stats();
    assert_eq!((stats.objects, stats.dropped), (count, 0));
    drop(before);
    crash(&folder.0);
    let started = Instant::now();
    let after = store(&folder.0, megabytes);
    let serves = started.elapsed();
    settle(&after);
    let knows = started.elapsed();
    assert_eq!(disk(&after).stats().objects, count);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for path in (0..count).step_by(1 + count as usize / 100) {
        let key = format!("http://h/{path}").into_bytes();
        let found = runtime.block_on(after.find_on_disk(hash(&key), &key, |_| true));
        let found = found.unwrap_or_else(|| panic!("{path} is not there"));
        assert_eq!(found.body.chunks().concat(), path.to_le_bytes());
    }
    eprintln!("{count} objects: serves after {serves:?}, knows all of them after {knows:?}");
    // Without optimization, sums and tables take ten times as long.
    let most = Duration::from_secs(if cfg!(debug_assertions) { 10 } else { 1 });
    assert!(serves < Duration::from_secs(1) && knows < most, "{serves:?} {knows:?}");
}
