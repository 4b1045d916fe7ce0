//! `grpc.health.v1`: the two messages of its `Check`, as bytes.

/// Where the check is asked for.
pub const CHECK_PATH: &str = "/grpc.health.v1.Health/Check";

/// The bytes in front of each message: whether it is compressed, and its length.
const FRAME_HEAD: usize = 5;

/// The framed message that asks about `service`; the empty one is the server as a whole.
#[must_use]
pub fn check_request(service: &str) -> Vec<u8> {
    // Field 1, of a length.
    let mut message = vec![0x0a];
    let mut length = service.len();
    while length >= 0x80 {
        message.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    message.push(length as u8);
    message.extend_from_slice(service.as_bytes());
    let mut frame = vec![0];
    let bytes = u32::try_from(message.len()).expect("a name of a service is not 4 GiB long");
    frame.extend_from_slice(&bytes.to_be_bytes());
    frame.extend_from_slice(&message);
    frame
}

/// What the framed answer in `body` says against the service; nothing if it serves.
///
/// # Errors
/// Why it is not well, as a clause.
pub fn check_answer(body: &[u8]) -> Result<(), &'static str> {
    let no_answer = "the answer is not that of a health check";
    let (head, message) = body.split_at_checked(FRAME_HEAD).ok_or(no_answer)?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    if head[0] != 0 || message.len() != length as usize {
        return Err(no_answer);
    }
    match status(message).ok_or(no_answer)? {
        0 => Err("it does not know whether it serves"),
        1 => Ok(()),
        2 => Err("it says that it does not serve"),
        _ => Err("it does not know the service"),
    }
}

/// The enumeration in field 1; zero if it is left out, as protobuf has it.
fn status(mut message: &[u8]) -> Option<u64> {
    let mut status = 0;
    while !message.is_empty() {
        let key = varint(&mut message)?;
        match key & 7 {
            0 => {
                let value = varint(&mut message)?;
                if key >> 3 == 1 {
                    status = value;
                }
            }
            1 => message = message.get(8..)?,
            2 => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                message = message.get(length..)?;
            }
            5 => message = message.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_is_as_protobuf_has_it() {
        assert_eq!(check_request(""), [0, 0, 0, 0, 2, 10, 0]);
        assert_eq!(check_request("a.B"), [&[0, 0, 0, 0, 5, 10, 3][..], b"a.B"].concat());
        let long = check_request(&"x".repeat(300));
        assert_eq!((&long[..8], long.len()), (&[0, 0, 0, 1, 47, 10, 0xac, 2][..], 308));
    }

    #[test]
    fn only_one_answer_is_well() {
        let answer = |message: &[u8]| {
            let mut body = vec![0, 0, 0, 0, message.len() as u8];
            body.extend_from_slice(message);
            check_answer(&body)
        };
        assert_eq!(answer(&[8, 1]), Ok(()));
        // Among fields that nobody knows yet.
        assert_eq!(
            answer(&[0x12, 2, 9, 9, 8, 1, 0x1d, 0, 0, 0, 0, 0x21, 1, 2, 3, 4, 5, 6, 7, 8]),
            Ok(())
        );
        for (message, says) in [
            (&[][..], "it does not know whether it serves"),
            (&[8, 0], "it does not know whether it serves"),
            (&[8, 2], "it says that it does not serve"),
            (&[8, 3], "it does not know the service"),
            (&[8], "the answer is not that of a health check"),
            (&[0x12, 9, 1], "the answer is not that of a health check"),
            (
                &[8, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1],
                "the answer is not that of a health check",
            ),
            (&[0x0b], "the answer is not that of a health check"),
        ] {
            assert_eq!(answer(message), Err(says), "{message:?}");
        }
        for body in [&[][..], &[0, 0, 0, 0], &[1, 0, 0, 0, 0], &[0, 0, 0, 0, 9, 8, 1]] {
            assert_eq!(check_answer(body), Err("the answer is not that of a health check"));
        }
    }
}
