//! Certificates of clients.

use std::process::Command;

use rcgen::SanType;

use super::authority::{Authority, Signed};
use crate::door::{Door, Folder};
use crate::quic::{Quic, SETTINGS, frame, request};
use crate::tls::client::{Encrypted, Made, Wants};
use crate::wire::{Service, field};

/// A door for HTTPS that asks for certificates of `clients`.
struct Setting {
    door: Door,
    made: Made,
    clients: Authority,
    service: Service,
}

/// What a door is told: `asked` besides the authority, and the keys of its route.
fn tables(made: &Made, asked: &str, route: &str, service: &Service) -> String {
    format!(
        "[listen]\nhttp = \"127.0.0.1:0\"\n\
         https = {{ address = \"127.0.0.1:0\", client-certificate = {{ roots = \"clients.pem\"{asked} }} }}\n\
         [tls]\ncertificates = [{}]\n[log]\naccess = \"json\"\n\
         [[route]]\npath = \"/*\"\nservice = \"it\"\n{route}\n\
         [service.it]\nendpoints = [\"{}\"]\n",
        made.written(),
        service.address()
    )
}

impl Setting {
    fn new(asked: &str, route: &str) -> Self {
        Self::with(asked, route, |_, _| {})
    }

    fn with(asked: &str, route: &str, prepare: impl FnOnce(&Folder, &Authority)) -> Self {
        let folder = Folder::new();
        let made = Made::new(&folder, "own", &["localhost"]);
        let clients = Authority::new("clients");
        clients.write(&folder, "clients.pem");
        prepare(&folder, &clients);
        let service = Service::new(|request| {
            let public = if request.starts_with("GET /public ") { ", public" } else { "" };
            format!(
                "HTTP/1.1 200 OK\r\nCache-Control: max-age=60{public}\r\nContent-Length: 5\r\n\r\nhello"
            )
        });
        let config = tables(&made, asked, route, &service);
        Self { door: Door::start_in(folder, &config), made, clients, service }
    }

    /// A client that shows `signed`, or nothing.
    fn client(&self, signed: Option<&Signed>) -> Wants {
        let wants = Wants::trusting(&[&self.made]);
        match signed {
            None => wants,
            Some(signed) => {
                wants.change(|config| config.client_auth_cert_resolver = signed.shown())
            }
        }
    }

    fn connect(&self, signed: Option<&Signed>) -> Encrypted {
        self.client(signed).connect(self.door.https[0]).expect("TLS")
    }

    /// Whether the client gets an answer.
    fn takes(&self, signed: &Signed) -> bool {
        let connected = self.client(Some(signed)).connect(self.door.https[0]);
        connected.is_ok_and(|mut client| {
            client.send("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
            client.read_to_end().is_ok_and(|answer| answer.ends_with("hello"))
        })
    }

    #[track_caller]
    fn refuses(&self, signed: Option<&Signed>, alert: &str, reason: &str) {
        let refusal = self.client(signed).refusal(self.door.https[0]);
        assert!(refusal.contains(alert), "{refusal}");
        let metrics = self.door.admin("GET", "/metrics");
        let failures = format!("doorward_tls_handshake_failures_total{{reason=\"{reason}\"}} ");
        assert!(metrics.contains(&failures), "{reason}: {metrics}");
    }
}

fn web() -> [SanType; 2] {
    let uri = "spiffe://example.org/ns/prod/web".try_into().expect("a name");
    [SanType::URI(uri), SanType::DnsName("web.test".try_into().expect("a name"))]
}

#[test]
fn services_are_told_who_a_client_is_and_clients_tell_nothing() {
    let setting = Setting::new("", "request-headers = { set = { x-who = \"{client.identity}\" } }");
    let signed = setting.clients.client(7, "web", &web());
    let mut client = setting.connect(Some(&signed));
    client.send(
        "GET / HTTP/1.1\r\nHost: localhost\r\nClient-Cert: :AAAA:\r\nclient_cert: :AAAA:\r\n\
         X-Client-Identity: cn:root\r\nClient-Cert-Chain: :AAAA:\r\n\r\n",
    );
    assert!(client.read_response().ends_with("hello"));
    let received = &setting.service.wait_received(1)[0];
    let told: Vec<&str> = received
        .lines()
        .filter(|line| {
            let line = line.to_ascii_lowercase();
            line.starts_with("client") || line.starts_with("x-client") || line.starts_with("x-who")
        })
        .collect();
    let [who, name, certificate] = &told[..] else { panic!("{told:?}") };
    assert_eq!(*who, "x-who: spiffe://example.org/ns/prod/web");
    assert_eq!(*name, "X-Client-Identity: spiffe://example.org/ns/prod/web");
    use base64::Engine;
    let text = base64::prelude::BASE64_STANDARD.encode(&signed.chain[0]);
    assert_eq!(*certificate, format!("Client-Cert: :{text}:"));
    setting.door.stdout.wait_for("\"client-identity\":\"spiffe://example.org/ns/prod/web\"");
    // Nobody is who they say they are without TLS.
    let answer =
        setting.door.ask("GET / HTTP/1.1\r\nHost: a\r\nX-Client-Identity: cn:root\r\n\r\n");
    assert!(answer.ends_with("hello"));
    let received = &setting.service.wait_received(1)[0];
    assert_eq!(field(received, "x-client-identity"), None);
}

#[test]
fn who_has_to_show_a_certificate_is_refused_without_a_good_one() {
    let setting = Setting::new("", "");
    let good = setting.clients.client(1, "good", &[]);
    assert!(setting.connect(Some(&good)).get("/").ends_with("hello"));
    setting.refuses(None, "CertificateRequired", "client-certificate-missing");
    let foreign = Authority::new("clients").client(1, "foreign", &[]);
    // The name of its authority is right, its signature is not.
    setting.refuses(Some(&foreign), "DecryptError", "client-certificate-invalid");
    let other = Authority::new("others").client(1, "other", &[]);
    setting.refuses(Some(&other), "UnknownCA", "client-certificate-unknown-authority");
    let old = setting.clients.sign_with(&["old.test"], |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    setting.refuses(Some(&old), "CertificateExpired", "client-certificate-expired");
    let server = setting.clients.sign_with(&["server.test"], |params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    });
    setting.refuses(Some(&server), "UnsupportedCertificate", "client-certificate-invalid");
    setting.door.stderr.wait_for("it has shown no certificate");
}

#[test]
fn routes_decide_where_listeners_only_ask() {
    let route = "[[route]]\npath = \"/any\"\nservice = \"it\"\nclient-certificate = \"required\"\n\
                 [[route]]\npath = \"/prod\"\nservice = \"it\"\n\
                 client-certificate = [\"spiffe://example.org/ns/prod/*\", \"cn:backup\"]\n";
    let setting = Setting::new(", required = false", route);
    let web = setting.clients.client(1, "web", &web());
    let backup = setting.clients.client(2, "backup", &[]);
    let test = setting.clients.client(3, "test", &[]);
    for (client, any, prod) in [
        (None, 403, 403),
        (Some(&web), 200, 200),
        (Some(&backup), 200, 200),
        (Some(&test), 200, 403),
    ] {
        let mut connection = setting.connect(client);
        for (path, status) in [("/", 200), ("/any", any), ("/prod", prod), ("/", 200)] {
            let answer = connection.get(path);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
        }
    }
    let answer = setting.connect(None).get("/any");
    assert!(answer.contains("urn:doorward:fault:client-certificate-required\""), "{answer}");
    let answer = setting.connect(Some(&test)).get("/prod");
    assert!(answer.contains("urn:doorward:fault:client-not-allowed\""), "{answer}");
    // On a connection to another host another certificate, or one, might be shown.
    let mut misdirected = setting.connect(None);
    misdirected.send("GET /any HTTP/1.1\r\nHost: other.test\r\n\r\n");
    assert!(misdirected.read_response().starts_with("HTTP/1.1 421 "));
    // Whoever comes without TLS has shown nothing.
    let answer = setting.door.ask("GET /any HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    // A wrong certificate is none that may be left out.
    let other = Authority::new("others").client(1, "other", &[]);
    setting.refuses(Some(&other), "UnknownCA", "client-certificate-unknown-authority");
}

#[test]
fn sessions_are_not_resumed_past_a_look_at_the_certificate() {
    let setting = Setting::new("", "");
    let good = setting.clients.client(1, "good", &[]);
    let wants = setting.client(Some(&good));
    for _ in 0..2 {
        let mut client = wants.connect(setting.door.https[0]).expect("TLS");
        client.get("/");
        let kind = client.stream.conn.handshake_kind();
        assert_eq!(kind, Some(rustls::HandshakeKind::Full));
    }
}

#[test]
fn the_chain_is_told_where_that_is_asked_for() {
    let setting = Setting::new(", forward = \"chain\"", "");
    let between = setting.clients.below("between");
    let signed = between.client(1, "web", &[]).through(&between);
    assert!(setting.connect(Some(&signed)).get("/").ends_with("hello"));
    let received = &setting.service.wait_received(1)[0];
    assert_eq!(field(received, "x-client-identity"), Some("cn:web"));
    use base64::Engine;
    let text = base64::prelude::BASE64_STANDARD.encode(&signed.chain[1]);
    assert_eq!(field(received, "client-cert-chain"), Some(&*format!(":{text}:")));
    let setting = Setting::new(", forward = \"identity\"", "");
    let signed = setting.clients.client(1, "web", &[]);
    assert!(setting.connect(Some(&signed)).get("/").ends_with("hello"));
    let received = &setting.service.wait_received(1)[0];
    assert_eq!(field(received, "x-client-identity"), Some("cn:web"));
    assert_eq!(field(received, "client-cert"), None);
}

#[test]
fn who_is_revoked_is_refused_also_on_a_connection_that_stands() {
    let setting = Setting::with(", crls = [\"clients.crl\"]", "", |folder, clients| {
        folder.write("clients.crl", clients.revoke(&[1], 2999).pem().expect("a list"));
    });
    let revoked = setting.clients.client(1, "revoked", &[]);
    let good = setting.clients.client(2, "good", &[]);
    setting.refuses(Some(&revoked), "CertificateRevoked", "client-certificate-revoked");
    let mut connection = setting.connect(Some(&good));
    assert!(connection.get("/").ends_with("hello"));
    // From now on it is, too; the list comes as it is, not in PEM.
    setting.door.folder.write("clients.crl", setting.clients.revoke(&[1, 2], 2999).der());
    setting.door.admin("POST", "/api/reload");
    let answer = connection.get("/");
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(answer.contains("urn:doorward:fault:client-certificate-withdrawn\""), "{answer}");
    setting.refuses(Some(&good), "CertificateRevoked", "client-certificate-revoked");
    // A list that is broken changes nothing.
    setting.door.folder.write("clients.crl", "nonsense");
    let reloaded = setting.door.admin("POST", "/api/reload");
    assert!(reloaded.contains("clients.crl: no revocation list"), "{reloaded}");
    setting.refuses(Some(&good), "CertificateRevoked", "client-certificate-revoked");
    let third = setting.clients.client(3, "third", &[]);
    assert!(setting.connect(Some(&third)).get("/").ends_with("hello"));
}

#[test]
fn a_list_that_has_expired_lets_nobody_in() {
    let setting = Setting::with(", crls = [\"clients.crl\"]", "", |folder, clients| {
        folder.write("clients.crl", clients.revoke(&[1], 2021).pem().expect("a list"));
    });
    let good = setting.clients.client(2, "good", &[]);
    setting.refuses(Some(&good), "UnknownCA", "revocation-unknown");
}

#[test]
fn an_authority_without_a_list_beside_one_that_has_it_is_refused() {
    let setting = Setting::with(", crls = [\"clients.crl\"]", "", |folder, clients| {
        folder.write("clients.crl", clients.revoke(&[1], 2999).pem().expect("a list"));
    });
    let between = setting.clients.below("between");
    let signed = between.client(2, "web", &[]).through(&between);
    setting.refuses(Some(&signed), "UnknownCA", "revocation-unknown");
}

#[test]
fn curl_shows_a_certificate_by_each_version_of_http() {
    let setting = Setting::new(", required = false", "client-certificate = [\"dns:*.test\"]");
    let folder = &setting.door.folder;
    let right = setting.clients.client(1, "web", &web());
    right.write(folder, "right");
    setting.clients.client(2, "other", &[]).write(folder, "other");
    let port = setting.door.https[0].port();
    for version in ["--http1.1", "--http2"] {
        for (certificate, status) in [(Some("right"), "200"), (Some("other"), "403"), (None, "403")]
        {
            let mut curl = Command::new("curl");
            curl.current_dir(folder.path());
            curl.args(["-sS", "-o", "out", "-w", "%{http_code}", version]);
            curl.args(["--cacert", "own.pem", "--resolve", &format!("localhost:{port}:127.0.0.1")]);
            if let Some(name) = certificate {
                curl.args(["--cert", &format!("{name}.pem"), "--key", &format!("{name}.key")]);
            }
            let output = curl.arg(format!("https://localhost:{port}/")).output().expect("curl");
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert_eq!(said, status, "{version} {certificate:?}: {output:?}");
        }
    }
}

#[test]
fn lists_and_authorities_that_are_written_anew_hold_by_themselves() {
    let setting = Setting::with(", crls = [\"clients.crl\"]", "", |folder, clients| {
        folder.write("clients.crl", clients.revoke(&[1], 2999).pem().expect("a list"));
    });
    let good = setting.clients.client(2, "good", &[]);
    let mut connection = setting.connect(Some(&good));
    assert!(connection.get("/").ends_with("hello"));
    let folder = &setting.door.folder;
    folder.write("clients.crl", "nonsense");
    setting.door.stderr.wait_for("clients.crl: no revocation list");
    assert!(connection.get("/").ends_with("hello"), "what was read before stays in use");
    folder.write("clients.crl", setting.clients.revoke(&[1, 2], 2999).der());
    setting.door.stderr.wait_for("were read again");
    assert!(connection.get("/").starts_with("HTTP/1.1 403 "));
    let others = Authority::new("others");
    folder.write("clients.crl", others.revoke(&[], 2999).der());
    others.write(folder, "clients.pem");
    let other = others.client(1, "other", &[]);
    let until = std::time::Instant::now() + crate::door::LIMIT;
    while !setting.takes(&other) {
        assert!(std::time::Instant::now() < until, "the new authority is never taken");
    }
}

#[test]
fn explain_takes_a_client_by_the_name_of_its_certificate() {
    let setting = Setting::new("", "client-certificate = \"spiffe://example.org/*\"");
    let config = setting.door.folder.path().join("doorward.toml");
    let config = config.to_str().expect("text");
    for (identity, outcome) in [
        (Some("spiffe://example.org/web"), "forward to `it`"),
        (Some("cn:web"), "answer 403: The client certificate is not allowed here"),
        (None, "answer 403: A client certificate is required here"),
    ] {
        let mut arguments = vec!["explain", "GET", "https://localhost/", "--config", config];
        arguments.extend(identity.iter().flat_map(|name| ["--client-identity", name]));
        let output = Door::command(&setting.door.folder, &arguments).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains(outcome), "{identity:?}: {said} {output:?}");
    }
}

#[test]
fn http3_asks_for_the_same_certificates() {
    let control = [&[0], &frame(SETTINGS, &[])[..]].concat();
    let setting = Setting::new(", required = false", "client-certificate = \"cn:web\"");
    let (web, other) = (setting.clients.client(1, "web", &[]), setting.clients.client(2, "b", &[]));
    for (signed, status) in [(Some(&web), 200), (Some(&other), 403), (None, 403)] {
        let client = Quic::connect_as(setting.door.https[0], setting.client(signed), &control);
        assert_eq!(client.ask(&request("GET", "/", &[]), b"").status, status);
    }
    let received = &setting.service.wait_received(1)[0];
    assert_eq!(field(received, "x-client-identity"), Some("cn:web"));
    let setting = Setting::new("", "");
    let good = setting.clients.client(1, "good", &[]);
    let client = Quic::connect_as(setting.door.https[0], setting.client(Some(&good)), &control);
    assert_eq!(client.ask(&request("GET", "/", &[]), b"").status, 200);
    let refused = Quic::connect_as(setting.door.https[0], setting.client(None), &control);
    let why = refused.wait(refused.connection.closed()).to_string();
    assert!(why.contains("116"), "the alert is certificate_required: {why}");
}

#[test]
fn what_is_cached_is_each_clients_own_unless_it_is_public() {
    let setting = Setting::new(", required = false", "cache = {}");
    let [ada, bob] = ["ada", "bob"].map(|name| setting.clients.client(1, name, &[]));
    let get = |who: Option<&Signed>, path: &str| {
        let answer = setting.connect(who).get(path);
        answer.contains("Cache-Status: Doorward; hit")
    };
    let _ = setting.service.take_received();
    for (path, shared) in [("/private", false), ("/public", true)] {
        assert!(!get(Some(&ada), path) && get(Some(&ada), path), "{path}");
        assert_eq!(get(Some(&bob), path), shared, "{path}");
        assert_eq!(get(None, path), shared, "{path}");
        assert!(get(Some(&ada), path) && get(Some(&bob), path) && get(None, path), "{path}");
    }
    // What nobody in particular was told is not for those who say who they are.
    assert!(!get(None, "/later") && get(None, "/later") && !get(Some(&ada), "/later"));
}
