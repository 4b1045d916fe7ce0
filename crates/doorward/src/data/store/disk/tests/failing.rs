//! Disks that fail.

use super::*;

fn wait_until_down(store: &Store) {
    while disk(store).is_up() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The files with records in `folder`.
fn segments(folder: &Path) -> usize {
    let files = std::fs::read_dir(folder).expect("it is there").flatten();
    files.filter(|file| file.file_name().to_string_lossy().starts_with("segment-")).count()
}

#[test]
fn without_a_disk_it_goes_on_loudly() {
    let folder = Folder::new("failing");
    std::fs::create_dir_all(&folder.0).expect("it can be made");
    let file = folder.0.join("a-file");
    std::fs::write(&file, "x").expect("there is room");
    let none = store(&file, 64);
    assert_eq!((disk(&none).stats().up, disk(&none).stats().errors), (false, 1));
    insert(&none, "a", 1);
    assert_eq!(find(&none, "a"), None);
    none.purge(&Scope::All, false);

    // The directory goes away below us: the next segment cannot be made.
    let path = folder.0.join("gone");
    let store = store(&path, 64);
    insert(&store, "a", 1);
    disk(&store).flush();
    assert_eq!(find(&store, "a"), Some(1));
    std::fs::remove_dir_all(&path).expect("it is ours");
    for number in 0..2_000 {
        insert(&store, &number.to_string(), 1);
    }
    wait_until_down(&store);
    let stats = disk(&store).stats();
    assert_eq!((stats.up, stats.errors, stats.objects), (false, 1, 0));
    assert!(store.stats().objects > 0, "memory goes on");

    let path = folder.0.join("shared");
    let one = self::store(&path, 64);
    let other = self::store(&path, 64);
    assert_eq!(
        (disk(&one).stats().up, disk(&other).stats().up),
        (true, false),
        "it is one process's"
    );
}

#[test]
fn what_cannot_be_read_ends_the_disk_and_nothing_on_it_is_believed_again() {
    let folder = Folder::new("unreadable");
    let store = store(&folder.0, 64);
    for path in 0..10 {
        insert(&store, &path.to_string(), 1);
    }
    disk(&store).flush();
    assert_eq!(find(&store, "1"), Some(1));
    // Files that can be written only: each read is an error.
    for (number, file) in disk(&store).shared.files.write().expect("it is whole").iter_mut() {
        let path = folder.0.join(format!("segment-{number:08}.data"));
        let unreadable = std::fs::OpenOptions::new().append(true).open(path);
        *file = Arc::new(unreadable.expect("it is there"));
    }
    assert_eq!(find(&store, "2"), None);
    wait_until_down(&store);
    assert_eq!((disk(&store).stats().errors, disk(&store).stats().objects), (1, 0));
    // This purge is noted nowhere: what it is for must not be there after a restart.
    store.purge(&Scope::Tag(tag(b"http://h/3")), false);
    drop(store);
    assert_eq!(segments(&folder.0), 0, "the disk may be full for others, too");
    let after = self::store(&folder.0, 64);
    settle(&after);
    assert!(disk(&after).is_up(), "it is as good as new");
    assert!((0..10).all(|path| find(&after, &path.to_string()).is_none()));
}

#[test]
fn a_purge_that_cannot_be_noted_is_answered_when_nothing_is_believed_any_more() {
    let folder = Folder::new("unnoted");
    let store = store(&folder.0, 64);
    insert(&store, "a", 1);
    disk(&store).flush();
    disk(&store).shared.push(Job::Failed(io::Error::other("a test")));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(store.purge_durably(&Scope::All, false));
    assert!(!folder.0.join(purges::NAME).exists());
    wait_until_down(&store);
}
