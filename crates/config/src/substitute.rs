//! Variables in strings: `${NAME}`, `${NAME:-default}`, and `$$` for a dollar.

/// The variables that texts may name. The caller lends them: this crate has no environment.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What is wrong with a string that names variables.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Unset(String),
    Unclosed,
    BadName(String),
}

impl Fault {
    /// The message and the advice.
    pub(crate) fn words(&self) -> (String, String) {
        match self {
            Self::Unset(name) => (
                format!("the variable `{name}` is not set"),
                format!("set it, or write a default: `${{{name}:-default}}`"),
            ),
            Self::Unclosed => {
                ("`${` is not closed".to_owned(), "add `}`, or write `$$` for a dollar".to_owned())
            }
            Self::BadName(name) => (
                format!("`{name}` cannot be the name of a variable"),
                "letters, digits and `_` can; write `$$` for a dollar".to_owned(),
            ),
        }
    }
}

/// Fills in the variables of `text`; `None` if it has none. All faults are collected.
///
/// As in a shell, `:-` also stands in for a variable that is set to nothing. A `$` before anything
/// but `{` and `$` is plain text, so that patterns like `^a$` need no care.
pub(crate) fn fill(text: &str, variables: Variables<'_>) -> Result<Option<String>, Vec<Fault>> {
    if !text.contains("${") && !text.contains("$$") {
        return Ok(None);
    }
    let mut filled = String::with_capacity(text.len());
    let mut faults = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        filled.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            filled.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let Some((inner, after)) = after.split_once('}') else {
                faults.push(Fault::Unclosed);
                break;
            };
            match value(inner, variables) {
                Ok(value) => filled.push_str(&value),
                Err(fault) => faults.push(fault),
            }
            rest = after;
        } else {
            filled.push('$');
        }
    }
    filled.push_str(rest);
    if faults.is_empty() { Ok(Some(filled)) } else { Err(faults) }
}

/// The value of what stands between the braces.
fn value(inner: &str, variables: Variables<'_>) -> Result<String, Fault> {
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    let named = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty();
    if !named {
        return Err(Fault::BadName(name.to_owned()));
    }
    match (variables(name), default) {
        (Some(value), default) if !value.is_empty() || default.is_none() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (_, None) => Err(Fault::Unset(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> Result<Option<String>, Vec<Fault>> {
        fill(text, &|name| match name {
            "HOME" => Some("/home/me".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        })
    }

    #[test]
    fn fills_variables_and_leaves_dollars() {
        for (text, expect) in [
            ("plain", None),
            ("^a$", None),
            ("$HOME", None),
            ("${HOME}/x", Some("/home/me/x")),
            ("${EMPTY}", Some("")),
            ("${EMPTY:-no}", Some("no")),
            ("${GONE:-a:-b}", Some("a:-b")),
            ("${GONE:-}", Some("")),
            ("$${HOME} $$", Some("${HOME} $")),
            ("$x ${HOME}$", Some("$x /home/me$")),
        ] {
            assert_eq!(filled(text), Ok(expect.map(str::to_owned)), "{text}");
        }
    }

    #[test]
    fn finds_every_fault_of_a_string() {
        let unset = |name: &str| Fault::Unset(name.to_owned());
        assert_eq!(filled("${A} ${HOME} ${B}"), Err(vec![unset("A"), unset("B")]));
        assert_eq!(filled("${A b"), Err(vec![Fault::Unclosed]));
        assert_eq!(filled("${}"), Err(vec![Fault::BadName(String::new())]));
        assert_eq!(filled("${1x}"), Err(vec![Fault::BadName("1x".to_owned())]));
    }
}
