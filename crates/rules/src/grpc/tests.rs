//! gRPC as text.

use std::time::Duration;

use expect_test::expect;
use wire::h1::Malformed;
use wire::{Fields, ResponseHead};

use super::{
    Base64Decoder, Call, Kind, NotBase64, NotTimeout, Status, encode_base64, encode_message, kind,
    pass_deadline_on, read_timeout, receive, status_of_foreign, trailers_frame, write_timeout,
};
use crate::Fault;
use crate::harness::{cx, head};

#[test]
fn the_content_type_says_what_it_is() {
    for (text, expected) in [
        ("application/grpc", Some((Kind::Native, ""))),
        ("Application/GRPC+proto", Some((Kind::Native, "+proto"))),
        ("application/grpc;charset=utf-8", Some((Kind::Native, ""))),
        ("application/grpc+json ; a=b", Some((Kind::Native, "+json"))),
        ("application/grpc-web", Some((Kind::Web, ""))),
        ("application/grpc-web+proto", Some((Kind::Web, "+proto"))),
        ("application/grpc-web-text", Some((Kind::WebText, ""))),
        ("application/grpc-web-text+proto;x", Some((Kind::WebText, "+proto"))),
        ("application/grpcx", None),
        ("application/grpc-webs", None),
        ("application/grpc+a b", None),
        ("application/grp", None),
        ("application/json", None),
        ("", None),
    ] {
        assert_eq!(kind(text.as_bytes()), expected, "{text}");
    }
}

#[test]
fn timeouts_are_read_strictly() {
    for (text, nanoseconds) in [
        ("1n", Some(1)),
        ("20u", Some(20_000)),
        ("300m", Some(300_000_000)),
        ("4S", Some(4_000_000_000)),
        ("5M", Some(300_000_000_000)),
        ("6H", Some(21_600_000_000_000)),
        ("0S", Some(0)),
        ("00000001S", Some(1_000_000_000)),
        ("99999999H", Some(u64::MAX)),
        ("", None),
        ("S", None),
        ("1", None),
        ("1s", None),
        ("-1S", None),
        ("+1S", None),
        (" 1S", None),
        ("1.5S", None),
        ("123456789n", None),
        ("1SS", None),
    ] {
        let expected = nanoseconds.map(Duration::from_nanos).ok_or(NotTimeout);
        assert_eq!(read_timeout(text.as_bytes()), expected, "{text}");
    }
}

#[test]
fn a_time_is_written_as_finely_as_there_is_room_and_never_longer() {
    for (nanoseconds, expected) in [
        (1, "1n"),
        (99_999_999, "99999999n"),
        (100_000_000, "100000u"),
        (1_234_567_891, "1234567u"),
        (99_999_999_999, "99999999u"),
        (100_000_000_000, "100000m"),
        (86_400_000_000_000, "86400000m"),
        (100_000_000_000_000, "100000S"),
        (u64::MAX, "5124095H"),
    ] {
        let mut text = Vec::new();
        write_timeout(Duration::from_nanos(nanoseconds), &mut text).expect("there is time");
        let read = read_timeout(&text).expect("it reads back").as_nanos();
        assert!(read <= u128::from(nanoseconds), "{nanoseconds}");
        if nanoseconds < u64::MAX {
            assert_eq!(String::from_utf8_lossy(&text), expected, "{nanoseconds}");
        }
    }
    assert_eq!(write_timeout(Duration::ZERO, &mut Vec::new()), None);
}

#[test]
fn calls_are_told_from_other_requests() {
    let receive = |line: &str| {
        let mut cx = cx();
        let received = receive(&head(line), &mut cx);
        (received, cx.grpc.map(|call| *call))
    };
    let call = |kind, timeout| Call {
        kind,
        format: "+proto".into(),
        timeout,
        translated: false,
        status: None,
        broken: None,
    };
    let (received, found) =
        receive("POST h /s/m content-type: application/grpc+proto; grpc-timeout: 2S");
    assert_eq!((received, found), (Ok(()), Some(call(Kind::Native, Some(Duration::from_secs(2))))));
    let (received, found) = receive("POST h /s/m content-type: application/grpc-web+proto");
    assert_eq!((received, found), (Ok(()), Some(call(Kind::Web, None))));
    let (received, found) = receive("POST h /s/m content-type: text/plain; grpc-timeout: never");
    assert_eq!((received, found), (Ok(()), None));
    for fields in ["grpc-timeout: 1s", "grpc-timeout: 1S; grpc-timeout: 2S"] {
        let (received, found) =
            receive(&format!("POST h /s/m content-type: application/grpc+proto; {fields}"));
        // The client can still be told in its own words.
        assert_eq!(received, Err(Fault::DeadlineMalformed));
        assert_eq!(found, Some(call(Kind::Native, None)));
    }
}

#[test]
fn what_is_left_of_the_time_is_passed_on() {
    let mut head = head("POST h /s/m content-type: application/grpc; grpc-timeout: 2S");
    let timeout = Some(Duration::from_secs(2));
    let mut call = Call {
        kind: Kind::Native,
        format: "".into(),
        timeout,
        translated: false,
        status: None,
        broken: None,
    };
    assert_eq!(pass_deadline_on(&call, Duration::from_millis(500), &mut head), Ok(()));
    assert_eq!(head.fields.get_named("grpc-timeout"), Some(&b"1500000u"[..]));
    let over = pass_deadline_on(&call, Duration::from_secs(2), &mut head);
    assert_eq!(over, Err(Fault::DeadlineExceeded));
    call.timeout = None;
    assert_eq!(pass_deadline_on(&call, Duration::from_secs(2), &mut head), Ok(()));
}

#[test]
fn messages_survive_the_head() {
    for (message, expected) in [
        ("plain words, (all) ~fine", "plain words, (all) ~fine"),
        ("100% of\nit", "100%25 of%0Ait"),
        ("Grüße 🚪\u{7f}", "Gr%C3%BC%C3%9Fe %F0%9F%9A%AA%7F"),
        ("", ""),
    ] {
        assert_eq!(encode_message(message), expected);
    }
}

#[test]
fn a_call_ends_as_whoever_said_so_last() {
    let mut call = Call {
        kind: Kind::Native,
        format: "".into(),
        timeout: None,
        translated: false,
        status: None,
        broken: None,
    };
    assert_eq!(call.ended(503, None), Status::Unavailable);
    let mut fields = Fields::default();
    call.note_status(&fields);
    assert_eq!(call.status, None);
    fields.push("grpc-status", b"9");
    call.note_status(&fields);
    assert_eq!(call.ended(200, None), Status::FailedPrecondition);
    assert_eq!(call.ended(200, Some(Fault::UpstreamTruncated)), Status::Unavailable);
    call.broken = Some(Status::of_reset(8));
    assert_eq!(call.ended(200, Some(Fault::UpstreamTruncated)), Status::Cancelled);
    for (at, status) in Status::ALL.into_iter().enumerate() {
        assert_eq!((status as usize, Status::read(at.to_string().as_bytes())), (at, status));
    }
    for odd in [&b"17"[..], b"-1", b"", b"OK", b"\xff"] {
        assert_eq!(Status::read(odd), Status::Unknown);
    }
}

#[test]
fn faults_have_statuses() {
    let mut out = String::new();
    for fault in crate::fault::tests::ALL {
        out += &format!("{:<22} {:?}\n", fault.slug(), Status::of_fault(fault));
    }
    expect![[r#"
        malformed              Internal
        body-malformed         Internal
        head-timeout           DeadlineExceeded
        body-too-large         ResourceExhausted
        body-idle              DeadlineExceeded
        body-too-slow          DeadlineExceeded
        client-gone            Cancelled
        client-stalled         Cancelled
        hello-malformed        Internal
        unrecognized-name      Unknown
        connection-idle        Unavailable
        deadline-malformed     Internal
        deadline-exceeded      DeadlineExceeded
        total-timeout          DeadlineExceeded
        connect                Unimplemented
        loop                   Internal
        too-early              Unavailable
        no-route               Unimplemented
        method-not-allowed     Unimplemented
        client-certificate-required PermissionDenied
        client-not-allowed     PermissionDenied
        misdirected            Unknown
        client-certificate-withdrawn PermissionDenied
        injected               Unavailable
        injected-reset         Unavailable
        file-not-found         Unimplemented
        only-if-cached         Unavailable
        file-unreadable        Internal
        too-many-connections   Unavailable
        draining               Unavailable
        overloaded             Unavailable
        no-endpoint            Unavailable
        starting               Unavailable
        upstream-busy          Unavailable
        upstream-overloaded    Unavailable
        breaker-open           Unavailable
        upstream-connections   Unavailable
        sockets-exhausted      Unavailable
        dns-failed             Unavailable
        dns-timeout            Unavailable
        connect-refused        Unavailable
        connect-timeout        Unavailable
        unreachable            Unavailable
        connect-failed         Unavailable
        certificate-unknown-authority Unavailable
        certificate-expired    Unavailable
        certificate-not-yet-valid Unavailable
        certificate-wrong-name Unavailable
        certificate-pin        Unavailable
        certificate-invalid    Unavailable
        tls-client-certificate Unavailable
        tls-refused            Unavailable
        tls-protocol           Unavailable
        tls-failed             Unavailable
        send-timeout           DeadlineExceeded
        send-failed            Unavailable
        first-byte-timeout     DeadlineExceeded
        upstream-closed        Unavailable
        stream-refused         Unavailable
        upstream-malformed     Internal
        upgrade-failed         Internal
        between-bytes-timeout  DeadlineExceeded
        upstream-truncated     Unavailable
        bug                    Internal
    "#]]
    .assert_eq(&out);
}

#[test]
fn a_fault_is_trailers_and_nothing_else() {
    let call = Call {
        kind: Kind::WebText,
        format: "+proto".into(),
        timeout: None,
        translated: true,
        status: None,
        broken: None,
    };
    let reply = call.reply(Fault::ConnectRefused, "id-1");
    assert_eq!((reply.status, reply.body.len()), (200, 0));
    let fields: Vec<String> = reply
        .fields
        .iter()
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value)))
        .collect();
    assert_eq!(
        fields,
        [
            "content-type: application/grpc-web-text+proto",
            "grpc-status: 14",
            "grpc-message: The service could not be reached (request id-1)",
            "proxy-status: doorward; error=connection_refused",
        ]
    );
    let trailers = call.trailers(Fault::Malformed(Malformed::Host), "");
    assert_eq!(trailers.get_named("grpc-status"), Some(&b"13"[..]));
    assert_eq!(trailers.len(), 2);
}

#[test]
fn what_is_no_grpc_has_a_status_all_the_same() {
    let of = |status, fields: &[(&str, &str)]| {
        let mut head = ResponseHead::new(status);
        for (name, value) in fields {
            head.fields.push(name, value.as_bytes());
        }
        status_of_foreign(&head)
    };
    let (grpc, html) = (("content-type", "application/grpc"), ("content-type", "text/html"));
    assert_eq!(of(200, &[grpc]), None);
    assert_eq!(of(200, &[html, ("grpc-status", "5")]), None);
    assert_eq!(of(200, &[html]), Some(Status::Unknown));
    assert_eq!(of(503, &[grpc]), Some(Status::Unavailable));
    for (status, expected) in [
        (400, Status::Internal),
        (401, Status::Unauthenticated),
        (403, Status::PermissionDenied),
        (404, Status::Unimplemented),
        (418, Status::Unknown),
        (429, Status::Unavailable),
        (500, Status::Unknown),
        (502, Status::Unavailable),
        (504, Status::Unavailable),
    ] {
        assert_eq!(of(status, &[html]), Some(expected), "{status}");
    }
}

#[test]
fn base64_comes_in_any_pieces() {
    let bytes: Vec<u8> = (0..=255).cycle().take(1000).collect();
    for length in [0, 1, 2, 3, 4, 5, 254, 255, 256, 1000] {
        let mut text = Vec::new();
        encode_base64(&bytes[..length], &mut text);
        for split in 0..=text.len() {
            let (mut decoder, mut out) = (Base64Decoder::default(), Vec::new());
            decoder.decode(&text[..split], &mut out).expect("base64");
            assert_eq!(decoder.end().is_ok(), split % 4 == 0, "{length} at {split}");
            decoder.decode(&text[split..], &mut out).expect("base64");
            assert_eq!((decoder.end(), &out[..]), (Ok(()), &bytes[..length]));
        }
    }
    // As RFC 4648, 10 has it.
    let mut text = Vec::new();
    encode_base64(b"foob", &mut text);
    assert_eq!(text, b"Zm9vYg==");
}

#[test]
fn base64_is_read_strictly_and_may_be_padded_in_the_middle() {
    let decode = |text: &str| {
        let (mut decoder, mut out) = (Base64Decoder::default(), Vec::new());
        decoder.decode(text.as_bytes(), &mut out)?;
        decoder.end()?;
        Ok(String::from_utf8_lossy(&out).into_owned())
    };
    assert_eq!(decode("Zg==Zm8=Zm9v"), Ok("ffofoo".to_owned()));
    for wrong in ["Zg", "Zg=", "Zg=v", "=Zg=", "Z===", "Zm9v\n", "Zm-_", "Zh==", "Zm9=", "Zg==="] {
        assert_eq!(decode(wrong), Err(NotBase64), "{wrong}");
    }
}

#[test]
fn trailers_become_the_last_message() {
    let mut trailers = Fields::default();
    trailers.push("Grpc-Status", b"0");
    trailers.push("x-bin", b"AAE=");
    let lines = b"grpc-status: 0\r\nx-bin: AAE=\r\n";
    let expected = [&[0x80, 0, 0, 0, lines.len() as u8], &lines[..]].concat();
    assert_eq!(trailers_frame(&trailers), expected);
    assert_eq!(trailers_frame(&Fields::default()), [0x80, 0, 0, 0, 0]);
}
