//! Bytes of a body on their way, copied as seldom as their owners allow.

use std::ops::{Deref, Range};
use std::rc::Rc;

use bytes::{Buf, Bytes};

use super::buffer::Buffer;

/// Some bytes of a body, and who holds them.
pub(crate) enum Piece {
    /// Lent by the worker, to this piece alone.
    Lent(Buffer, Range<usize>),
    /// Lent by the worker, to several pieces.
    Shared(Rc<Buffer>, Range<usize>),
    /// Held by whoever read them, or a copy.
    Owned(Bytes),
}

impl Piece {
    /// Takes the first `bytes` bytes off; all of them leave an empty piece.
    pub(crate) fn split_to(&mut self, bytes: usize) -> Self {
        if bytes >= self.len() {
            return std::mem::replace(self, Self::Owned(Bytes::new()));
        }
        if let Self::Lent(..) = self
            && let Self::Lent(buffer, range) = std::mem::replace(self, Self::Owned(Bytes::new()))
        {
            *self = Self::Shared(Rc::new(buffer), range);
        }
        match self {
            Self::Shared(buffer, range) => {
                let first = range.start..range.start + bytes;
                range.start = first.end;
                Self::Shared(Rc::clone(buffer), first)
            }
            Self::Owned(owned) => Self::Owned(owned.split_to(bytes)),
            Self::Lent(..) => unreachable!("it is shared by now"),
        }
    }
}

impl Deref for Piece {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Lent(buffer, range) => &buffer[range.clone()],
            Self::Shared(buffer, range) => &buffer[range.clone()],
            Self::Owned(bytes) => bytes,
        }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.len()
    }

    fn chunk(&self) -> &[u8] {
        self
    }

    fn advance(&mut self, bytes: usize) {
        match self {
            Self::Lent(_, range) | Self::Shared(_, range) => range.start += bytes,
            Self::Owned(owned) => owned.advance(bytes),
        }
        if self.is_empty() {
            // The buffer goes back to the worker now and not when the frame is forgotten.
            *self = Self::Owned(Bytes::new());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_split_is_all_there_in_order() {
        let mut buffer = Buffer::small();
        buffer[..6].copy_from_slice(b"abcdef");
        for mut piece in [Piece::Lent(buffer, 1..6), Piece::Owned(Bytes::from_static(b"bcdef"))] {
            assert_eq!(&*piece.split_to(2), b"bc");
            assert_eq!(&*piece.split_to(1), b"d");
            piece.advance(1);
            assert_eq!(&*piece, b"f");
            assert_eq!(&*piece.split_to(9), b"f");
            assert!(piece.is_empty());
        }
    }
}
