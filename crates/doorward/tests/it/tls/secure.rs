//! The way to HTTPS, and what is said on it.

use super::client::{Made, Wants, tables};
use super::{route, secure_door};
use crate::door::{Door, Folder};
use crate::frames::Frames;
use crate::wire::{Service, Wire};

fn secure(path: &str) -> http::Request<()> {
    http::Request::get(format!("https://localhost{path}")).body(()).expect("a request")
}

#[test]
fn who_comes_without_tls_is_redirected_and_who_comes_with_it_told_to_stay() {
    let folder = Folder::new();
    let made = Made::new(&folder, "own", &["localhost"]);
    let service = Service::saying("hello");
    let config = format!(
        "{}redirect = 8443\nhsts = {{ max-age = \"1d\" }}\n\
         [forwarding]\ntrust = [\"127.0.0.0/8\"]\n{}",
        tables(&[&made]),
        route(&service)
    );
    let door = Door::start_in(folder, &config);
    let response =
        door.ask("POST /a%20b?c=d HTTP/1.1\r\nHost: a.test:80\r\nContent-Length: 0\r\n\r\n");
    assert!(response.starts_with("HTTP/1.1 308 "), "{response}");
    assert!(response.contains("\r\nlocation: https://a.test:8443/a%20b?c=d\r\n"), "{response}");
    assert!(!response.contains("trict-Transport-Security"), "{response}");
    // Certificate authorities come without, and so may those before whom TLS ended.
    for more in [
        "GET /.well-known/acme-challenge/x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\n\r\n",
    ] {
        let response = door.ask(more);
        assert!(response.ends_with("hello"), "{response}");
        assert_eq!(response.contains("Strict-"), more.contains("https"), "{response}");
    }
    let mut client = Wants::trusting(&[&made]).connect(door.https[0]).expect("TLS");
    let response = client.get("/");
    assert!(response.contains("\r\nStrict-Transport-Security: max-age=86400\r\n"), "{response}");
    let client = Frames::connect_tls(
        door.https[0],
        Wants::trusting(&[&made]).protocols(&["h2"]).into_config(),
    );
    let answer = client.ask(secure("/"), b"");
    assert_eq!(answer.fields["strict-transport-security"], "max-age=86400");
    let explained = std::process::Command::new(env!("CARGO_BIN_EXE_doorward"))
        .args(["explain", "GET", "http://a.test/", "--config", "doorward.toml"])
        .current_dir(door.folder.path())
        .output()
        .expect("the program is built");
    let explained = String::from_utf8_lossy(&explained.stdout).into_owned();
    assert!(explained.contains("the request came without TLS"), "{explained}");
}

#[test]
fn explain_knows_the_certificate_and_asks_through_tls() {
    let (door, _made, _service) = secure_door();
    let explain = |url: &str, more: &[&str]| {
        let mut arguments = vec!["explain", "GET", url];
        arguments.extend(more);
        let output = Door::command(&door.folder, &arguments).output().expect("it is built");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let explained = explain("https://localhost/", &[]);
    assert!(
        explained.contains("it is for the name") && explained.contains("own.pem"),
        "{explained}"
    );
    let explained = explain("https://other.test:8443/", &[]);
    assert!(explained.contains("none is for the name"), "{explained}");
    let url = format!("https://localhost:{}/", door.https[0].port());
    let admin = door.admin.to_string();
    let explained = explain(&url, &["--live", "--admin", &admin]);
    assert!(explained.contains("the client came through TLS"), "{explained}");
    assert!(explained.contains("answered 200"), "{explained}");
}

#[test]
fn what_came_early_by_way_of_a_proxy_is_to_come_again() {
    let service = Service::saying("hello");
    let trusting = format!("[forwarding]\ntrust = [\"127.0.0.0/8\"]\n{}", route(&service));
    let early = "POST / HTTP/1.1\r\nHost: a\r\nEarly-Data: 1\r\nContent-Length: 0\r\n\r\n";
    let response = Door::start(&trusting).ask(early);
    assert!(response.starts_with("HTTP/1.1 425 "), "{response}");
    // From anybody else it means nothing, and the service may judge.
    let response = Door::start(&route(&service)).ask(early);
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    assert!(service.take_received()[0].contains("Early-Data: 1\r\n"));
}

#[test]
fn http_2_is_what_both_speak_where_the_client_offers_it() {
    let (door, made, service) = secure_door();
    let wants = Wants::trusting(&[&made]).protocols(&["h2", "http/1.1"]);
    let client = Frames::connect_tls(door.https[0], wants.into_config());
    let answer = client.ask(secure("/"), b"");
    assert_eq!((answer.status, answer.text()), (200, "hello"));
    assert!(service.take_received()[0].contains("X-Forwarded-Proto: https\r\n"));
    let line = door.stdout.wait_for("\"version\":\"2\"");
    assert!(line.contains("\"tls\":\"TLSv1.3\",\"cipher\":\"TLS13_AES_128_GCM_SHA256\""), "{line}");
    assert!(line.contains("\"server-name\":\"localhost\""), "{line}");
    let wants = Wants::trusting(&[&made]).protocols(&["http/1.1"]);
    let mut client = wants.connect(door.https[0]).expect("TLS");
    assert!(client.get("/").starts_with("HTTP/1.1 200 "));
}

#[test]
fn tls_may_stand_behind_a_proxy_header() {
    let folder = Folder::new();
    let made = Made::new(&folder, "own", &["localhost"]);
    let service = Service::saying("hello");
    let tables = tables(&[&made]).replace(
        "https = \"127.0.0.1:0\"",
        "https = { address = \"127.0.0.1:0\", proxy-protocol = [\"127.0.0.0/8\"] }",
    );
    let door = Door::start_in(folder, &format!("{tables}{}", route(&service)));
    let mut stream = std::net::TcpStream::connect(door.https[0]).expect("somebody listens");
    let header = b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n";
    std::io::Write::write_all(&mut stream, header).expect("it listens");
    Wants::trusting(&[&made]).over(stream).expect("TLS").get("/");
    let received = service.wait_received(1);
    assert!(received[0].contains("X-Forwarded-For: 192.0.2.7\r\n"), "{received:?}");
    // Without one there is nothing.
    let mut client = Wire::connect(door.https[0]);
    client.send(b"\x16\x03\x01");
    client.end();
    client.read_to_end();
}
