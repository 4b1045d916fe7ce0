//! Whole configurations as text: files in, what they became or all that is wrong with them out.

use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use serde::Deserialize;

use super::*;

/// Files in memory, written as one text: `--- path` begins a file.
struct InMemory(BTreeMap<String, Arc<str>>);

impl InMemory {
    fn new(files: &str) -> Self {
        let files = files.split("--- ").skip(1).map(|file| {
            let (path, text) = file.split_once('\n').expect("a line for the path");
            (path.to_owned(), Arc::from(text))
        });
        Self(files.collect())
    }
}

impl Files for InMemory {
    fn read(&self, path: &str) -> Result<Arc<str>, String> {
        self.0.get(path).cloned().ok_or_else(|| "no such file".to_owned())
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, String> {
        let names = self.0.keys().filter_map(|path| {
            let (found, name) = path.rsplit_once('/').unwrap_or(("", path));
            (found == folder).then(|| name.to_owned())
        });
        Ok(names.collect())
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Route {
    path: At<String>,
    cache: Option<At<String>>,
}

/// Reads `files`, beginning with `doorward.toml`, and says how many items were built anew.
fn read(files: &str, memo: &mut Memo<Arc<Route>>) -> (Report, Document<Arc<Route>>, usize) {
    let files = InMemory::new(files);
    let variables = |name: &str| (name == "HOST").then(|| "localhost".to_owned());
    let reader =
        Reader { files: &files, variables: &variables, items: "route", shared: &["service"] };
    let mut report = Report::new();
    let mut built = 0;
    let document = reader.read("doorward.toml", memo, &mut report, &mut |value, report| {
        built += 1;
        let route: Route = report.read(value)?;
        if route.cache.as_ref().is_some_and(|cache| **cache == "odd") {
            report
                .warning(route.cache.as_ref().expect("just seen"), "odd cache")
                .other(&route.path, "for the path at");
        }
        Some(Arc::new(route))
    });
    (report, document, built)
}

#[track_caller]
fn check(files: &str, expect: Expect) {
    let (report, document, _) = read(files, &mut Memo::default());
    let mut out = report.to_string();
    if !report.has_errors() {
        for entry in document.rest.as_table().expect("a table").entries() {
            out += &format!("{}\n", entry.key);
            for name in entry.value.as_table().map_or(&[] as &[_], Table::entries) {
                out += &format!("  {}\n", name.key);
            }
        }
        for item in document.items {
            let spot = report.sources().locate(item.value.path.place().within(item.place));
            let spot = spot.expect("it is in a file");
            out += &format!("{}:{} {:?}\n", spot.file, spot.line, item.value);
        }
    }
    expect.assert_eq(&out);
}

#[test]
fn files_are_put_together() {
    check(
        "--- doorward.toml\ninclude = [\"routes/*.toml\", \"more.toml\"]\n[log]\naccess = \"off\"\n\
         [service.a]\nendpoints = []\n[[route]]\npath = \"/${HOST}\"\n\
         --- routes/b.toml\n[[route]]\npath = \"/b\"\n[service.b]\n\
         --- routes/a.toml\n# first\n[[route]]\npath = \"/a\"\n[[route]]\npath = \"/a2\"\n\
         --- routes/.hidden.toml\n?\n\
         --- routes/notes.txt\n?\n\
         --- more.toml\ninclude = [\"./routes/../deep/x.toml\"]\n\
         --- deep/x.toml\nroute = [{ path = \"/x\" }]\n",
        expect![[r#"
            log
              access
            service
              a
              b
            doorward.toml:7 Route { path: "/localhost", cache: None }
            routes/a.toml:3 Route { path: "/a", cache: None }
            routes/a.toml:5 Route { path: "/a2", cache: None }
            routes/b.toml:2 Route { path: "/b", cache: None }
            deep/x.toml:1 Route { path: "/x", cache: None }
        "#]],
    );
}

#[test]
fn wrong_includes_are_all_found() {
    check(
        "--- doorward.toml\ninclude = [\"gone.toml\", \"none/*.toml\", \"*/x.toml\", 7, \"a.toml\", \"\", \
         \"a.toml\", \"b.toml\"]\n\
         --- a.toml\ninclude = [\"b.toml\"]\n\
         --- b.toml\ninclude = [\"a.toml\"]\n\
         --- c.toml\n",
        expect![[r#"
            doorward.toml:1:12: cannot read `gone.toml`: no such file
               1 | include = ["gone.toml", "none/*.toml", "*/x.toml", 7, "a.toml", "", "a.toml", "b.toml"]
                 |            ^^^^^^^^^^^
            doorward.toml:1:25: `none/*.toml` matches no file
               1 | include = ["gone.toml", "none/*.toml", "*/x.toml", 7, "a.toml", "", "a.toml", "b.toml"]
                 |                         ^^^^^^^^^^^^^
            doorward.toml:1:40: `*/x.toml` has `*` or `?` in the name of a folder
               1 | include = ["gone.toml", "none/*.toml", "*/x.toml", 7, "a.toml", "", "a.toml", "b.toml"]
                 |                                        ^^^^^^^^^^ they may stand in the name of the file only
            doorward.toml:1:52: expected a path, found a whole number
               1 | include = ["gone.toml", "none/*.toml", "*/x.toml", 7, "a.toml", "", "a.toml", "b.toml"]
                 |                                                    ^
            doorward.toml:1:65: `` names no file
               1 | include = ["gone.toml", "none/*.toml", "*/x.toml", 7, "a.toml", "", "a.toml", "b.toml"]
                 |                                                                 ^^
            doorward.toml:1:69: `a.toml` is included twice
               1 | include = ["gone.toml", "none/*.toml", "*/x.toml", 7, "a.toml", "", "a.toml", "b.toml"]
                 |                                                                     ^^^^^^^^
            doorward.toml:1:79: `b.toml` is included twice
               1 | include = ["gone.toml", "none/*.toml", "*/x.toml", 7, "a.toml", "", "a.toml", "b.toml"]
                 |                                                                               ^^^^^^^^
            b.toml:1:12: files include each other: a.toml -> b.toml -> a.toml
               1 | include = ["a.toml"]
                 |            ^^^^^^^^
        "#]],
    );
    check(
        "--- doorward.toml\ninclude = \"a.toml\"\n",
        expect![[r#"
            doorward.toml:1:11: `include` is not an array of paths
               1 | include = "a.toml"
                 |           ^^^^^^^^ e.g. `include = ["routes/*.toml"]`
        "#]],
    );
    check(
        "--- other.toml\n",
        expect![[r#"
        config: cannot read `doorward.toml`: no such file
    "#]],
    );
}

#[test]
fn what_is_defined_twice_is_shown_twice() {
    check(
        "--- doorward.toml\ninclude = [\"a.toml\"]\n[log]\n[service.a]\nx = 1\n[service.a]\n\
         --- a.toml\n[log]\n[service.a]\n[service.b]\n",
        expect![[r#"
            doorward.toml:5:10: `service.a` is defined twice
               5 | [service.a]
                 |          ^
                 = the first one is at doorward.toml:3:10
            a.toml:1:2: `log` is defined twice
               1 | [log]
                 |  ^^^
                 = the first one is at doorward.toml:2:2
            a.toml:2:10: `service.a` is defined twice
               2 | [service.a]
                 |          ^
                 = the first one is at doorward.toml:5:10
        "#]],
    );
    check(
        "--- doorward.toml\na = 1\na = 2\n[b.c]\nd.e = 1\nf = 1\nd.e = 2\n[b.x]\n[[route]]\npath = \"/\"\n\
         path = \"/2\"\n[b.c]\nw = { y = 1, y = 2 }\n",
        expect![[r#"
            doorward.toml:2:1: `a` is defined twice
               2 | a = 2
                 | ^
                 = the first one is at doorward.toml:1:1
            doorward.toml:6:3: `b.c.d.e` is defined twice
               6 | d.e = 2
                 |   ^
                 = the first one is at doorward.toml:4:3
            doorward.toml:10:1: `route.path` is defined twice
              10 | path = "/2"
                 | ^^^^
                 = the first one is at doorward.toml:9:1
            doorward.toml:11:4: `b.c` is defined twice
              11 | [b.c]
                 |    ^
                 = the first one is at doorward.toml:3:4
            doorward.toml:12:14: `y` is defined twice
              12 | w = { y = 1, y = 2 }
                 |              ^
        "#]],
    );
    check(
        "--- doorward.toml\n[[route]]\npath = \"/\"\n[route.cache]\n[log]\n[route.cache]\n",
        expect![[r#"
            doorward.toml:5:1: expected a string, found a table
               5 | [route.cache]
                 | ^^^^^^^^^^^^^
            doorward.toml:5:8: `route.cache` is defined twice
               5 | [route.cache]
                 |        ^^^^^
                 = the first one is at doorward.toml:3:8
        "#]],
    );
    check(
        "--- doorward.toml\nroute = [{ path = \"/\" }]\n[[route]]\npath = \"/\"\n",
        expect![[r#"
            doorward.toml:2:3: `route` is defined twice
               2 | [[route]]
                 |   ^^^^^
                 = the first one is at doorward.toml:1:1
        "#]],
    );
}

#[test]
fn wrong_syntax_is_explained_once() {
    check(
        "--- doorward.toml\na = [1, 2\nb = 3\n[[route]]\npath='x'\n",
        expect![[r#"
            doorward.toml:1:5: this `[` is not closed
               1 | a = [1, 2
                 |     ^
        "#]],
    );
    check(
        "--- doorward.toml\na = \"abc\nb = 07\nc = yes\nd = \ne f = 1\nh = \"\\q\"\n[[route]]\n\
         path = x\n[[route]]\npath = \"/${NAME}\"\n[[route]]\npath = \"/${\"\nn = 99999999999999999999\n",
        expect![[r#"
            doorward.toml:1:9: this string is not closed
               1 | a = "abc
                 |         ^
            doorward.toml:2:5: a number does not begin with 0
               2 | b = 07
                 |     ^
            doorward.toml:3:5: `yes` is not a value
               3 | c = yes
                 |     ^^^ if it is text: "yes"
            doorward.toml:4:5: a value is missing
               4 | d =
                 |     ^
            doorward.toml:5:3: expected `=` after the key
               5 | e f = 1
                 |   ^
            doorward.toml:8:8: `x` is not a value
               8 | path = x
                 |        ^ if it is text: "x"
            doorward.toml:10:8: the variable `NAME` is not set
              10 | path = "/${NAME}"
                 |        ^^^^^^^^^^ set it, or write a default: `${NAME:-default}`
            doorward.toml:12:8: `${` is not closed
              12 | path = "/${"
                 |        ^^^^^ add `}`, or write `$$` for a dollar
            doorward.toml:13:5: this number is too large
              13 | n = 99999999999999999999
                 |     ^^^^^^^^^^^^^^^^^^^^ at most 9223372036854775807
        "#]],
    );
}

#[test]
fn values_of_variables_are_not_shown() {
    let mut report = Report::new();
    let text = "a = \"${SECRET}\"\nb = \"${SHORT}\"\n";
    let files = InMemory(BTreeMap::from([("x.toml".to_owned(), text.into())]));
    let variables = |name: &str| Some(if name == "SHORT" { "a" } else { "swordfish" }.to_owned());
    let reader = Reader { files: &files, variables: &variables, items: "route", shared: &[] };
    let none = &mut |_: &Value, _: &mut Report| None::<()>;
    let document = reader.read("x.toml", &mut Memo::default(), &mut report, none);
    assert_eq!(report.read::<BTreeMap<String, crate::Period>>(&document.rest), None);
    expect![[r#"
        x.toml:1:5: `${SECRET}` is not a duration: write a number and a unit, e.g. "5m"
           1 | a = "${SECRET}"
             |     ^^^^^^^^^^^ the value of the variable is not shown
        x.toml:2:5: `${SHORT}` is not a duration: write a number and a unit, e.g. "5m"
           2 | b = "${SHORT}"
             |     ^^^^^^^^^^ the value of the variable is not shown
    "#]]
    .assert_eq(&report.to_string());
}

#[test]
fn an_open_header_hides_what_follows() {
    check(
        "--- doorward.toml\na = x\n[log\nb = x\n[[route]]\npath = 1\n[[route]]\npath = 2\n",
        expect![[r#"
            doorward.toml:1:5: `x` is not a value
               1 | a = x
                 |     ^ if it is text: "x"
            doorward.toml:2:5: this header is not closed: `]` is missing
               2 | [log
                 |     ^
        "#]],
    );
    check(
        "--- doorward.toml\n[[log]\nb = x\n",
        expect![[r#"
        doorward.toml:1:7: this header is not closed: `]` is missing
           1 | [[log]
             |       ^
    "#]],
    );
}

#[test]
fn only_what_changed_is_built_again() {
    let mut memo = Memo::default();
    let routes = |paths: &[&str]| {
        let routes: Vec<String> =
            paths.iter().map(|path| format!("[[route]]\npath = \"{path}\"\n")).collect();
        format!("--- doorward.toml\n[log]\n{}", routes.concat())
    };
    let mut step = |paths: &[&str]| {
        let (report, document, built) = read(&routes(paths), &mut memo);
        assert!(report.is_clean(), "{report}");
        let read: Vec<&str> = document.items.iter().map(|item| item.value.path.as_str()).collect();
        assert_eq!(read, paths);
        built
    };
    assert_eq!(step(&["/a", "/b", "/c"]), 3);
    assert_eq!(step(&["/a", "/b", "/c"]), 0);
    assert_eq!(step(&["/a", "/new", "/b", "/c"]), 1, "added");
    assert_eq!(step(&["/a", "/b", "/c"]), 0, "removed");
    assert_eq!(step(&["/c", "/b", "/a"]), 0, "moved");
    assert_eq!(step(&["/a", "/changed", "/c"]), 1, "changed");
    assert_eq!(step(&["/a", "/a", "/a"]), 0, "repeated");
}

#[test]
fn what_is_not_used_is_forgotten_in_the_end() {
    let mut memo = Memo::default();
    for round in 0..50 {
        let text: String =
            (0..100).map(|n| format!("[[route]]\npath = \"/{round}/{n}\"\n")).collect();
        let (.., built) = read(&format!("--- doorward.toml\n{text}"), &mut memo);
        assert_eq!(built, 100);
        assert!(memo.len() <= 2 * 100 + 1_000 + 100, "{}", memo.len());
    }
}

#[test]
fn problems_are_found_again_at_their_new_place() {
    let mut memo = Memo::default();
    let item = "[[route]]\npath = \"/\"\ncache = \"odd\"\n[[route]]\npth = 1\n";
    let (report, ..) = read(&format!("--- doorward.toml\n{item}"), &mut memo);
    let first = report.to_string();
    expect![[r#"
        doorward.toml:3:9: warning: odd cache
           3 | cache = "odd"
             |         ^^^^^
             = for the path at doorward.toml:2:8
        doorward.toml:5:1: there is no key `pth` here
           5 | pth = 1
             | ^^^ did you mean `path`?
    "#]]
    .assert_eq(&first);
    let (report, ..) = read(&format!("--- doorward.toml\n\n[log]\n{item}"), &mut memo);
    expect![[r#"
        doorward.toml:5:9: warning: odd cache
           5 | cache = "odd"
             |         ^^^^^
             = for the path at doorward.toml:4:8
        doorward.toml:7:1: there is no key `pth` here
           7 | pth = 1
             | ^^^ did you mean `path`?
    "#]]
    .assert_eq(&report.to_string());
}
