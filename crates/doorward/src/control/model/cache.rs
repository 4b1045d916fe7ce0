//! Where cached responses lie.

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
    /// The largest response that is kept in memory, its head included; at most an eighth of `memory`.
    /// Default: `"1MiB"`, or that eighth if it is less.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) object: Option<At<Size>>,
}

impl Default for Cache {
    fn default() -> Self {
        Self { memory: Size::from_mib(256).into(), object: None }
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
