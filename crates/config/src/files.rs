//! The files a configuration is made of, as the caller lends them; paths and patterns of includes.

use std::sync::Arc;

/// Where files come from. Paths are relative as the first one was, with `/` between names.
pub trait Files {
    /// The text of a file.
    ///
    /// # Errors
    /// Why there is none, as a clause.
    fn read(&self, path: &str) -> Result<Arc<str>, String>;

    /// The names of the files in a folder. `""` is the current folder.
    ///
    /// # Errors
    /// Why there are none, as a clause.
    fn list(&self, folder: &str) -> Result<Vec<String>, String>;
}

/// A message and advice.
type Wrong = (String, Option<String>);

/// The paths that `pattern`, written in the file `from`, stands for, sorted.
pub(crate) fn matching(files: &dyn Files, from: &str, pattern: &str) -> Result<Vec<String>, Wrong> {
    let is_pattern = |name: &str| name.contains(['*', '?']);
    let (folder, name) = pattern.rsplit_once('/').unwrap_or(("", pattern));
    if name.is_empty() {
        return Err((format!("`{pattern}` names no file"), None));
    }
    if is_pattern(folder) {
        let message = format!("`{pattern}` has `*` or `?` in the name of a folder");
        return Err((message, Some("they may stand in the name of the file only".to_owned())));
    }
    let absolute = pattern.starts_with('/');
    let base = from.rsplit_once('/').map_or("", |(base, _)| base);
    let base = if absolute || (base.is_empty() && from.starts_with('/')) { "/" } else { base };
    let folder = join(base, folder);
    let path = |name: &str| match folder.as_str() {
        "" => name.to_owned(),
        "/" => format!("/{name}"),
        folder => format!("{folder}/{name}"),
    };
    if !is_pattern(name) {
        return Ok(vec![path(name)]);
    }
    let names = files
        .list(&folder)
        .map_err(|why| (format!("cannot read the folder of `{pattern}`: {why}"), None))?;
    let mut paths: Vec<String> = names
        .iter()
        .filter(|found| matches(name.as_bytes(), found.as_bytes()))
        // As in a shell, hidden files are not meant, and an editor's backups are hidden.
        .filter(|found| !found.starts_with('.'))
        .map(|found| path(found))
        .collect();
    if paths.is_empty() {
        return Err((format!("`{pattern}` matches no file"), None));
    }
    paths.sort();
    Ok(paths)
}

/// `path` seen from `base`, without `.` and `..` where they can be resolved.
fn join(base: &str, path: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    let absolute = base.starts_with('/');
    for name in base.split('/').chain(path.split('/')) {
        match name {
            "" | "." => {}
            ".." if names.last().is_some_and(|last| *last != "..") => {
                names.pop();
            }
            ".." if absolute => {}
            name => names.push(name),
        }
    }
    format!("{}{}", if absolute { "/" } else { "" }, names.join("/"))
}

/// Whether `name` matches `pattern`, in which `*` stands for any text and `?` for one character.
///
/// Goes back to the last `*` only: linear in practice, quadratic at worst, never exponential.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p, n));
                p += 1;
            }
            Some(b'?') => {
                p += 1;
                n += 1;
                while name.get(n).is_some_and(|byte| byte & 0xc0 == 0x80) {
                    n += 1;
                }
            }
            Some(byte) if *byte == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match &mut retry {
                Some((star, from)) => {
                    *from += 1;
                    (p, n) = (*star + 1, *from);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks() {
        for (pattern, name, expect) in [
            ("*.toml", "a.toml", true),
            ("*.toml", ".toml", true),
            ("*.toml", "a.tom", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b-", false),
            ("?.toml", "é.toml", true),
            ("?.toml", "ab.toml", false),
            ("*", "", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expect, "{pattern} {name}");
        }
    }

    #[test]
    fn paths_are_joined_and_plain() {
        for (base, path, expect) in [
            ("", "a", "a"),
            ("conf", "routes", "conf/routes"),
            ("conf", "../routes/./x", "routes/x"),
            ("", "../x", "../x"),
            ("../a", "../../b", "../../b"),
            ("/etc", "../../x", "/x"),
        ] {
            assert_eq!(join(base, path), expect, "{base} {path}");
        }
    }
}
