//! Where something stands: a file and a range of its bytes.

use std::ops::Range;
use std::sync::Arc;

/// One text among the [`Sources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(u32);

/// A range of bytes in a file: small and `Copy`, so that every value can carry one.
///
/// What is kept across reloads carries places *relative to its piece* of a file, because the piece may
/// move; [`Place::within`] makes them absolute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    file: u32,
    start: u32,
    end: u32,
}

/// Marks a place that is relative to its piece.
const PIECE: u32 = u32::MAX - 1;

impl Place {
    /// The place of what stands in no file, such as a default.
    pub const NONE: Self = Self { file: u32::MAX, start: 0, end: 0 };

    /// The bytes `range` of `file`.
    pub fn new(file: FileId, range: Range<usize>) -> Self {
        Self::raw(file.0, range)
    }

    /// The bytes `range` of the piece that is being read, wherever it will stand.
    pub(crate) fn in_piece(range: Range<usize>) -> Self {
        Self::raw(PIECE, range)
    }

    pub(crate) fn from_parts([file, start, end]: [u32; 3]) -> Self {
        Self { file, start, end: end.max(start) }
    }

    pub(crate) fn parts(self) -> [u32; 3] {
        [self.file, self.start, self.end]
    }

    fn raw(file: u32, range: Range<usize>) -> Self {
        let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self { file, start: narrow(range.start), end: narrow(range.end.max(range.start)) }
    }

    /// Whether this is no place at all.
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }

    /// The file, unless this is no place or one relative to a piece.
    pub fn file(self) -> Option<FileId> {
        (self.file < PIECE).then_some(FileId(self.file))
    }

    /// The range of bytes.
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// This place in the file, if it is relative to `piece`; unchanged if it is absolute already.
    #[must_use]
    pub fn within(self, piece: Self) -> Self {
        if self.file != PIECE {
            return self;
        }
        Self {
            file: piece.file,
            start: piece.start.saturating_add(self.start),
            end: piece.start.saturating_add(self.end),
        }
    }

    /// The empty place at the end of this one.
    #[must_use]
    pub fn after(self) -> Self {
        Self { start: self.end, ..self }
    }
}

/// A place as a person reads it. Lines and columns count from 1; a column is one character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// The name under which the file was added.
    pub file: Arc<str>,
    /// The line of the first byte.
    pub line: usize,
    /// The column of the first byte.
    pub column: usize,
}

/// The texts that places point into.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<(Arc<str>, Arc<str>)>,
}

impl Sources {
    /// Adds a text under the name that problems will show.
    pub fn add(&mut self, name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> FileId {
        self.files.push((name.into(), text.into()));
        FileId(u32::try_from(self.files.len() - 1).unwrap_or(PIECE - 1))
    }

    /// The name of a file.
    pub fn name(&self, file: FileId) -> &Arc<str> {
        &self.files[file.0 as usize].0
    }

    /// The text of a file.
    pub fn text(&self, file: FileId) -> &Arc<str> {
        &self.files[file.0 as usize].1
    }

    /// How many files were read.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether no file was read.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The names of all files, in the order they were added.
    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.files.iter().map(|(name, _)| name)
    }

    /// `place` in words, or `None` if it is in no file. Reads the text up to the place: for people, not
    /// for loops over all routes.
    pub fn locate(&self, place: Place) -> Option<Spot> {
        let file = place.file()?;
        let line = self.line(place)?;
        Some(Spot {
            file: Arc::clone(self.name(file)),
            line: line.number,
            column: line.text[..line.marked.start].chars().count() + 1,
        })
    }

    /// The line on which `place` begins.
    pub(crate) fn line(&self, place: Place) -> Option<Line<'_>> {
        let (_, text) = self.files.get(place.file()?.0 as usize)?;
        let Range { start, end } = place.range();
        // An error "at the end of the file" is better shown behind the last thing that stands there.
        let content_end = text.trim_end_matches(['\n', '\r', ' ', '\t']).len();
        let at_end = start >= text.len();
        let start = boundary(text, if at_end { content_end } else { start });
        let before = &text[..start];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = text[line_start..].split('\n').next().unwrap_or_default();
        let line = line.strip_suffix('\r').unwrap_or(line);
        // `start` may stand on the line break itself.
        let from = (start - line_start).min(line.len());
        let to = boundary(text, end.max(start)).saturating_sub(line_start).clamp(from, line.len());
        Some(Line {
            number: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
            text: line,
            marked: from..to,
        })
    }
}

/// A line of a text and the part of it that a place covers.
pub(crate) struct Line<'s> {
    pub(crate) number: usize,
    pub(crate) text: &'s str,
    pub(crate) marked: Range<usize>,
}

/// The nearest character boundary at or below `at`.
fn boundary(text: &str, at: usize) -> usize {
    text.floor_char_boundary(at)
}
