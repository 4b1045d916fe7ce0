//! The store as its users see it.

use std::sync::atomic::AtomicBool;
use std::thread;

use bytes::Bytes;
use rules::cache::{Freshness, Varied, tag};
use wire::ResponseHead;

use super::*;

pub(super) fn config(memory: &str, object: &str) -> CacheConfig {
    let size = |text: &str| text.parse::<config::Size>().expect("a size");
    CacheConfig { memory: size(memory).into(), object: Some(size(object).into()), disk: None }
}

fn store() -> Store {
    Store::new(&config("8MiB", "256KiB"), Path::new("."))
}

/// A response to `http://h/PATH`, tagged `t`, whose fetch began at `generation`.
pub(super) fn object(path: &str, language: &str, generation: u64, body: &[u8]) -> Arc<Object> {
    let url = format!("http://h/{path}").into_bytes();
    let stored = Stored {
        url_bytes: url.len() as u32,
        tags: [tag(&url), tag(b"t")].into(),
        key: url.into(),
        head: ResponseHead::new(200),
        vary: [Varied { name: "accept-language".into(), value: Some(language.as_bytes().into()) }]
            .into(),
        requested_ms: 0,
        received_ms: 0,
        freshness: Freshness::default(),
        generation,
        body_bytes: body.len() as u64,
        part: None,
        public: false,
        made_tag: false,
    };
    Arc::new(Object::new(stored, Body::copy_of(&[Bytes::copy_from_slice(body)])))
}

fn find(store: &Store, path: &str, language: &str) -> Option<Arc<Object>> {
    let key = format!("http://h/{path}").into_bytes();
    store.find(hash(&key), &key, |object| {
        object.stored.vary[0].value.as_deref() == Some(language.as_bytes())
    })
}

#[test]
fn variants_are_found_each_by_its_own() {
    let store = store();
    for language in ["de", "en"] {
        store.insert(object("a", language, 0, language.as_bytes())).expect("there is room");
    }
    for language in ["de", "en"] {
        let found = find(&store, "a", language).expect("it is there");
        assert_eq!(found.body.chunks(), [Bytes::from(language.as_bytes())]);
    }
    assert!(find(&store, "a", "fr").is_none() && find(&store, "b", "de").is_none());
    let german = find(&store, "a", "de").expect("it is there");
    store.insert(object("a", "de", 0, b"neu")).expect("there is room");
    // What was replaced meanwhile is not what is forgotten.
    store.remove(&german);
    assert_eq!(find(&store, "a", "de").expect("it is there").body.bytes(), 3);
    assert_eq!(store.stats().objects, 2);
}

#[test]
fn a_purge_touches_what_is_stored_and_what_is_on_its_way() {
    for (scope, soft) in [
        (Scope::Tag(tag(b"t")), false),
        (Scope::Tag(tag(b"http://h/a")), false),
        (Scope::Prefix(b"http://h/".as_slice().into()), true),
        (Scope::All, false),
    ] {
        let store = store();
        let began = store.generation();
        store.insert(object("a", "de", began, b"old")).expect("there is room");
        let receipt = store.purge(&scope, soft);
        assert_eq!(receipt.generation, began + 1);
        let found = find(&store, "a", "de").expect("no purge looks for it");
        let touched = if soft { Purged::Soft } else { Purged::Hard };
        assert_eq!(store.purged(&found), touched, "{scope:?}");
        assert_eq!(store.purged(&found), touched, "asked again");
        // A fetch that began before is answered now.
        let late = object("a", "de", began, b"old");
        let refused = if soft { Ok(()) } else { Err(Refused::Purged) };
        assert_eq!(store.insert(Arc::clone(&late)), refused);
        assert_eq!(store.purged(&late), touched);
        let new = object("a", "de", store.generation(), b"new");
        store.insert(Arc::clone(&new)).expect("there is room");
        assert_eq!(store.purged(&new), Purged::No);
    }
}

#[test]
fn what_is_too_large_is_refused_with_its_reason() {
    let store = store();
    let refused = store.insert(object("a", "de", 0, &vec![0; 300 << 10])).expect_err("it is large");
    assert_eq!(refused.reason(), "it is larger than `[cache] object`");
    store.insert(object("a", "de", 0, &vec![7; 200 << 10])).expect("there is room");
    let found = find(&store, "a", "de").expect("it is there");
    assert_eq!((found.body.bytes(), found.body.chunks().len()), (200 << 10, 4));
    assert!(found.body.chunks().iter().all(|chunk| chunk.iter().all(|byte| *byte == 7)));
}

#[test]
fn a_smaller_memory_is_kept_to_at_once() {
    let store = store();
    for path in 0..2000 {
        store.insert(object(&path.to_string(), "de", 0, &[0; 4000])).expect("there is room");
    }
    let before = store.stats();
    assert!(before.bytes <= 8 << 20 && before.evicted > 0 && before.objects > 1000);
    store.resize(&config("1MiB", "64KiB"));
    assert!(store.stats().bytes <= 1 << 20);
}

/// The page's body is the version of its record. A writer changes the record, purges, and only then
/// says so; nobody who asks after that may see an older version, however fetches and purges race.
#[test]
fn no_reader_sees_what_was_purged_before_it_asked() {
    let store = store();
    let (record, told) = (AtomicU64::new(0), AtomicU64::new(0));
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    let told = told.load(Ordering::SeqCst);
                    let cached =
                        find(&store, "page", "de").filter(|o| store.purged(o) == Purged::No);
                    let page = cached.unwrap_or_else(|| {
                        let generation = store.generation();
                        let version = record.load(Ordering::SeqCst);
                        thread::yield_now();
                        let page = object("page", "de", generation, &version.to_le_bytes());
                        let _ = store.insert(Arc::clone(&page));
                        page
                    });
                    let body: [u8; 8] = page.body.chunks()[0][..].try_into().expect("a number");
                    let version = u64::from_le_bytes(body);
                    assert!(version >= told, "version {version} was served, {told} was told");
                }
            });
        }
        for version in 1..=3_000 {
            record.store(version, Ordering::SeqCst);
            store.purge(&Scope::Tag(tag(b"t")), false);
            told.store(version, Ordering::SeqCst);
            thread::yield_now();
        }
        ended.store(true, Ordering::Relaxed);
    });
    assert!(store.stats().stored > 0);
}

#[test]
fn what_matters_most_is_shown_first() {
    let store = store();
    for (path, bytes, uses) in [("a", 10, 5), ("b", 5000, 1), ("c", 100, 9)] {
        store.insert(object(path, "de", 0, &vec![0; bytes])).expect("there is room");
        (0..uses).for_each(|_| drop(find(&store, path, "de")));
    }
    let urls = |by| -> Vec<String> {
        store.top(by, 2, 1_000).into_iter().map(|shown| shown.url).collect()
    };
    assert_eq!(urls(By::Bytes), ["http://h/b", "http://h/c"]);
    assert_eq!(urls(By::Hits), ["http://h/c", "http://h/a"]);
    assert_eq!(urls(By::Staleness).len(), 2);
}

#[test]
fn what_was_purged_gives_its_memory_back() {
    let store = store();
    for path in 0..1000 {
        store.insert(object(&path.to_string(), "de", 0, &[0; 100])).expect("there is room");
    }
    assert_eq!(store.stats().objects, 1000);
    let urls = [5, 7].map(|path| tag(format!("http://h/{path}").as_bytes()));
    store.purge(&Scope::Tag(urls[0]), false);
    store.purge(&Scope::Tag(urls[1]), true);
    assert_eq!(store.count_purged(&urls.into()), 2);
    store.sweep();
    // What was purged softly may still be given.
    assert_eq!((store.stats().objects, store.stats().swept), (999, 1));
    assert!(find(&store, "5", "de").is_none() && find(&store, "7", "de").is_some());
    store.purge(&Scope::All, false);
    let object_bytes = store.stats().bytes;
    store.sweep();
    assert_eq!((store.stats().objects, store.stats().swept), (0, 1000));
    assert!(store.stats().bytes < object_bytes / 2);
    store.insert(object("1", "de", store.generation(), b"new")).expect("there is room");
    assert!(find(&store, "1", "de").is_some());
}

#[test]
fn what_is_made_of_a_body_weighs_with_it() {
    let store = store();
    let page = object("page", "de", 0, &[0; 1000]);
    store.insert(Arc::clone(&page)).expect("there is room");
    let before = store.stats().bytes;
    let made = Body::copy_of(&[Bytes::from_static(&[1; 5000])]);
    page.forms().set(rules::coding::Coding::Br, made);
    store.weigh_forms(hash(&page.stored.key), page.forms());
    let after = store.stats().bytes;
    assert!((5000..5400).contains(&(after - before)), "{before}, {after}");
    // It makes room with its forms, and takes them along when it is updated.
    let updated = Arc::new(page.updated(page.stored.clone()));
    assert!(updated.forms().get(rules::coding::Coding::Br).is_some());
    store.insert(updated).expect("there is room");
    assert_eq!(store.stats().bytes, after);
    store.remove(&find(&store, "page", "de").expect("it is there"));
    assert!(store.stats().bytes < before);
}

const MEMORY: &str = "DOORWARD_TEST_MEMORY_OBJECTS";

/// Without the pages of the program's file: which of them are there is the page cache's business, and they
/// come and go by megabytes when the machine has much to do.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("it is Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("it is there");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib * 1024
}

/// Not a test of its own: a process that does nothing but fill a store, with twice what it holds.
#[test]
fn memory_child() {
    let Some(objects) = std::env::var(MEMORY).ok().and_then(|text| text.parse::<u64>().ok()) else {
        return;
    };
    // Bodies of up to 256 bytes: with all that belongs to them, about 900 bytes each.
    let limit = objects * 900;
    let store = Store::new(&config(&format!("{limit}B"), "64KiB"), Path::new("."));
    // What is taken once, whatever is stored, is not the store's.
    insert_some(&store, 0..1000);
    let before = resident_bytes() - store.stats().bytes;
    insert_some(&store, 0..objects * 2);
    let (taken, stats) = (resident_bytes() - before, store.stats());
    assert!(stats.objects > objects * 9 / 10 && stats.evicted > objects / 2, "{stats:?}");
    let share = taken as f64 / limit as f64;
    eprintln!(
        "{} objects, {} of {limit} counted, {taken} taken: {share:.4}",
        stats.objects, stats.bytes
    );
    assert!(share < 1.02, "it takes {share:.4} of what it may");
}

fn insert_some(store: &Store, paths: std::ops::Range<u64>) {
    for path in paths {
        let body = [path as u8; 256];
        let object =
            object(&format!("articles/{path}"), "de", 0, &body[..(path * 7 % 256) as usize]);
        store.insert(object).expect("it is small");
    }
}

/// `DOORWARD_TEST_MEMORY_OBJECTS=1000000 cargo test --release -p doorward --bin doorward memory_child`
/// makes it a million.
#[test]
fn memory_is_bounded_as_the_system_counts_it() {
    let child = std::process::Command::new(std::env::current_exe().expect("it runs"))
        .args(["--exact", "data::store::tests::memory_child", "--nocapture"])
        // As many as it takes for the two to four megabytes that an allocator holds back, which have nothing to
        // do with their number, to be well below what is allowed.
        .env(MEMORY, "300000")
        .output()
        .expect("it can be started");
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
}
