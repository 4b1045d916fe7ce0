//! Where cached responses lie.

use std::path::{Path, PathBuf};

use config::{At, Report, Size};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where cached responses lie. What is cached is said on routes.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Cache {
    /// How much memory cached responses may take, all that belongs to them included. From `"1MiB"` to
    /// `"16TiB"`.
    pub(crate) memory: At<Size>,
    /// The largest response that is kept in memory, its head included; at most an eighth of `memory`. Larger
    /// ones are kept on the disk alone, if there is one, up to a quarter of its `size`.
    /// Default: `"1MiB"`, or that eighth if it is less.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) object: Option<At<Size>>,
    /// A directory where responses are kept, too: they outlive a restart, and there may be more of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) disk: Option<At<CacheDisk>>,
}

/// Where cached responses lie that outlive a restart. A change of `path` takes a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct CacheDisk {
    /// The directory, relative to the configuration file; made if it is not there. Of this process alone.
    pub(crate) path: String,
    /// How large all files in it may be, from `"64MiB"` to `"1024TiB"`.
    pub(crate) size: At<Size>,
}

impl CacheDisk {
    /// The directory, seen from the process.
    pub(crate) fn path(&self, folder: &Path) -> PathBuf {
        folder.join(&self.path)
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self { memory: Size::from_mib(256).into(), object: None, disk: None }
    }
}

/// Large objects come and go in whole: with fewer than so many, one of them would drive out the rest.
const OBJECTS_MIN: u64 = 8;

/// Larger ones are seldom asked for as often as the many that would have to go for them.
const OBJECT_DEFAULT: Size = Size::from_mib(1);

impl Cache {
    /// The largest response that is kept in memory.
    pub(crate) fn object_bytes_max(&self) -> u64 {
        let object = self.object.as_deref().copied().unwrap_or(OBJECT_DEFAULT);
        object.as_bytes().min(self.memory.as_bytes() / OBJECTS_MIN)
    }

    pub(super) fn check(&self, report: &mut Report) {
        let memory = Size::from_mib(1)..=Size::from_mib(16 << 20);
        report.within("memory", &self.memory, memory);
        if let Some(object) = &self.object {
            report.within("object", object, Size::from_kib(1)..=Size::from_mib(1 << 20));
        }
        if let Some(disk) = &self.disk {
            report.within("size", &disk.size, Size::from_mib(64)..=Size::from_mib(1 << 30));
            if disk.path.is_empty() {
                report.error(disk, "`path` is empty").help("name a directory for the cache alone");
            }
        }
    }

    pub(super) fn check_together(&self, report: &mut Report) {
        let fitting = Size::from_bytes(self.memory.as_bytes() / OBJECTS_MIN);
        if let Some(object) = self.object.as_ref().filter(|object| ***object > fitting) {
            let memory = *self.memory;
            report
                .error(object, format!("this is more than an eighth of `memory` ({memory})"))
                .help(format!("write at most `\"{fitting}\"`, or give the cache more memory"));
        }
    }
}
