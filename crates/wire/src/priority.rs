//! How urgent a response is (RFC 9218).

/// What the `Priority` field of a request says, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priority {
    /// From 0, the most urgent, to 7.
    pub urgency: u8,
    /// Whether pieces of it are of use before the whole is there.
    pub incremental: bool,
}

impl Default for Priority {
    /// RFC 9218, 4: "The default is 3" and "false".
    fn default() -> Self {
        Self { urgency: 3, incremental: false }
    }
}

impl Priority {
    /// Reads a field's value. What is unknown or out of range is as if it were not there (RFC 9218,
    /// 4): a wrong priority is no reason to refuse anything.
    #[must_use]
    pub fn read(value: &[u8]) -> Self {
        let mut priority = Self::default();
        for member in value.split(|&byte| byte == b',') {
            // Parameters of a member mean nothing here.
            let member = member.split(|&byte| byte == b';').next().unwrap_or_default();
            match member.trim_ascii() {
                [b'u', b'=', digit @ b'0'..=b'7'] => priority.urgency = digit - b'0',
                b"i" | b"i=?1" => priority.incremental = true,
                b"i=?0" => priority.incremental = false,
                _ => {}
            }
        }
        priority
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_changes_nothing() {
        for (value, urgency, incremental) in [
            ("", 3, false),
            ("u=0", 0, false),
            ("u=7, i", 7, true),
            ("i=?1 ,u=5;x=1", 5, true),
            ("i, i=?0", 3, false),
            ("u=8", 3, false),
            ("u=-1, u=1", 1, false),
            ("U=1, u=\"2\", ui", 3, false),
        ] {
            let wanted = Priority { urgency, incremental };
            assert_eq!(Priority::read(value.as_bytes()), wanted, "{value:?}");
        }
    }
}
