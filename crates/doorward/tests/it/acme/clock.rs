//! A clock that tests move: what the program takes for the time, by libfaketime.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::door::{Door, Folder};

/// The clock of one door.
pub(crate) struct Clock(PathBuf);

impl Clock {
    /// Starts a door whose time is this clock's, which is right at first.
    #[track_caller]
    pub(crate) fn door(folder: Folder, config: &str) -> (Door, Self) {
        let clock = Self(folder.write("clock", "+0"));
        let mut command = Door::command(&folder, &["run", "doorward.toml"]);
        clock.give_to(&mut command);
        (Door::start_as(command, folder, config), clock)
    }

    /// Gives `command` this time.
    pub(crate) fn give_to(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", library())
            .env("FAKETIME_TIMESTAMP_FILE", &self.0)
            .env("FAKETIME_NO_CACHE", "1")
            // Timers go on as they are.
            .env("DONT_FAKE_MONOTONIC", "1");
    }

    /// Moves it so many seconds ahead of the real one.
    pub(crate) fn set(&self, seconds: u64) {
        // Whoever reads it finds the old file or the new one.
        let new = self.0.with_extension("new");
        std::fs::write(&new, format!("+{seconds}")).expect("it can be written");
        std::fs::rename(&new, &self.0).expect("it can be replaced");
    }
}

fn library() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").expect("a folder");
    let paths = folders.filter_map(|entry| Some(entry.ok()?.path()));
    let found = paths
        .map(|folder| folder.join(Path::new("faketime/libfaketimeMT.so.1")))
        .find(|path| path.exists());
    found.expect("the Debian package `libfaketime` is installed")
}
