//! `docs/configuration.md` is what the model says about itself; `UPDATE_EXPECT=1` writes it anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use expect_test::expect_file;
use serde_json::{Map, Value};

#[test]
fn the_manual_says_what_the_model_says() {
    let schema: Value = serde_json::from_str(&crate::config::schema()).expect("JSON");
    expect_file![concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md")]
        .assert_eq(&Manual::of(&schema));
}

/// Writes the manual: a section for each table, and within it one for each table below.
struct Manual<'s> {
    schema: &'s Value,
    out: String,
    /// The definitions that have a section already.
    written: BTreeSet<String>,
}

impl<'s> Manual<'s> {
    fn of(schema: &'s Value) -> String {
        let mut manual = Self { schema, out: String::new(), written: BTreeSet::new() };
        manual.out += "# Configuration\n\n\
            <!-- Written by a test from the comments in the code: change those. -->\n\n";
        manual.paragraph(&schema["description"]);
        manual.units();
        let none = Map::new();
        let properties = schema["properties"].as_object().unwrap_or(&none);
        for (key, property) in properties {
            let (definition, header) = match key.as_str() {
                "service" => {
                    (manual.name(&property["additionalProperties"]), "[service.NAME]".into())
                }
                "route" | "tcp" => (manual.name(&property["items"]), format!("[[{key}]]")),
                key => (manual.name(property), format!("[{key}]")),
            };
            match definition {
                Some(definition) => manual.section(2, &header, &definition, key),
                None => {
                    let _ = writeln!(manual.out, "## `{key}`\n");
                    manual.paragraph(&property["description"]);
                }
            }
        }
        let length = manual.out.trim_end().len();
        manual.out.truncate(length);
        manual.out + "\n"
    }

    fn units(&mut self) {
        self.out += "Values with a unit are strings:\n\n";
        for name in ["Period", "Size", "Share", "Network"] {
            let definition = &self.schema["$defs"][name];
            if let (Some(about), Some(example)) =
                (definition["description"].as_str(), definition["examples"][0].as_str())
            {
                let _ = writeln!(self.out, "- {}: `\"{example}\"`. {about}", kind(name));
            }
        }
        self.out += "\n";
    }

    /// The name of the definition that `schema` refers to, if it is a table with keys.
    fn name(&self, schema: &Value) -> Option<String> {
        let referred = |schema: &Value| {
            let name = schema["$ref"].as_str()?.rsplit('/').next()?.to_owned();
            self.schema["$defs"][&name]["properties"].is_object().then_some(name)
        };
        referred(schema)
            .or_else(|| schema["anyOf"].as_array()?.iter().find_map(|choice| self.name(choice)))
            .or_else(|| referred(&schema["items"]))
            .or_else(|| {
                let through = schema["$ref"].as_str()?.rsplit('/').next()?;
                let through = &self.schema["$defs"][through];
                (!through["properties"].is_object() && !through.is_null())
                    .then(|| self.name(through))
                    .flatten()
            })
    }

    /// A section on the table `definition`, whose header is `header` and whose path is `path`.
    fn section(&mut self, level: usize, header: &str, definition: &str, path: &str) {
        let schema = self.schema;
        let table = &schema["$defs"][definition];
        let _ = writeln!(self.out, "{} `{header}`\n", "#".repeat(level));
        if !self.written.insert(definition.to_owned()) {
            self.out += "As above.\n\n";
            return;
        }
        self.paragraph(&table["description"]);
        let none = Map::new();
        let keys = table["properties"].as_object().unwrap_or(&none);
        let mut below = Vec::new();
        for (key, property) in keys {
            let required = table["required"]
                .as_array()
                .is_some_and(|keys| keys.contains(&key.as_str().into()));
            self.key(key, property, required);
            below.extend(self.name(property).map(|name| (key, name)));
        }
        self.out += "\n";
        for (key, name) in below {
            if !self.written.contains(&name) {
                self.section(level + 1, &format!("{path}.{key}"), &name, &format!("{path}.{key}"));
            }
        }
    }

    /// One line on a key: kind, default, bounds, meaning, choices.
    fn key(&mut self, key: &str, property: &Value, required: bool) {
        let _ = write!(self.out, "- **`{key}`**: {}", self.kind(property));
        if required {
            self.out += ", required";
        } else if let Some(default) = property.get("default").filter(|default| !default.is_null()) {
            let _ = write!(self.out, ", default `{default}`");
        }
        let bound = |ours: &str, theirs: &str| match &property[ours] {
            Value::String(bound) => Some(format!("`\"{bound}\"`")),
            _ => property[theirs].as_u64().map(|bound| format!("`{bound}`")),
        };
        // The bounds of a number's type in Rust are nobody's rule.
        let is_rule =
            |bound: &String| !["`255`", "`65535`", "`4294967295`"].contains(&bound.as_str());
        if let (Some(least), Some(most)) =
            (bound("x-least", "minimum"), bound("x-most", "maximum").filter(is_rule))
        {
            let _ = write!(self.out, ", from {least} to {most}");
        }
        self.out += ".";
        if let Some(about) = property["description"].as_str() {
            let _ = write!(self.out, "\n  {}", about.replace("\n\n", "\n").replace('\n', "\n  "));
        }
        self.out += "\n";
        for (word, about) in self.choices(property) {
            let _ = writeln!(self.out, "  - `\"{word}\"`: {about}");
        }
    }

    /// What a value is, in one or two words.
    fn kind(&self, property: &Value) -> String {
        if let Some(name) = property["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
            let definition = &self.schema["$defs"][name];
            return match name {
                "Period" | "Size" | "Share" | "Network" | "Address" => kind(name).to_owned(),
                _ if definition["oneOf"].is_array() || definition["enum"].is_array() => {
                    "word".to_owned()
                }
                _ => self.kind(definition),
            };
        }
        if let Some(choices) = property["anyOf"].as_array() {
            return match choices.as_slice() {
                [one, many] if many["items"] == *one => {
                    format!("{}, or an array of them", self.kind(one))
                }
                choices => {
                    let kinds: Vec<String> =
                        choices.iter().map(|choice| self.kind(choice)).collect();
                    kinds.join(" or ")
                }
            };
        }
        if !property["const"].is_null() {
            return format!("`{}`", property["const"]);
        }
        match property["type"].as_str() {
            Some("array") => match self.kind(&property["items"]).as_str() {
                "range of addresses" => "array of ranges of addresses".to_owned(),
                kind => format!("array of {kind}s"),
            },
            Some("object") => "table".to_owned(),
            Some("integer") => "whole number".to_owned(),
            Some(other) => other.to_owned(),
            None => "value".to_owned(),
        }
    }

    /// The words that a value may be, with their meanings.
    fn choices(&self, property: &Value) -> Vec<(&'s str, &'s str)> {
        let Some(name) = property["$ref"].as_str().and_then(|path| path.rsplit('/').next()) else {
            return Vec::new();
        };
        let choices = self.schema["$defs"][name]["oneOf"].as_array();
        let word = |choice: &'s Value| {
            Some((choice["const"].as_str()?, choice["description"].as_str().unwrap_or_default()))
        };
        choices.into_iter().flatten().filter_map(word).collect()
    }

    fn paragraph(&mut self, text: &Value) {
        if let Some(text) = text.as_str() {
            let _ = writeln!(self.out, "{text}\n");
        }
    }
}

/// What a unit is called.
fn kind(name: &str) -> &str {
    match name {
        "Period" => "duration",
        "Size" => "size",
        "Share" => "share",
        "Network" => "range of addresses",
        "Address" => "address",
        other => other,
    }
}
