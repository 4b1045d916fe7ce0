//! The files that records stand in, one behind the other.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rules::cache::hash;

use super::index::Entry;
use super::record::{HEADER_BYTES, Header, Place, sum};

/// What a segment begins with: a name, and the hash of a word. Another hash function would find nothing
/// that was written with this one, and a purge by it would miss what it should touch.
const START_BYTES: usize = 16;

fn start() -> [u8; START_BYTES] {
    let mut out = *b"DWSEG01\n--------";
    out[8..].copy_from_slice(&hash(b"doorward").to_le_bytes());
    out
}

/// One segment.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u32,
    /// Read by whoever has a place in it, even when it has been deleted.
    pub(super) file: Arc<File>,
    pub(super) bytes: u64,
    /// The oldest generation of its objects; `u64::MAX` without any.
    pub(super) oldest: u64,
    /// The record that has it for itself.
    pub(super) alone: Option<Entry>,
}

fn path(folder: &Path, number: u32, extension: &str) -> PathBuf {
    folder.join(format!("segment-{number:08}.{extension}"))
}

/// The numbers of the segments in `folder`, in order.
pub(super) fn numbers(folder: &Path) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let name = name.to_str().and_then(|name| name.strip_prefix("segment-"));
        let number = name.and_then(|name| name.strip_suffix(".data"));
        numbers.extend(number.and_then(|number| number.parse::<u32>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Deletes the segment and what belongs to it.
pub(super) fn delete(folder: &Path, number: u32) -> io::Result<()> {
    // The list may not be there.
    let _ = std::fs::remove_file(path(folder, number, "list"));
    std::fs::remove_file(path(folder, number, "data"))
}

impl Segment {
    /// Begins a new one.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub(super) fn create(folder: &Path, number: u32) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let mut file =
            options.read(true).write(true).create_new(true).open(path(folder, number, "data"))?;
        file.write_all(&start())?;
        let (file, bytes) = (Arc::new(file), START_BYTES as u64);
        Ok(Self { number, file, bytes, oldest: u64::MAX, alone: None })
    }

    /// Opens one of an earlier life, with the records in it: from its list, or, if that is not there
    /// or not right, from the headers of its records, up to the first that is none.
    ///
    /// # Errors
    /// If it cannot be read, or is none of ours.
    pub(super) fn open(folder: &Path, number: u32) -> io::Result<(Self, Vec<Entry>)> {
        let file = File::open(path(folder, number, "data"))?;
        let mut begin = [0; START_BYTES];
        file.read_exact_at(&mut begin, 0)?;
        if begin != start() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no segment of ours"));
        }
        let bytes = file.metadata()?.len();
        let mut segment =
            Self { number, file: Arc::new(file), bytes, oldest: u64::MAX, alone: None };
        let entries = match read_list(folder, number) {
            Some((oldest, entries)) => {
                segment.oldest = oldest;
                entries
            }
            None => {
                let entries = segment.scan()?;
                segment.seal(folder, &entries)?;
                entries
            }
        };
        if let [entry] = entries[..] {
            segment.alone = Some(entry);
        }
        Ok((segment, entries))
    }

    /// The place of its first record.
    pub(super) fn first(&self) -> Option<Place> {
        Some(Place { segment: self.number, offset: u32::try_from(START_BYTES).ok()? })
    }

    /// The place of the next record.
    pub(super) fn next(&self) -> Option<Place> {
        let offset = u32::try_from(self.bytes).ok()?;
        Some(Place { segment: self.number, offset })
    }

    /// Appends `bytes`, which are whole records.
    ///
    /// # Errors
    /// If the disk does not take them.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.bytes)?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn scan(&mut self) -> io::Result<Vec<Entry>> {
        let mut reader = BufReader::with_capacity(1 << 20, &*self.file);
        let mut at = START_BYTES as u64;
        reader.seek(SeekFrom::Start(at))?;
        let mut entries = Vec::new();
        let mut bytes = [0; HEADER_BYTES];
        while at + HEADER_BYTES as u64 <= self.bytes {
            reader.read_exact(&mut bytes)?;
            let Ok(offset) = u32::try_from(at) else { break };
            let place = Place { segment: self.number, offset };
            let Some(header) = Header::decode(&bytes, place) else { break };
            let end = at + header.record_bytes();
            if end > self.bytes {
                break;
            }
            self.oldest = self.oldest.min(header.generation);
            entries.push(Entry::of(&header));
            let rest = header.record_bytes() - HEADER_BYTES as u64;
            reader.seek_relative(i64::try_from(rest).unwrap_or(i64::MAX))?;
            at = end;
        }
        Ok(entries)
    }

    /// Writes the list of its records beside it: nothing is appended any more.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub(super) fn seal(&self, folder: &Path, entries: &[Entry]) -> io::Result<()> {
        let mut out = Vec::with_capacity(entries.len() * ENTRY_BYTES + 64);
        out.extend_from_slice(&start());
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.oldest.to_le_bytes());
        for entry in entries {
            out.extend_from_slice(&entry.hash.to_le_bytes());
            out.extend_from_slice(&entry.place.offset.to_le_bytes());
            out.extend_from_slice(&entry.variant.to_le_bytes());
            out.extend_from_slice(&entry.bytes.to_le_bytes());
        }
        let said = sum(&[&out]);
        out.extend_from_slice(&said.to_le_bytes());
        let beside = path(folder, self.number, "new");
        std::fs::write(&beside, &out)?;
        std::fs::rename(&beside, path(folder, self.number, "list"))
    }
}

const ENTRY_BYTES: usize = 20;

/// The list of a segment's records, with the oldest generation; `None` if there is none that is right.
fn read_list(folder: &Path, number: u32) -> Option<(u64, Vec<Entry>)> {
    let content = std::fs::read(path(folder, number, "list")).ok()?;
    let (content, said) = content.split_last_chunk()?;
    let rest = content.strip_prefix(&start())?;
    let (number_said, rest) = rest.split_first_chunk()?;
    let (oldest, rest) = rest.split_first_chunk()?;
    let sound = u32::from_le_bytes(*said) == sum(&[content])
        && u32::from_le_bytes(*number_said) == number
        && rest.len() % ENTRY_BYTES == 0;
    let word = |bytes: &[u8]| u32::from_le_bytes(*bytes.first_chunk().expect("within it"));
    sound.then(|| {
        let entry = |bytes: &[u8]| Entry {
            hash: u64::from_le_bytes(*bytes.first_chunk().expect("within it")),
            place: Place { segment: number, offset: word(&bytes[8..]) },
            variant: word(&bytes[12..]),
            bytes: word(&bytes[16..]),
            used: false,
        };
        (u64::from_le_bytes(*oldest), rest.chunks_exact(ENTRY_BYTES).map(entry).collect())
    })
}

/// The list of a sealed segment, for whoever empties it.
pub(super) fn list(folder: &Path, number: u32) -> Vec<Entry> {
    read_list(folder, number).map_or_else(Vec::new, |(_, entries)| entries)
}
