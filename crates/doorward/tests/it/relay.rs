//! Requests and responses pass the door as they should.

use crate::door::{Door, Upstream};

#[test]
fn a_request_passes_and_its_answer_comes_back() {
    let upstream = Upstream::new();
    let door = Door::start(&format!(
        "[service.it]\nendpoints = [\"{}\"]\n[[route]]\npath = \"/*\"\nservice = \"it\"\n",
        upstream.address()
    ));
    let mut client = door.connect();
    client.send("GET /here?q=1 HTTP/1.1\r\nHost: example.com\r\n\r\n");
    let mut service = upstream.accept();
    let request = service.read_request();
    assert!(
        request.starts_with("GET /here?q=1 HTTP/1.1\r\n"),
        "{request}"
    );
    service.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let response = client.read_response();
    assert!(response.ends_with("\r\n\r\nhello"), "{response}");
}
