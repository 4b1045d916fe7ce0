//! A real authority for tests: Pebble, with a name server where every name leads to the test.

use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::door::{Folder, Lines};
use crate::tls::client::{Made, Wants};

/// Where Pebble looks for answers to HTTP-01 and TLS-ALPN-01, and where it listens itself.
const HTTP: u16 = 5002;
const TLS: u16 = 5001;
const DIRECTORY: u16 = 14000;
const MANAGEMENT: u16 = 15000;
const DNS: u16 = 8053;
const DNS_MANAGEMENT: u16 = 8055;

/// An authority, and the address to which it finds all names.
pub(crate) struct Pebble {
    authority: Child,
    names: Child,
    /// An address of this machine that nobody else has: ports may be the usual ones.
    pub(crate) address: IpAddr,
    /// By what the authority's own TLS is verified.
    pub(crate) own: Made,
    pub(crate) lines: Lines,
    settings: Vec<(String, String)>,
}

impl Drop for Pebble {
    fn drop(&mut self) {
        for child in [&mut self.authority, &mut self.names] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// An address of the loopback network for one test of this process.
fn own_address() -> IpAddr {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed) as u8;
    // Processes that live at the same time have different numbers.
    let [_, _, high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 | (count & 63), high, low).into()
}

impl Pebble {
    /// Starts it; `folder` gets what clients need to know of it. `settings` go into its environment.
    #[track_caller]
    pub(crate) fn start(folder: &Folder, settings: &[(&str, &str)]) -> Self {
        let address = own_address();
        let own = Made::new(folder, "pebble", &[&address.to_string()]);
        Self::start_at(folder, address, own, settings)
    }

    #[track_caller]
    fn start_at(folder: &Folder, address: IpAddr, own: Made, settings: &[(&str, &str)]) -> Self {
        let external = settings.iter().any(|(name, _)| *name == "EXTERNAL");
        let config = serde_json::json!({ "pebble": {
            "listenAddress": format!("{address}:{DIRECTORY}"),
            "managementListenAddress": format!("{address}:{MANAGEMENT}"),
            "certificate": folder.path().join(&own.cert),
            "privateKey": folder.path().join(&own.key),
            "httpPort": HTTP,
            "tlsPort": TLS,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": external,
            "externalAccountMACKeys": {
                "kid-1": "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W",
            },
        }});
        let config = folder.write("pebble.json", config.to_string());
        let names = Command::new("pebble-challtestsrv")
            .args(["-defaultIPv4", &address.to_string(), "-defaultIPv6", ""])
            .args(["-dns01", &format!("{address}:{DNS}")])
            .args(["-management", &format!("{address}:{DNS_MANAGEMENT}")])
            .args(["-http01", "", "-https01", "", "-tlsalpn01", ""])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the Debian package `pebble` is installed");
        let settings: Vec<(String, String)> =
            settings.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let (authority, lines) = Self::spawn(&config, address, &settings);
        Self { authority, names, address, own, lines, settings }
    }

    fn spawn(
        config: &std::path::Path,
        address: IpAddr,
        settings: &[(String, String)],
    ) -> (Child, Lines) {
        let mut command = Command::new("pebble");
        command
            .arg("-config")
            .arg(config)
            .args(["-dnsserver", &format!("{address}:{DNS}")])
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_WFE_NONCEREJECT", "0")
            .env("PEBBLE_AUTHZREUSE", "0")
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().expect("the Debian package `pebble` is installed");
        let lines = Lines::default();
        lines.follow(child.stdout.take().expect("it is piped"));
        // It says that it listens just before it does.
        for port in [DIRECTORY, MANAGEMENT] {
            super::wait_until("Pebble listens", || TcpStream::connect((address, port)).is_ok());
        }
        (child, lines)
    }

    /// Ends it, as a power failure would.
    pub(crate) fn kill(&mut self) {
        let _ = self.authority.kill();
        let _ = self.authority.wait();
    }

    /// Starts it again; it remembers nothing.
    #[track_caller]
    pub(crate) fn start_again(&mut self, folder: &Folder, settings: &[(&str, &str)]) {
        self.kill();
        let more = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let settings: Vec<_> = self.settings.iter().cloned().chain(more).collect();
        let config = folder.path().join("pebble.json");
        (self.authority, self.lines) = Self::spawn(&config, self.address, &settings);
    }

    /// Where its directory is.
    pub(crate) fn directory(&self) -> String {
        format!("https://{}:{DIRECTORY}/dir", self.address)
    }

    /// The listeners that it looks at, and `[tls.acme]` for it, without a challenge.
    pub(crate) fn tables(&self) -> String {
        format!(
            "[listen]\nhttp = \"{0}:{HTTP}\"\nhttps = \"{0}:{TLS}\"\n\
             [tls.acme]\ndirectory = \"{1}\"\nroots = \"{2}\"\naccept-terms = true\n",
            self.address,
            self.directory(),
            self.own.cert,
        )
    }

    /// The body of `GET path` of its own side.
    #[track_caller]
    pub(crate) fn management(&self, path: &str) -> String {
        let client = Wants::trusting(&[&self.own]).name(&self.address.to_string());
        let connected = client.connect((self.address, MANAGEMENT).into());
        let mut connected = connected.expect("it listens");
        connected.send(format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address));
        let answer = connected.read_to_end().expect("an answer");
        answer.split_once("\r\n\r\n").expect("a head").1.to_owned()
    }

    /// A client that trusts what it certifies, and asks for `name`.
    #[track_caller]
    pub(crate) fn client(&self, name: &str) -> Wants {
        let pem = self.management("/roots/0");
        let root = CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate");
        let root = Made { der: root, cert: String::new(), key: String::new() };
        Wants::trusting(&[&root]).name(name)
    }

    /// A command for `dns-hook` that writes to the name server; each call is a line in `hook.log`.
    /// While there is a file `hold`, it does not come back.
    pub(crate) fn hook(&self, folder: &Folder) -> String {
        let script = format!(
            "import json, os, sys, time, urllib.request\n\
             verb, name, value = sys.argv[1:4]\n\
             with open('hook.log', 'a') as log: log.write(f'{{verb}} {{name}}\\n')\n\
             while os.path.exists('hold'): time.sleep(0.01)\n\
             path = {{'add': 'set-txt', 'remove': 'clear-txt'}}[verb]\n\
             body = json.dumps({{'host': name + '.', 'value': value}}).encode()\n\
             urllib.request.urlopen('http://{}:{DNS_MANAGEMENT}/' + path, body).read()\n",
            self.address
        );
        folder.write("hook.py", script);
        "python3 hook.py".to_owned()
    }
}
