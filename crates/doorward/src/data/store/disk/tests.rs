//! What lies on the disk after restarts, crashes, and changes that nobody meant.
//!
//! The body of an object is made of its key and version, so that any mixture is found.

mod failing;
mod restart;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rules::cache::{hash, tag};
use rules::store::Purged;

use super::super::Store;
use super::super::tests::{config, object};
use super::*;
use crate::control::model::CacheDisk;

/// A directory that is gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("doorward-disk-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A store whose memory is small, so that what is found mostly comes from the disk.
fn store(path: &Path, megabytes: u64) -> Store {
    let mut config = config("1MiB", "128KiB");
    let path = path.to_str().expect("a plain name").to_owned();
    config.disk = Some(CacheDisk { path, size: config::Size::from_mib(megabytes).into() }.into());
    Store::new(&config, Path::new("/"))
}

fn body(path: &str, version: u64) -> Vec<u8> {
    let seed = hash(format!("{path} {version}").as_bytes());
    let bytes = 8 + (seed % 3000) as usize * if seed.is_multiple_of(50) { 30 } else { 1 };
    let mut body = version.to_le_bytes().to_vec();
    let mut state = seed;
    body.extend(
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as u8
        })
        .take(bytes),
    );
    body
}

fn insert(store: &Store, path: &str, version: u64) {
    let object = object(path, "de", store.generation(), &body(path, version));
    store.insert(object).expect("it fits");
}

/// The version of what is found; panics if a byte is wrong.
fn find(store: &Store, path: &str) -> Option<u64> {
    let key = format!("http://h/{path}").into_bytes();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let found = runtime.block_on(store.find_on_disk(hash(&key), &key, |_| true))?;
    let bytes: Vec<u8> = found.body.chunks().iter().flatten().copied().collect();
    let version = u64::from_le_bytes(*bytes.first_chunk().expect("a version"));
    assert!(bytes == body(path, version), "wrong bytes of {path}");
    Some(version)
}

fn disk(store: &Store) -> &Disk {
    store.disk.as_ref().expect("it is configured")
}

/// Waits until all that earlier lives left is known.
fn settle(store: &Store) {
    disk(store).flush();
    while disk(store).is_up() && disk(store).shared.unread.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn what_was_stored_is_there_after_a_restart_and_what_was_purged_is_not() {
    let folder = Folder::new("restart");
    let before = store(&folder.0, 64);
    for path in 0..500 {
        insert(&before, &path.to_string(), 1);
    }
    insert(&before, "0", 2);
    before.purge(&Scope::Tag(tag(b"http://h/7")), false);
    before.purge(&Scope::Tag(tag(b"http://h/8")), true);
    let newest = before.purge(&Scope::Prefix(b"http://h/40".as_slice().into()), false);
    drop(before);
    let after = store(&folder.0, 64);
    assert!(after.generation() > newest.generation);
    settle(&after);
    assert_eq!(disk(&after).stats().objects, 500);
    for path in 0..500_u64 {
        let expected = match path {
            7 | 40 | 400..=409 => None,
            0 => Some(2),
            _ => Some(1),
        };
        assert_eq!(find(&after, &path.to_string()), expected, "{path}");
    }
    assert_eq!(find(&after, "8"), Some(1), "it is in memory from now on");
    let soft =
        after.find(hash(b"http://h/8"), b"http://h/8", |_| true).expect("it is in memory now");
    assert_eq!(after.purged(&soft), Purged::Soft);
    // A purge of this life touches what an earlier one stored.
    after.purge(&Scope::Tag(tag(b"http://h/9")), false);
    assert_eq!(find(&after, "9"), None);
}

#[test]
fn it_stays_within_its_size_and_what_is_used_stays() {
    let folder = Folder::new("size");
    let store = store(&folder.0, 8);
    for path in 0..6_000 {
        insert(&store, &path.to_string(), 1);
        if path % 50 == 0 {
            disk(&store).flush();
            assert_eq!(find(&store, "0"), Some(1), "it is used all the time, after {path}");
            assert!(disk(&store).stats().bytes <= 8 << 20);
        }
    }
    let files = std::fs::read_dir(&folder.0).expect("it is there").flatten();
    let bytes: u64 = files.map(|file| file.metadata().map_or(0, |data| data.len())).sum();
    assert!(bytes <= 9 << 20, "{bytes}");
    assert_eq!(find(&store, "1"), None, "it was the oldest");
}

#[test]
fn no_change_of_a_byte_gives_a_wrong_one() {
    let folder = Folder::new("flips");
    let whole = folder.0.join("whole");
    let before = store(&whole, 64);
    for path in 0..100 {
        insert(&before, &path.to_string(), 1);
    }
    before.purge(&Scope::Tag(tag(b"http://h/3")), false);
    drop(before);
    for round in 0..24_u64 {
        let mut state = round.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut below = |end: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % end.max(1)
        };
        let changed = folder.0.join("changed");
        let _ = std::fs::remove_dir_all(&changed);
        std::fs::create_dir_all(&changed).expect("it can be made");
        let mut names: Vec<_> = std::fs::read_dir(&whole)
            .expect("it is there")
            .flatten()
            .map(|file| file.file_name())
            .collect();
        names.sort();
        let victim = below(names.len() as u64) as usize;
        for (at, name) in names.iter().enumerate() {
            let mut content = std::fs::read(whole.join(name)).expect("it is there");
            if at == victim && !content.is_empty() {
                for _ in 0..=below(4) {
                    let place = below(content.len() as u64) as usize;
                    match below(3) {
                        // Of the log, a cut loses what nobody was told of; the rest was synced.
                        0 if name != "purges" => content.truncate(place.max(1)),
                        _ => content[place] ^= 1 << below(8),
                    }
                    if content.is_empty() {
                        break;
                    }
                }
            }
            // Without the list, the records themselves are looked through.
            if round % 2 == 0 || !name.to_string_lossy().ends_with(".list") {
                std::fs::write(changed.join(name), content).expect("there is room");
            }
        }
        let after = store(&changed, 64);
        settle(&after);
        let found = (0..100).filter(|path| find(&after, &path.to_string()).is_some()).count();
        assert!(found <= 99, "what was purged came back, round {round}");
        assert_eq!(find(&after, "3"), None, "round {round}");
    }
}

const CRASH: &str = "DOORWARD_TEST_CRASH_FOLDER";

/// What the process that is killed may write: small objects are driven out all the time, and a large one
/// takes less than its share.
const CRASH_MIB: u64 = 24;

/// A large object comes with each so many versions, at one of so many paths.
const LARGE_EACH: u64 = 10;
const LARGE_PATHS: u64 = 70;

/// Not a test of its own: the process that is killed. Versions only grow, and a purge of the tag
/// follows each new version of a record; what was told of is written to standard output.
#[test]
fn crash_child() {
    let Ok(folder) = std::env::var(CRASH) else {
        return;
    };
    let store = store(Path::new(&folder), CRASH_MIB);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    use std::io::Write;
    let (mut out, mut arriving) = (io::stderr(), None);
    for version in 1_u64.. {
        for path in 0..40 {
            insert(&store, &format!("{}", (version * 40 + path) % 1000), version);
        }
        if version % LARGE_EACH == 0 {
            // It arrives while others are written, and is whole some rounds later; every other one never is.
            let path = format!("large-{}", version % LARGE_PATHS);
            let (_, writing, stored) = begin_large(&store, &path, version);
            arriving = Some((writing, stored));
        } else if version % LARGE_EACH == LARGE_EACH / 2
            && let Some((writing, stored)) = arriving.take()
            && version % (2 * LARGE_EACH) > LARGE_EACH
        {
            writing.end(stored, ());
        }
        // An edit: whoever asks behind it must see at least this version.
        let path = format!("edited-{}", version % 5);
        insert(&store, &path, version);
        let scope = Scope::Tag(tag(format!("http://h/{path}").as_bytes()));
        runtime.block_on(store.purge_durably(&scope, false));
        insert(&store, &path, version + 1);
        let _ = writeln!(out, "told {path} {}", version + 1);
    }
}

/// `DOORWARD_TEST_CRASHES=100 cargo test -p doorward killed` makes it a hundred.
#[test]
fn no_wrong_byte_is_served_after_it_was_killed() {
    let rounds = std::env::var("DOORWARD_TEST_CRASHES").ok().and_then(|text| text.parse().ok());
    let folder = Folder::new("crash");
    std::fs::create_dir_all(&folder.0).expect("it can be made");
    let (mut found_all, mut large_all) = (0, 0);
    for round in 0..rounds.unwrap_or(4_u64) {
        let mut child = Command::new(std::env::current_exe().expect("it runs"))
            .args(["--exact", "data::store::disk::tests::crash_child", "--nocapture"])
            .env(CRASH, &folder.0)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it can be started");
        let mut told: HashMap<String, u64> = HashMap::new();
        let lines = io::BufRead::lines(io::BufReader::new(child.stderr.take().expect("a pipe")));
        let limit = 20 + hash(&round.to_le_bytes()) % 200;
        for (count, line) in (0..).zip(lines) {
            let line = line.expect("it can be read");
            let mut words = line.split(' ');
            if let (Some("told"), Some(path), Some(version)) =
                (words.next(), words.next(), words.next())
            {
                told.insert(path.to_owned(), version.parse().expect("a number"));
            }
            if count == limit {
                // SIGKILL: it happens wherever the two processes happen to be.
                child.kill().expect("it runs");
            }
        }
        let _ = child.wait();
        let after = store(&folder.0, CRASH_MIB);
        settle(&after);
        assert!(disk(&after).is_up());
        for path in
            (0..LARGE_PATHS).step_by(LARGE_EACH as usize).map(|path| format!("large-{path}"))
        {
            let Some(read) = read_large(&after, &path) else { continue };
            let version = u64::from_le_bytes(*read.first_chunk().expect("a version"));
            assert!(read == large_body(version), "wrong bytes of {path}, round {round}");
            large_all += 1;
        }
        found_all += (0..1000).filter(|path| find(&after, &path.to_string()).is_some()).count();
        for (path, version) in &told {
            if let Some(found) = find(&after, path) {
                assert!(
                    found >= *version,
                    "{path}: {found} after {version} was told, round {round}"
                );
            }
        }
    }
    eprintln!("{found_all} small ones and {large_all} large ones were found");
    assert!(found_all > 0 && large_all > 0, "it is not empty each time");
}

/// Hears how far an object is written.
#[derive(Default)]
struct Heard {
    large: Mutex<Option<Arc<Large>>>,
    written: AtomicU64,
    failed: AtomicBool,
}

impl Bringer for Heard {
    fn begun(&self, large: Arc<Large>) {
        *locked(&self.large) = Some(large);
    }

    fn written(&self, chunks: u64) {
        self.written.store(chunks, Ordering::Relaxed);
    }

    fn failed(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }
}

fn large_body(version: u64) -> Vec<u8> {
    (version..version + 500_000).flat_map(u64::to_le_bytes).collect()
}

/// Writes a large object as it would arrive, but for its end.
fn begin_large(store: &Store, path: &str, version: u64) -> (Arc<Heard>, LargeWriting, Stored) {
    let (body, heard) = (large_body(version), Arc::new(Heard::default()));
    let mut stored = object(path, "de", store.generation(), b"").stored.clone();
    let bringer = Arc::clone(&heard) as Arc<dyn Bringer>;
    let writing = store.begin_large(&stored, bringer).expect("the disk is up");
    for chunk in body.chunks(record::CHUNK_BYTES) {
        writing.chunk(Bytes::copy_from_slice(chunk));
    }
    stored.body_bytes = body.len() as u64;
    disk(store).flush();
    (heard, writing, stored)
}

fn write_large(store: &Store, path: &str) -> Arc<Heard> {
    let (heard, writing, stored) = begin_large(store, path, 0);
    writing.end(stored, ());
    disk(store).flush();
    heard
}

/// All of a large object, read piece by piece; `None` if it is not there, or a byte is wrong.
fn read_large(store: &Store, path: &str) -> Option<Vec<u8>> {
    let key = format!("http://h/{path}").into_bytes();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let found = store.find_on_disk(hash(&key), &key, |_| true).await?;
        let Body::Large(large, bytes) = &found.body else { panic!("it is in memory") };
        let mut read: Vec<u8> = Vec::new();
        while (read.len() as u64) < *bytes {
            let number = (read.len() / record::CHUNK_BYTES) as u64;
            let piece = large.read(number, *bytes).await.expect("it is not stopped")?;
            assert!(piece.len() <= record::CHUNK_BYTES, "it is read piece by piece");
            read.extend_from_slice(&piece);
        }
        Some(read)
    })
}

#[test]
fn large_objects_lie_alone_and_are_read_piece_by_piece() {
    let folder = Folder::new("large");
    let before = store(&folder.0, 64);
    insert(&before, "small", 1);
    let heard = write_large(&before, "large");
    assert_eq!(heard.written.load(Ordering::Relaxed), 62);
    assert!(!heard.failed.load(Ordering::Relaxed));
    assert!(read_large(&before, "large").expect("it is there") == large_body(0));
    let (torn, _writing, _) = begin_large(&before, "torn", 0);
    assert!(locked(&torn.large).is_some() && !torn.failed.load(Ordering::Relaxed));
    assert!(read_large(&before, "torn").is_none(), "it is not whole");
    insert(&before, "other", 1);
    let taken = disk(&before).stats().bytes;
    drop(before);
    assert!(torn.failed.load(Ordering::Relaxed), "whoever brings it is told");
    let after = store(&folder.0, 64);
    settle(&after);
    assert_eq!(disk(&after).stats().objects, 3);
    assert!(disk(&after).stats().bytes < taken - 3_000_000, "what is not whole is gone");
    assert!(read_large(&after, "large").expect("it is there") == large_body(0));
    assert_eq!((find(&after, "small"), find(&after, "other")), (Some(1), Some(1)));
    assert!(read_large(&after, "torn").is_none());
    // A wrong byte is never given, wherever it is.
    let files = segment::numbers(&folder.0).expect("a folder");
    let data = |number: &u32| folder.0.join(format!("segment-{number:08}.data"));
    let file = files
        .iter()
        .map(data)
        .find(|path| std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > 4_000_000));
    let file = file.expect("it lies there");
    let mut bytes = std::fs::read(&file).expect("a file");
    bytes[3_000_000] ^= 1;
    std::fs::write(&file, bytes).expect("a file");
    let key = b"http://h/large";
    let begun = after.find(hash(key), key, |_| true).expect("it was read before");
    assert!(begun.body.is_there(), "nobody knows");
    assert!(read_large(&after, "large").is_none());
    assert_eq!(disk(&after).stats().corrupt, 1);
    // Nobody begins with it again only to break off.
    assert!(read_large(&after, "large").is_none());
    assert_eq!((disk(&after).stats().corrupt, disk(&after).stats().objects), (1, 2));
    after.purge(&Scope::All, false);
    assert!(read_large(&after, "large").is_none());
}

#[test]
fn large_objects_make_room_in_turn_unless_they_are_read() {
    let folder = Folder::new("large-turns");
    let store = store(&folder.0, 64);
    for number in 0..30 {
        write_large(&store, &number.to_string());
        assert!(disk(&store).stats().bytes <= 64 << 20);
        // Nobody may take all of it.
        assert!(read_large(&store, "0").is_some(), "{number}: it is read all the time");
        store.shards.iter().for_each(|shard| {
            let mut left = Vec::new();
            shard.lock().sweep(0, usize::MAX, |_| true, &mut left);
        });
    }
    assert!(read_large(&store, "29").is_some() && read_large(&store, "3").is_none());
}
