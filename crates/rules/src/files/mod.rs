//! Serving files: which file a request means, and what to answer once it is found.
//!
//! The engine opens and reads; what it may open and what it says about it is decided here.

mod answer;
mod media;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use config::{At, Report};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wire::{Known, RequestHead};

use crate::coding::{self, Coding};
use crate::percent;

pub use answer::{FileAnswer, Found, Part};

/// Answers with files. The whole path of the request stands for a path below `root`; with
/// `rewrite = { strip-prefix = "/static" }` a prefix can be left out. Only `GET` and `HEAD` are
/// answered.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FilesConfig {
    /// The directory, relative to the configuration file.
    pub root: At<String>,
    /// The file that stands for a directory; `""` for none.
    #[serde(default = "index")]
    pub index: At<String>,
    /// The file to answer with where there is none, for pages that find their own way: only if the
    /// client asks for HTML or the path has no extension.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<At<String>>,
    /// Whether names that begin with a dot are served. `.well-known` always is (RFC 8615).
    #[serde(default)]
    pub hidden: bool,
    /// The codings in which files lie beside the plain ones, the preferred one first:
    /// `["br", "zstd", "gzip"]` looks for `.br`, `.zst` and `.gz`, as far as the client takes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub precompressed: Vec<Coding>,
    /// The value of `Cache-Control`, such as `"public, max-age=3600"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<At<String>>,
}

fn index() -> At<String> {
    At::from("index.html".to_owned())
}

/// A directory of files, ready to be served.
#[derive(Clone, Debug)]
pub struct Files {
    root: PathBuf,
    index: Option<Box<str>>,
    fallback: Option<Box<str>>,
    hidden: bool,
    precompressed: Box<[Coding]>,
    cache_control: Option<Box<str>>,
}

/// A file to be looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Relative to the root; has no `..`, no empty and no absolute part.
    pub path: String,
    /// How many bytes of the path are the extension of a coding.
    coding: Option<Coding>,
    /// Whether a directory of this name means that the client forgot a slash.
    may_be_directory: bool,
}

impl Files {
    pub(crate) fn build(config: &FilesConfig, report: &mut Report) -> Option<Self> {
        let mut whole = true;
        if config.root.is_empty() {
            report.error(&config.root, "`root` is empty").help("write \".\" for this directory");
            whole = false;
        }
        let mut name = |text: &At<String>| -> Option<Box<str>> {
            let valid = text.split('/').all(|part| !matches!(part, "" | "." | ".."));
            if !valid {
                report
                    .error(text, format!("`{}` is not a file below `root`", **text))
                    .help("write its path relative to `root`: \"index.html\"");
                whole = false;
            }
            Some(text.as_str().into())
        };
        let index = if config.index.is_empty() { None } else { name(&config.index) };
        let fallback = config.fallback.as_ref().and_then(name);
        whole.then(|| Self {
            root: config.root.as_str().into(),
            index,
            fallback,
            hidden: config.hidden,
            precompressed: config.precompressed.as_slice().into(),
            cache_control: config.cache_control.as_ref().map(|value| value.as_str().into()),
        })
    }

    /// The directory, as the configuration has it: relative to the configuration's file.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where to look for what a request asks for, in this order.
    pub(crate) fn candidates(&self, head: &RequestHead) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        let codings = self.codings(head);
        let mut add = |path: String, may_be_directory| {
            for &coding in &codings {
                candidates.push(Candidate {
                    path: format!("{path}{}", coding.extension()),
                    coding: Some(coding),
                    may_be_directory: false,
                });
            }
            candidates.push(Candidate { path, coding: None, may_be_directory });
        };
        let Some(path) = self.relative(head.path()) else {
            return candidates;
        };
        let asks_for_page = asks_for_page(head, &path);
        if !head.path().ends_with(b"/") {
            add(path, true);
        } else if let Some(index) = &self.index {
            let slash = if path.is_empty() { "" } else { "/" };
            add(format!("{path}{slash}{index}"), false);
        }
        if let Some(fallback) = self.fallback.as_ref().filter(|_| asks_for_page) {
            add(fallback.as_ref().into(), false);
        }
        candidates
    }

    /// The path below the root that `path` stands for, decoded once; `None` if it stands for none.
    ///
    /// Every part must be a plain name: what a file system would read as a way up, as a way down
    /// (`%2f`, and `\` where Windows is), or as the end of the name is refused, whatever it meant.
    fn relative(&self, path: &[u8]) -> Option<String> {
        let mut relative = String::with_capacity(path.len());
        for segment in path.strip_prefix(b"/")?.split(|&byte| byte == b'/') {
            if segment.is_empty() {
                continue;
            }
            let name = String::from_utf8(percent::decoded(segment).collect()).ok()?;
            let is_plain = !name.contains(['/', '\\']) && !name.contains(char::is_control);
            let is_dots = matches!(&*name, "." | "..");
            let well_known = relative.is_empty() && name == ".well-known";
            let is_hidden = name.starts_with('.') && !well_known;
            if !is_plain || is_dots || is_hidden && !self.hidden {
                return None;
            }
            if !relative.is_empty() {
                relative.push('/');
            }
            relative += &name;
        }
        Some(relative)
    }

    /// The codings that the client takes, the one it likes best first.
    fn codings(&self, head: &RequestHead) -> Vec<Coding> {
        if self.precompressed.is_empty() || !head.fields.has(Known::AcceptEncoding) {
            return Vec::new();
        }
        let mut weighed: Vec<(u16, Coding)> = self
            .precompressed
            .iter()
            .map(|coding| {
                (coding::weight(&head.fields, coding.name()).unwrap_or_default(), *coding)
            })
            .filter(|(weight, _)| *weight > 0)
            .collect();
        weighed.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
        weighed.into_iter().map(|(_, coding)| coding).collect()
    }
}

/// Whether a missing file may be answered with the fallback page.
fn asks_for_page(head: &RequestHead, path: &str) -> bool {
    let has_extension = path.rsplit('/').next().is_some_and(|name| name.contains('.'));
    let wants_html = || {
        let mut accepted = head.fields.all(Known::Accept);
        accepted.any(|value| memchr::memmem::find(value, b"text/html").is_some())
    };
    !has_extension || wants_html()
}
