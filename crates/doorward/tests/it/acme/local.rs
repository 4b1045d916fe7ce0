//! The authority of a developer: what clients that trust its root believe, and what they do not.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::door::{Door, Folder};
use crate::tls::client::{Made, Wants};

/// A door of a developer whose data is in `folder`.
fn dev(folder: Folder, config: &str) -> Door {
    let mut command = Door::command(&folder, &["dev", "doorward.toml"]);
    command.env("XDG_DATA_HOME", folder.path().join("data"));
    Door::start_as(command, folder, config)
}

/// What `doorward trust` does for whoever has `folder` as home and for data.
fn trust(folder: &Folder, arguments: &[&str]) -> Output {
    let mut command = Door::command(folder, &["trust"]);
    command.args(arguments).env("XDG_DATA_HOME", folder.path().join("data"));
    command.env("HOME", folder.path()).output().expect("the program is built")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A client that trusts the root of whoever has `folder`.
fn client(folder: &Folder, name: &str) -> Wants {
    let printed = trust(folder, &["--print"]);
    let root = CertificateDer::from_pem_slice(&printed.stdout).expect("a certificate");
    Wants::trusting(&[&Made { der: root, cert: String::new(), key: String::new() }]).name(name)
}

const LISTEN: &str = "[listen]\nhttp = \"127.0.0.1:0\"\nhttps = \"127.0.0.1:0\"\n";

fn route(host: &str) -> String {
    format!(
        "[[route]]\nhost = \"{host}\"\npath = \"/*\"\nrespond = {{ status = 200, body = \"here\" }}\n"
    )
}

#[test]
fn names_of_this_machine_and_of_routes_are_believed() {
    let config = format!("{LISTEN}{}{}", route("*.shop.test"), route("www.bank.com"));
    let door = dev(Folder::new(), &config);
    for name in ["localhost", "app.localhost", "127.0.0.1", "www.shop.test"] {
        let connected = client(&door.folder, name).connect(door.https[0]);
        connected.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let mut connected =
        client(&door.folder, "www.shop.test").connect(door.https[0]).expect("it is trusted");
    connected.send("GET / HTTP/1.1\r\nHost: www.shop.test\r\n\r\n");
    assert!(connected.read_response().ends_with("here"));
    // It is made for a name that is on the internet, and is believed by nobody.
    let refused = client(&door.folder, "www.bank.com").refusal(door.https[0]);
    assert!(refused.contains("NameConstraintViolation"), "{refused}");
    door.stderr.wait_for("clients will not believe its certificate for www.bank.com");
    let refused = client(&door.folder, "other.test").refusal(door.https[0]);
    assert!(refused.contains("not valid for name"), "{refused}");

    // It follows the configuration.
    door.rewrite(&format!("{config}{}", route("other.test")));
    door.signal(rustix::process::Signal::HUP);
    door.stderr.wait_for("version 2 applied");
    client(&door.folder, "other.test").connect(door.https[0]).expect("it is trusted");

    let kept = door.folder.path().join("data/doorward/authority.pem");
    let mode =
        |path: &std::path::Path| fs::metadata(path).expect("it is kept").permissions().mode();
    assert_eq!(mode(&kept) & 0o777, 0o600);
    assert_eq!(mode(kept.parent().expect("a folder")) & 0o777, 0o700);
    let shown = text(&trust(&door.folder, &["--print"]).stdout);
    assert!(!shown.contains("PRIVATE"), "{shown}");
}

#[test]
fn dev_orders_nothing_from_a_real_authority() {
    let acme = "[tls.acme]\naccept-terms = true\ndirectory = \"https://127.0.0.1:1/\"\n";
    let door = dev(Folder::new(), &format!("{LISTEN}{acme}{}", route("shop.test")));
    client(&door.folder, "shop.test").connect(door.https[0]).expect("it is trusted");
    assert!(!door.stderr.all().iter().any(|line| line.contains("is ordered")));
}

#[test]
fn a_listener_that_is_added_is_certified() {
    let plain = "[listen]\nhttp = \"127.0.0.1:0\"\n";
    let door = dev(Folder::new(), &format!("{plain}{}", route("shop.test")));
    door.rewrite(&format!("{LISTEN}{}", route("shop.test")));
    door.signal(rustix::process::Signal::HUP);
    door.stderr.wait_for("version 2 applied");
    let status = door.admin("GET", "/api/status");
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    let address = status["config"]["listening-https"][0].as_str().expect("it listens");
    let connected = client(&door.folder, "shop.test").connect(address.parse().expect("an address"));
    connected.expect("it is trusted");
}

#[test]
fn production_does_without_it() {
    let folder = Folder::new();
    folder.write("doorward.toml", format!("{LISTEN}{}", route("shop.test")));
    let output = Door::command(&folder, &["run", "doorward.toml"])
        .stderr(std::process::Stdio::piped())
        .output()
        .expect("the program is built");
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(said.contains("`https` has no certificate to show"), "{said}");
    assert!(said.contains("write `[tls.acme]`"), "{said}");
}

#[test]
fn browsers_are_told_and_told_otherwise() {
    let folder = Folder::new();
    fs::create_dir_all(folder.path().join(".pki/nssdb")).expect("it can be made");
    let profile = folder.path().join(".mozilla/firefox/abc.default");
    fs::create_dir_all(&profile).expect("it can be made");
    let database = |path: &std::path::Path| format!("sql:{}", path.display());
    let certutil = |arguments: &[&str]| {
        let output = Command::new("certutil").args(arguments).output();
        output.expect("the Debian package `libnss3-tools` is installed")
    };
    certutil(&["-N", "--empty-password", "-d", &database(&profile)]);

    let said = trust(&folder, &["--only", "browsers"]);
    let words = text(&said.stdout);
    assert_eq!(said.status.code(), Some(0), "{words}{}", text(&said.stderr));
    assert!(words.contains("Chromium  trusted") && words.contains("Firefox   trusted"), "{words}");
    assert!(words.contains("`doorward trust --remove` undoes it"), "{words}");
    for path in [&folder.path().join(".pki/nssdb"), &profile] {
        let listed = text(&certutil(&["-L", "-d", &database(path)]).stdout);
        assert!(listed.contains("doorward-local-") && listed.contains("C,,"), "{listed}");
    }
    let again = text(&trust(&folder, &["--only", "browsers"]).stdout);
    assert!(again.contains("trusted already"), "{again}");

    let removed = text(&trust(&folder, &["--remove", "--only", "browsers"]).stdout);
    assert!(removed.contains("not trusted any more"), "{removed}");
    let listed = text(&certutil(&["-L", "-d", &database(&profile)]).stdout);
    assert!(!listed.contains("doorward-local-"), "{listed}");
}

#[test]
fn what_is_missing_is_said() {
    let folder = Folder::new();
    fs::create_dir_all(folder.path().join(".pki/nssdb")).expect("it can be made");
    let mut command = Door::command(&folder, &["trust", "--only", "browsers"]);
    command.env("HOME", folder.path()).env("PATH", "/nonexistent");
    let output = command.output().expect("the program is built");
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stdout);
    assert!(said.contains("apt-get install libnss3-tools"), "{said}");
    let nowhere = Door::command(&folder, &["trust"]).stderr(std::process::Stdio::piped()).output();
    let said = text(&nowhere.expect("the program is built").stderr);
    assert!(said.contains("set HOME, or XDG_DATA_HOME"), "{said}");
}
