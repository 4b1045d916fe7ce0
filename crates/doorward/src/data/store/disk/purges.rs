//! The log of purges: what was purged stays purged after a restart.
//!
//! Each purge is one record: a header with a sum of its own, so that a record which was cut short at the
//! end of the file (its purge was never answered) is told from one that is wrong. A wrong one
//! may have been any purge: then nothing on the disk is believed.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rules::store::Scope;

use super::record::sum;

/// One purge that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Purge {
    pub(super) generation: u64,
    pub(super) soft: bool,
    /// `None` begins a life: see [`LIFE`].
    pub(super) scope: Option<Scope>,
}

/// Each life begins so many generations behind the newest purge that is on the disk. A crash may lose
/// the numbers of purges that nobody was told of yet, and objects that were fetched behind them may be
/// on the disk: they must not look younger than the purges to come. Fewer can be on their way at once.
const LIFE: u64 = 1 << 20;

/// Generation, kind, length of the text, sum.
const HEADER_BYTES: usize = 8 + 1 + 1 + 4 + 4;

/// The log is written anew when it is larger: then only what still matters is kept.
const LOG_BYTES_MAX: u64 = 4 << 20;

/// The file of the log.
pub(super) const NAME: &str = "purges";

/// Longer than any URL.
const TEXT_BYTES_MAX: u32 = 1 << 20;

/// The log cannot be believed.
#[derive(Debug)]
pub(super) struct Wrong;

fn encode(purge: &Purge, out: &mut Vec<u8>) {
    let number;
    let (kind, text): (u8, &[u8]) = match &purge.scope {
        Some(Scope::Tag(tag)) => {
            number = tag.to_le_bytes();
            (1, &number)
        }
        Some(Scope::Prefix(text)) => (2, text),
        Some(Scope::All) => (3, b""),
        None => (4, b""),
    };
    let start = out.len();
    out.extend_from_slice(&purge.generation.to_le_bytes());
    out.push(kind);
    out.push(u8::from(purge.soft));
    out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    let header_sum = sum(&[&out[start..]]);
    out.extend_from_slice(&header_sum.to_le_bytes());
    out.extend_from_slice(text);
    let text_sum = sum(&[&header_sum.to_le_bytes(), text]);
    out.extend_from_slice(&text_sum.to_le_bytes());
}

/// The purges in `bytes`, and how many bytes they are made of: less than all if the last was cut short.
fn decode(bytes: &[u8]) -> Result<(Vec<Purge>, usize), Wrong> {
    let (mut purges, mut at) = (Vec::new(), 0);
    while let Some(header) = bytes.get(at..at + HEADER_BYTES) {
        let said = u32::from_le_bytes(*header[14..].first_chunk().expect("within it"));
        if said != sum(&[&header[..14]]) {
            return Err(Wrong);
        }
        let text_bytes = u32::from_le_bytes(*header[10..].first_chunk().expect("within it"));
        let end = at + HEADER_BYTES + text_bytes as usize;
        let Some(last) = bytes.get(end..end + 4) else {
            break;
        };
        let text = &bytes[at + HEADER_BYTES..end];
        if last != sum(&[&header[14..], text]).to_le_bytes() || text_bytes > TEXT_BYTES_MAX {
            return Err(Wrong);
        }
        let scope = match (header[8], text.first_chunk()) {
            (1, Some(tag)) => Some(Scope::Tag(u64::from_le_bytes(*tag))),
            (2, _) => Some(Scope::Prefix(text.into())),
            (3, _) => Some(Scope::All),
            (4, _) => None,
            _ => return Err(Wrong),
        };
        let generation = u64::from_le_bytes(*header.first_chunk().expect("within it"));
        purges.push(Purge { generation, soft: header[9] == 1, scope });
        at = end + 4;
    }
    Ok((purges, at))
}

/// The log, open for more.
pub(super) struct PurgeLog {
    path: PathBuf,
    file: File,
    bytes: u64,
    /// All that stand in it.
    purges: Vec<Purge>,
}

impl PurgeLog {
    /// Opens the log of `folder`, or begins one. `None` in the second place: there is one, and it is
    /// not to be believed.
    ///
    /// # Errors
    /// If the file cannot be had.
    pub(super) fn open(folder: &Path) -> io::Result<(Self, Result<Found, Wrong>)> {
        let path = folder.join(NAME);
        let existed = path.exists();
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).create(true).truncate(false).open(&path)?;
        let mut content = Vec::new();
        file.read_to_end(&mut content)?;
        let decoded = decode(&content);
        let (purges, whole) = decoded.unwrap_or_default();
        let wrong = !existed || (whole == 0 && !content.is_empty());
        file.set_len(whole as u64)?;
        file.seek(SeekFrom::End(0))?;
        let mut log = Self { path, file, bytes: whole as u64, purges };
        let newest = log.purges.iter().map(|purge| purge.generation).max();
        let generation = newest.map_or(0, |newest| newest + LIFE);
        log.append(&[Purge { generation, soft: false, scope: None }])?;
        let found = if wrong { Err(Wrong) } else { Ok(Found(log.purges.clone())) };
        Ok((log, found))
    }

    /// Writes `purges` down, so that even a power failure does not undo them.
    ///
    /// # Errors
    /// If the disk does not take them.
    pub(super) fn append(&mut self, purges: &[Purge]) -> io::Result<()> {
        let mut out = Vec::new();
        for purge in purges {
            encode(purge, &mut out);
        }
        self.file.write_all(&out)?;
        self.file.sync_data()?;
        self.bytes += out.len() as u64;
        self.purges.extend_from_slice(purges);
        Ok(())
    }

    /// Whether it is time for [`PurgeLog::rewrite`].
    pub(super) fn is_large(&self) -> bool {
        self.bytes > LOG_BYTES_MAX
    }

    /// Keeps only purges that are younger than `oldest`, the generation of the oldest object on the
    /// disk: others can touch nothing any more. If that is too little, the older half becomes one purge of
    /// everything that is as old.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub(super) fn rewrite(&mut self, oldest: u64) -> io::Result<Option<Purge>> {
        let before = self.purges.len();
        let newest = self.purges.last().cloned();
        self.purges.retain(|purge| purge.generation > oldest);
        let mut joined = None;
        if self.purges.len() > before / 2 {
            let half = self.purges.len() / 2;
            let last = self.purges.drain(..half).next_back();
            if let Some(last) = last {
                let all =
                    Purge { generation: last.generation, soft: false, scope: Some(Scope::All) };
                self.purges.insert(0, all.clone());
                joined = Some(all);
            }
        }
        if self.purges.is_empty() {
            // The generation must not begin anew.
            self.purges.extend(newest);
        }
        let mut out = Vec::new();
        for purge in &self.purges {
            encode(purge, &mut out);
        }
        let beside = self.path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&beside)?;
        file.write_all(&out)?;
        file.sync_data()?;
        std::fs::rename(&beside, &self.path)?;
        (self.file, self.bytes) = (file, out.len() as u64);
        Ok(joined)
    }

    /// The purges, but for those that a rewrite left out.
    #[cfg(test)]
    fn purges(&self) -> &[Purge] {
        &self.purges
    }
}

/// What an earlier life had purged.
#[derive(Debug)]
pub(super) struct Found(pub(super) Vec<Purge>);

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Vec<Purge> {
        let scopes = [
            Scope::Tag(77),
            Scope::Prefix(b"http://h/articles/".as_slice().into()),
            Scope::All,
            Scope::Tag(u64::MAX),
        ];
        let numbered = scopes.into_iter().zip(5..);
        numbered
            .map(|(scope, generation)| Purge {
                generation,
                soft: generation % 2 == 0,
                scope: Some(scope),
            })
            .collect()
    }

    #[test]
    fn a_log_that_was_cut_loses_what_was_cut_and_a_wrong_one_is_not_believed() {
        let (purges, mut bytes) = (some(), Vec::new());
        let mut ends = vec![0];
        for purge in &purges {
            encode(purge, &mut bytes);
            ends.push(bytes.len());
        }
        for cut in 0..=bytes.len() {
            let (read, whole) = decode(&bytes[..cut]).expect("a cut is no fault");
            let count = ends.iter().filter(|end| **end <= cut).count() - 1;
            assert_eq!((&read[..], whole), (&purges[..count], ends[count]), "cut at {cut}");
        }
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&bytes).is_err(), "bit {bit} was changed");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn a_rewrite_forgets_what_can_touch_nothing_any_more() {
        let folder = std::env::temp_dir().join(format!("doorward-purges-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("it can be made");
        let (mut log, found) = PurgeLog::open(&folder).expect("it can be made");
        assert!(found.is_err(), "nothing is known of what lies beside a log that is not there");
        log.append(&some()).expect("there is room");
        assert_eq!(log.rewrite(6).expect("there is room"), None);
        assert_eq!(log.purges(), &some()[2..]);
        assert_eq!(log.rewrite(100).expect("there is room"), None);
        drop(log);
        let (mut again, found) = PurgeLog::open(&folder).expect("it is there");
        let found = found.expect("it is sound").0;
        assert_eq!(found.last().map(|purge| purge.generation), Some(8 + LIFE), "it goes on");
        again.append(&some()).expect("there is room");
        let all = again.rewrite(0).expect("there is room").expect("too many");
        assert_eq!((all.scope, all.soft), (Some(Scope::All), false));
        std::fs::remove_dir_all(&folder).expect("it is ours");
    }
}
