//! How the body of a request ends (RFC 9112, 6): the ways of smuggling, and their refusal.

use super::{carried, lines_carried, lines_refused, refused};
use crate::h1::Malformed;

#[test]
fn two_lengths_are_refused() {
    // 6.3: "If a message is received with both a Transfer-Encoding and a Content-Length header
    // field, [...] Such a message might indicate an attempt to perform request smuggling [...] and
    // ought to be handled as an error." CL.TE and TE.CL, with every order, case and value.
    lines_refused(
        Malformed::TwoLengths,
        &[
            b"Content-Length: 6\r\nTransfer-Encoding: chunked",
            b"Transfer-Encoding: chunked\r\nContent-Length: 6",
            b"content-length: 0\r\ntransfer-encoding: chunked",
            b"Content-Length:\r\nTransfer-Encoding: chunked",
            b"Content-Length: x\r\nTransfer-Encoding: chunked",
            b"Content-Length: 6\r\nTransfer-Encoding:",
            b"Content-Length: 6\r\nTransfer-Encoding: identity",
            b"Content-Length: 6\r\nTransfer-Encoding: x",
            b"Content-Length: 6\r\nTransfer-Encoding: cow, chunked",
            b"Content-Length: 6\r\nX: y\r\nTransfer-Encoding: chunked\r\nContent-Length: 6",
            b"Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\nContent-Length: 6",
            b"Connection: Content-Length\r\nTransfer-Encoding: chunked\r\nContent-Length: 6",
        ],
    );
}

#[test]
fn a_length_is_a_plain_number() {
    // RFC 9110, 8.6: `Content-Length = 1*DIGIT`, and "a recipient MUST anticipate potentially large
    // decimal numerals and prevent parsing errors due to integer conversion overflows". A list of
    // equal numbers MAY be taken for one; that is where readers differ.
    lines_refused(
        Malformed::ContentLength,
        &[
            b"Content-Length:",
            b"Content-Length: ",
            b"Content-Length: +5",
            b"Content-Length: -5",
            b"Content-Length: -0",
            b"Content-Length: 0x5",
            b"Content-Length: 5x",
            b"Content-Length: x",
            b"Content-Length: 5 5",
            b"Content-Length: 5\t5",
            b"Content-Length: 5, 5",
            b"Content-Length: 5,5",
            b"Content-Length: 5,",
            b"Content-Length: ,5",
            b"Content-Length: 5, 6",
            b"Content-Length: 5;6",
            b"Content-Length: 5.0",
            b"Content-Length: 5e0",
            b"Content-Length: 1_000",
            b"Content-Length: 1'000",
            b"Content-Length: \"5\"",
            b"Content-Length: '5'",
            b"Content-Length: 5 chunked",
            b"Content-Length: chunked",
            b"Content-Length: 0b1",
            b"Content-Length: 0o5",
            b"Content-Length: a",
            b"Content-Length: \xb2",
            b"Content-Length: \xd9\xa5",
            b"Content-Length: \xef\xbc\x95",
            b"Content-Length: 9223372036854775808",
            b"Content-Length: 18446744073709551615",
            b"Content-Length: 18446744073709551616",
            b"Content-Length: 18446744073709551621",
            b"Content-Length: 99999999999999999999999999999999",
            b"Content-Length: 1000000000000000000",
            b"Content-Length: 0000000000000000005",
        ],
    );
    lines_refused(
        Malformed::ContentLengthRepeated,
        &[
            b"Content-Length: 5\r\nContent-Length: 5",
            b"Content-Length: 5\r\nContent-Length: 6",
            b"Content-Length: 0\r\ncontent-length: 6",
            b"Content-Length: 5\r\nX: y\r\nContent-Length:",
        ],
    );
    lines_carried(&[
        (b"Content-Length: 0", "Content-Length: 0\r\n"),
        (b"Content-Length: 5", "Content-Length: 5\r\n"),
        (b"content-length:5", "Content-Length: 5\r\n"),
        (b"CONTENT-LENGTH: \t 5 \t", "Content-Length: 5\r\n"),
        // The number is written anew: a reader for whom 010 is octal sees what we saw.
        (b"Content-Length: 010", "Content-Length: 10\r\n"),
        (b"Content-Length: 000000000000000005", "Content-Length: 5\r\n"),
        (b"Content-Length: 999999999999999999", "Content-Length: 999999999999999999\r\n"),
        (b"Content-Length: 5\r\nX: y", "X: y\r\nContent-Length: 5\r\n"),
    ]);
    // No length is no body: GET with a length of zero is not GET without one.
    carried(&[
        (
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
        ),
        (
            b"POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
        ),
    ]);
}

#[test]
fn the_only_transfer_coding_is_chunked() {
    // 6.3: "If a Transfer-Encoding header field is present in a request and the chunked transfer
    // coding is not the final encoding, the message body length cannot be determined reliably; the
    // server MUST respond with the 400 (Bad Request) status code and then close the connection."
    // TE.TE: one reader takes the word for `chunked`, the other does not.
    lines_refused(
        Malformed::TransferEncoding,
        &[
            b"Transfer-Encoding:",
            b"Transfer-Encoding: ",
            b"Transfer-Encoding: identity",
            b"Transfer-Encoding: gzip",
            b"Transfer-Encoding: xchunked",
            b"Transfer-Encoding: chunkedx",
            b"Transfer-Encoding: x chunked",
            b"Transfer-Encoding: chunked x",
            b"Transfer-Encoding: chunke",
            b"Transfer-Encoding: \"chunked\"",
            b"Transfer-Encoding: 'chunked'",
            b"Transfer-Encoding: [chunked]",
            b"Transfer-Encoding: chunked;",
            b"Transfer-Encoding: chunked;q=1",
            b"Transfer-Encoding: chunked; x=y",
            b"Transfer-Encoding: ;chunked",
            b"Transfer-Encoding: chunked,",
            b"Transfer-Encoding: ,chunked",
            b"Transfer-Encoding: , chunked",
            b"Transfer-Encoding: ,",
            b"Transfer-Encoding: chunked, chunked",
            b"Transfer-Encoding: chunked,chunked",
            b"Transfer-Encoding: chunked, identity",
            b"Transfer-Encoding: chunked, gzip",
            b"Transfer-Encoding: chunked, gzip, chunked",
            b"Transfer-Encoding: gzip, chunked, x",
            b"Transfer-Encoding: chunked chunked",
            b"Transfer-Encoding: c hunked",
            b"Transfer-Encoding: chun\tked",
            b"Transfer-Encoding: : chunked",
            b"Transfer-Encoding: chunked:",
            b"Transfer-Encoding: =chunked",
            b"Transfer-Encoding:: chunked",
            b"Transfer-Encoding: \xa0chunked",
            b"Transfer-Encoding: chunked\xa0",
            b"Transfer-Encoding: chunked\xad",
            b"Transfer-Encoding: chun\xe2\x84\xaaed",
            b"Transfer-Encoding: \xef\xbb\xbfchunked",
            b"Transfer-Encoding: %63hunked",
            b"Transfer-Encoding: =?utf-8?q?chunked?=",
            b"Transfer-Encoding: 5",
            b"Transfer-Encoding: true",
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
            b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
            b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
            b"Transfer-Encoding: chunked\r\nTransfer-encoding: cow",
            b"Transfer-Encoding: chunked\r\nX: y\r\nTransfer-Encoding:",
            b"Transfer-Encoding:\r\nTransfer-Encoding: chunked",
        ],
    );
    // 6.1: "A server that receives a request message with a transfer coding it does not understand
    // SHOULD respond with 501 (Not Implemented)."
    lines_refused(
        Malformed::UnknownTransferCoding,
        &[
            b"Transfer-Encoding: gzip, chunked",
            b"Transfer-Encoding: deflate,chunked",
            b"Transfer-Encoding: identity, chunked",
            b"Transfer-Encoding: x, CHUNKED",
            b"Transfer-Encoding: \"chunked\", chunked",
        ],
    );
    // 7: "All transfer-coding names are case-insensitive".
    lines_carried(&[
        (b"Transfer-Encoding: chunked", "Transfer-Encoding: chunked\r\n"),
        (b"Transfer-Encoding:chunked", "Transfer-Encoding: chunked\r\n"),
        (b"transfer-encoding: CHUNKED", "Transfer-Encoding: chunked\r\n"),
        (b"tRANSFER-eNCODING: cHuNkEd", "Transfer-Encoding: chunked\r\n"),
        (b"Transfer-Encoding:\t chunked \t", "Transfer-Encoding: chunked\r\n"),
        (b"Transfer-Encoding: chunked\r\nX: y", "X: y\r\nTransfer-Encoding: chunked\r\n"),
    ]);
}

#[test]
fn http_1_0_has_no_transfer_coding() {
    // 6.1: "A server or client that receives an HTTP/1.0 message containing a Transfer-Encoding
    // header field MUST treat the message as if the framing is faulty, even if a Content-Length is
    // present".
    refused(
        Malformed::TransferEncodingIn10,
        &[
            b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"POST / HTTP/1.0\r\nTransfer-Encoding: identity\r\n\r\n",
            b"POST / HTTP/1.0\r\nTransfer-Encoding:\r\n\r\n",
        ],
    );
    refused(
        Malformed::TwoLengths,
        &[b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"],
    );
}

#[test]
fn bodies_of_any_method_are_carried_but_of_trace() {
    // RFC 9110, 9.3.8: "A client MUST NOT send content in a TRACE request."
    refused(
        Malformed::UnexpectedBody,
        &[
            b"TRACE / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
            b"TRACE / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            b"TRACE / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        ],
    );
    // CL.0 and TE.0: a service that ignores bodies of these methods would take them for requests.
    // Ours says what follows, and sends it; what it did not read closes the connection.
    for method in ["GET", "HEAD", "DELETE", "OPTIONS", "POST", "X"] {
        for framing in ["Content-Length: 5", "Transfer-Encoding: chunked"] {
            let head = format!("{method} / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n");
            carried(&[(head.as_bytes(), &head)]);
        }
    }
}
