//! The Huffman code of field values (RFC 7541, 5.2 and appendix B; RFC 9204, 4.1.2).
//!
//! Only reading: what we send goes as it is, which costs a few bytes and spares both sides the work.

/// How many bits the code of each byte has. The code is canonical: codes of one length are given
/// out in the order of the bytes, so that the lengths are all there is to know.
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

/// Lengths go from 5 to 30 bits; the last code of 30 ones is the end of a string, which may not be
/// sent.
const LENGTH_MAX: u8 = 30;

/// A child that is a byte: this and the byte. Below it is another node, 0 none.
const LEAF: u16 = 256;

/// The code as a tree of 256 nodes; the first is the root.
const TREE: [[u16; 2]; 256] = tree();

/// What four more bits lead to, from each node.
static STEPS: [[Step; 16]; 256] = steps();

#[derive(Clone, Copy)]
struct Step {
    next: u8,
    /// The byte that was completed on the way: no code has fewer than five bits.
    byte: u8,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Nothing,
    Byte,
    /// The code of the end, or of nothing.
    Wrong,
}

const fn tree() -> [[u16; 2]; 256] {
    let mut tree = [[0; 2]; 256];
    let (mut nodes, mut code, mut length) = (1, 0_u32, 5);
    while length <= LENGTH_MAX {
        let mut byte = 0;
        while byte < 256 {
            if LENGTHS[byte] == length {
                let (mut node, mut bit) = (0, length);
                while bit > 1 {
                    bit -= 1;
                    let side = (code >> bit & 1) as usize;
                    if tree[node][side] == 0 {
                        tree[node][side] = nodes;
                        nodes += 1;
                    }
                    node = tree[node][side] as usize;
                }
                tree[node][(code & 1) as usize] = LEAF + byte as u16;
                code += 1;
            }
            byte += 1;
        }
        code <<= 1;
        length += 1;
    }
    tree
}

const fn steps() -> [[Step; 16]; 256] {
    let mut steps = [[Step { next: 0, byte: 0, kind: Kind::Nothing }; 16]; 256];
    let mut node = 0;
    while node < 256 {
        let mut bits = 0;
        while bits < 16 {
            let (mut at, mut bit) = (node, 4);
            let mut step = Step { next: 0, byte: 0, kind: Kind::Nothing };
            while bit > 0 {
                bit -= 1;
                let child = TREE[at][bits >> bit & 1];
                if child == 0 {
                    step.kind = Kind::Wrong;
                    break;
                } else if child >= LEAF {
                    step.byte = (child - LEAF) as u8;
                    step.kind = Kind::Byte;
                    at = 0;
                } else {
                    at = child as usize;
                }
            }
            step.next = at as u8;
            steps[node][bits] = step;
            bits += 1;
        }
        node += 1;
    }
    steps
}

/// Whether a string may end at `node`: on the way from the last byte there are fewer than eight
/// bits, all ones (RFC 7541, 5.2).
const fn may_end(node: u8) -> bool {
    let (mut at, mut ones) = (0, 0);
    while ones < 8 {
        if at == node as usize {
            return true;
        }
        at = TREE[at][1] as usize;
        ones += 1;
    }
    false
}

/// Appends what `coded` stands for to `out`; false if it is malformed.
pub(super) fn decode(coded: &[u8], out: &mut Vec<u8>) -> bool {
    let mut node = 0;
    for &byte in coded {
        for bits in [byte >> 4, byte & 15] {
            let step = STEPS[usize::from(node)][usize::from(bits)];
            match step.kind {
                Kind::Nothing => {}
                Kind::Byte => out.push(step.byte),
                Kind::Wrong => return false,
            }
            node = step.next;
        }
    }
    may_end(node)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(coded: &[u8]) -> Option<String> {
        let mut out = Vec::new();
        decode(coded, &mut out).then(|| String::from_utf8_lossy(&out).into_owned())
    }

    /// The bits of `text`, with ones behind them.
    fn encode(text: &[u8]) -> Vec<u8> {
        let mut bits = Vec::new();
        for &byte in text {
            let mut path = Vec::new();
            assert!(find(0, u16::from(byte) + LEAF, &mut path), "each byte has a code");
            assert_eq!(path.len(), usize::from(LENGTHS[usize::from(byte)]));
            bits.extend(path);
        }
        bits.resize(bits.len().next_multiple_of(8), 1);
        bits.chunks(8).map(|byte| byte.iter().fold(0, |all, bit| all << 1 | bit)).collect()
    }

    fn find(node: usize, leaf: u16, path: &mut Vec<u8>) -> bool {
        for side in [0, 1] {
            path.push(side);
            let child = TREE[node][usize::from(side)];
            if child == leaf || child > 0 && child < LEAF && find(child.into(), leaf, path) {
                return true;
            }
            path.pop();
        }
        false
    }

    #[test]
    fn the_examples_of_the_rfc_read_as_they_say() {
        // RFC 7541, appendix C.4 and C.6.
        let examples: [(&[u8], &str); 4] = [
            (b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff", "www.example.com"),
            (b"\xa8\xeb\x10\x64\x9c\xbf", "no-cache"),
            (b"\x64\x02", "302"),
            (
                b"\x9d\x29\xad\x17\x18\x63\xc7\x8f\x0b\x97\xc8\xe9\xae\x82\xae\x43\xd3",
                "https://www.example.com",
            ),
        ];
        for (coded, text) in examples {
            assert_eq!(read(coded).as_deref(), Some(text));
            assert_eq!(encode(text.as_bytes()), coded);
        }
    }

    #[test]
    fn every_byte_comes_back() {
        let all: Vec<u8> = (0..=255).collect();
        let mut out = Vec::new();
        assert!(decode(&encode(&all), &mut out));
        assert_eq!(out, all);
    }

    #[test]
    fn padding_is_short_and_all_ones_and_the_end_is_never_sent() {
        // "a" is 00011.
        assert_eq!(read(b"\x1f").as_deref(), Some("a"));
        assert_eq!(read(b"\x1e"), None, "a zero in the padding");
        assert_eq!(read(b"\x1f\xff"), None, "eleven bits of padding");
        assert_eq!(read(b"\xff\xff\xff\xff"), None, "the end");
        assert_eq!(read(b"").as_deref(), Some(""));
    }
}
