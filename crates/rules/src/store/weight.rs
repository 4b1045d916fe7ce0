//! What an allocation really takes.

/// The bytes that the allocator sets aside for `bytes`: mimalloc has eight sizes up to 128 bytes and
/// four for each doubling above. Counting what was asked for would miss a tenth of small objects.
#[must_use]
pub fn allocated(bytes: usize) -> usize {
    if bytes == 0 {
        return 0;
    }
    if bytes <= 128 {
        return bytes.next_multiple_of(16);
    }
    let step = (bytes - 1).ilog2() - 2;
    bytes.next_multiple_of(1 << step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_allocator() {
        for (asked, given) in [
            (0, 0),
            (1, 16),
            (16, 16),
            (17, 32),
            (100, 112),
            (128, 128),
            (129, 160),
            (161, 192),
            (193, 224),
            (225, 256),
            (257, 320),
            (1000, 1024),
            (1025, 1280),
            (5000, 5120),
            (65_536, 65_536),
        ] {
            assert_eq!(allocated(asked), given, "{asked}");
        }
    }
}
