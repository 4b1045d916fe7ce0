//! `doorward trust`: makes this machine and its browsers trust the local authority of `dev`.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use aws_lc_rs::digest;

use super::Failure;
use super::paint::{Look, Paint};
use crate::control::authority::Root;

const EXAMPLES: &str = "\
Examples:
  doorward trust                          this machine and its browsers
  sudo -E doorward trust --only system    the part that takes root
  doorward trust --only browsers          the part that takes no root
  doorward trust --print > root.pem       for another device, or `curl --cacert`
  doorward trust --remove                 undoes all of it";

/// Makes this machine and its browsers trust the local authority of `doorward dev`.
///
/// The authority is made if this user has none yet. It can certify `localhost`, names that are
/// reserved for tests, and private addresses: nothing that is on the internet.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TrustArgs {
    /// Takes the trust back
    #[arg(long)]
    remove: bool,
    /// Writes the certificate to standard output, in PEM, and does nothing else
    #[arg(long, conflicts_with_all = ["remove", "only"])]
    print: bool,
    /// Only the store of the system, or only those of browsers
    #[arg(long, value_name = "WHAT")]
    only: Option<Only>,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Only {
    System,
    Browsers,
}

/// A kind of system: where it keeps what its administrator trusts, and what makes it look there.
struct System {
    folder: &'static str,
    extension: &'static str,
    update: &'static [&'static str],
    /// As after a removal.
    refresh: &'static [&'static str],
}

/// The first whose folder and program are there is taken.
const SYSTEMS: [System; 4] = [
    // Debian, Ubuntu, Alpine
    System {
        folder: "/usr/local/share/ca-certificates",
        extension: "crt",
        update: &["update-ca-certificates"],
        refresh: &["update-ca-certificates", "--fresh"],
    },
    // Fedora, Red Hat
    System {
        folder: "/etc/pki/ca-trust/source/anchors",
        extension: "pem",
        update: &["update-ca-trust", "extract"],
        refresh: &["update-ca-trust", "extract"],
    },
    // Arch
    System {
        folder: "/etc/ca-certificates/trust-source/anchors",
        extension: "pem",
        update: &["trust", "extract-compat"],
        refresh: &["trust", "extract-compat"],
    },
    // openSUSE
    System {
        folder: "/etc/pki/trust/anchors",
        extension: "pem",
        update: &["update-ca-certificates"],
        refresh: &["update-ca-certificates"],
    },
];

/// What came of one store.
struct Outcome {
    store: &'static str,
    place: String,
    done: Result<&'static str, String>,
}

/// Does what `args` say, and tells what was done and what was not.
pub(crate) fn trust(args: &TrustArgs) -> Result<ExitCode, Failure> {
    if args.remove && !Root::place().map_err(Failure::new)?.exists() {
        writeln!(io::stdout(), "there is no local authority of this user: nothing is trusted")?;
        return Ok(ExitCode::SUCCESS);
    }
    let root = Root::open().map_err(Failure::new)?;
    if args.print {
        io::stdout().write_all(root.certificate_pem().as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut outcomes = Vec::new();
    if args.only != Some(Only::Browsers) {
        outcomes.push(system(&root, args.remove));
    }
    if args.only != Some(Only::System) {
        outcomes.extend(browsers(&root, args.remove));
    }
    tell(&root, &outcomes, args.remove)?;
    let failed = outcomes.iter().any(|outcome| outcome.done.is_err());
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn tell(root: &Root, outcomes: &[Outcome], removes: bool) -> io::Result<()> {
    let paint = Paint::on(&io::stdout());
    let mut out = format!("the local authority of this user is {}\n", root.path.display());
    let rows: Vec<_> = outcomes
        .iter()
        .map(|outcome| {
            let (look, word) = match &outcome.done {
                Ok(word) => (Look::Good, *word),
                Err(_) => (Look::Bad, "not done"),
            };
            vec![
                (Look::Strong, outcome.store.to_owned()),
                (look, word.to_owned()),
                (Look::Plain, outcome.place.clone()),
            ]
        })
        .collect();
    out += &paint.columns("  ", &rows);
    for outcome in outcomes {
        if let Err(why) = &outcome.done {
            let store = paint.paint(Look::Strong, outcome.store);
            out += &format!("\n{store}: {why}\n");
        }
    }
    if !removes && outcomes.iter().any(|outcome| outcome.done.is_ok()) {
        out += "\nstart browsers again if they run; `doorward trust --remove` undoes it\n";
    }
    io::stdout().write_all(out.as_bytes())
}

/// What the root is called in stores: the same for the same root, and of no other user.
fn name(root: &Root) -> String {
    let digest = digest::digest(&digest::SHA256, &root.der);
    let digits: String = digest.as_ref()[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("doorward-local-{digits}")
}

/// Where the system's store keeps the root of this user, if it has one.
fn system_file(root: &Root) -> Option<(&'static System, PathBuf)> {
    let here = |system: &&System| Path::new(system.folder).is_dir() && finds(system.update[0]);
    let system = SYSTEMS.iter().find(here)?;
    Some((system, Path::new(system.folder).join(format!("{}.{}", name(root), system.extension))))
}

/// Whether the system's store has the root of this user.
pub(crate) fn is_trusted(root: &Root) -> bool {
    system_file(root).is_some_and(|(_, path)| path.exists())
}

fn system(root: &Root, removes: bool) -> Outcome {
    let store = "system";
    let Some((system, path)) = system_file(root) else {
        let why = "this kind of system is not known here, or `ca-certificates` is not installed; \
                   `doorward trust --print` writes the certificate";
        return Outcome { store, place: String::new(), done: Err(why.to_owned()) };
    };
    let place = path.display().to_string();
    let update = if removes { system.refresh } else { system.update };
    let written = match removes {
        true if !path.exists() => {
            return Outcome { store, place, done: Ok("was not trusted") };
        }
        true => fs::remove_file(&path),
        false => fs::write(&path, root.certificate_pem()),
    };
    let by_hand = match removes {
        true => format!("sudo rm {place} && sudo {}", update.join(" ")),
        false => {
            format!(
                "doorward trust --print | sudo tee {place} >/dev/null && sudo {}",
                update.join(" ")
            )
        }
    };
    let done = match written {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(format!("it takes root; run\n  {by_hand}"))
        }
        Err(error) => Err(format!("{place}: {error}")),
        Ok(()) => run(update[0], update[1..].iter().map(OsStr::new)),
    };
    Outcome { store, place, done: done.map(|()| word(removes)) }
}

fn word(removes: bool) -> &'static str {
    if removes { "not trusted any more" } else { "trusted" }
}

/// The databases of browsers that keep their own, each with whose it is.
fn databases() -> Vec<(&'static str, PathBuf)> {
    let Some(home) = std::env::var_os("HOME").map(PathBuf::from) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let own = home.join(".pki/nssdb");
    let chromiums =
        ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "brave-browser"];
    // Chromium makes it when it first runs; it reads one that is there already.
    if own.exists() || chromiums.into_iter().any(finds) {
        found.push(("Chromium", own));
    }
    let snap = home.join("snap/chromium/current/.pki/nssdb");
    if snap.exists() {
        found.push(("Chromium", snap));
    }
    let firefoxes = [
        ".mozilla/firefox",
        ".config/mozilla/firefox",
        "snap/firefox/common/.mozilla/firefox",
        ".var/app/org.mozilla.firefox/.mozilla/firefox",
    ];
    for folder in firefoxes {
        let profiles = fs::read_dir(home.join(folder)).into_iter().flatten();
        let profiles = profiles.filter_map(|entry| Some(entry.ok()?.path()));
        let databases = profiles.filter(|profile| profile.join("cert9.db").exists());
        found.extend(databases.map(|profile| ("Firefox", profile)));
    }
    found
}

fn browsers(root: &Root, removes: bool) -> Vec<Outcome> {
    let databases = databases().into_iter();
    databases
        .map(|(store, path)| {
            let done = match finds("certutil") {
                true => database(root, &path, removes),
                false => Err("`certutil` is missing: install it (Debian: apt-get install \
                              libnss3-tools; Fedora: nss-tools), then run this again"
                    .to_owned()),
            };
            Outcome { store, place: path.display().to_string(), done }
        })
        .collect()
}

fn database(root: &Root, path: &Path, removes: bool) -> Result<&'static str, String> {
    let name = name(root);
    let database = format!("sql:{}", path.display());
    let arguments = |more: &[&str]| -> Vec<String> {
        let own = more.iter().map(ToString::to_string);
        own.chain(["-d".to_owned(), database.clone()]).collect()
    };
    let is_there = run("certutil", arguments(&["-L", "-n", &name])).is_ok();
    if removes {
        if !is_there {
            return Ok("was not trusted");
        }
        return run("certutil", arguments(&["-D", "-n", &name])).map(|()| word(true));
    }
    if is_there {
        return Ok("trusted already");
    }
    if !path.join("cert9.db").exists() {
        fs::create_dir_all(path).map_err(|error| format!("{}: {error}", path.display()))?;
        run("certutil", arguments(&["-N", "--empty-password"]))?;
    }
    // certutil reads files only, and the root's own has its key.
    let file = path.join(format!("{name}.pem"));
    fs::write(&file, root.certificate_pem())
        .map_err(|error| format!("{}: {error}", file.display()))?;
    let shown = file.display().to_string();
    let added = run("certutil", arguments(&["-A", "-t", "C,,", "-n", &name, "-i", &shown]));
    let _ = fs::remove_file(&file);
    added.map(|()| word(false))
}

/// Whether `program` is in a folder of PATH, or where programs for root are.
fn finds(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let roots = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&paths).chain(roots).any(|folder| folder.join(program).is_file())
}

/// Runs `program`, which prints nothing unless it fails.
fn run(
    program: &str,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> Result<(), String> {
    let paths = std::env::var("PATH").unwrap_or_default();
    let output = Command::new(program)
        .args(arguments)
        .env("PATH", format!("{paths}:/usr/sbin:/sbin"))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("`{program}` cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("`{program}` failed: {}", said.trim()))
}
