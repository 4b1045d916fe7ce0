//! Purging: the orders that are taken, those that are not, and the receipts.

use serde_json::{Value, json};

use super::cli::{at_terminal, run};
use super::{all_to, metrics, operate, service, value};
use crate::door::Door;

#[track_caller]
fn purge(door: &Door, order: &Value) -> (u16, Value) {
    let answer = operate(door, "POST", "/api/purge", &order.to_string());
    (answer.status, answer.json())
}

#[test]
fn a_purge_is_answered_with_a_receipt() {
    let door = Door::start(&all_to(service("it")));
    let (status, first) = purge(&door, &json!({ "tags": ["article-7", "front"] }));
    assert_eq!((status, &first["purged"], &first["soft"]), (200, &json!(2), &json!(false)));
    let (_, second) = purge(&door, &json!({ "prefixes": ["http://h/a"], "soft": true }));
    assert_eq!((&second["purged"], &second["soft"]), (&json!(1), &json!(true)));
    let generation = |receipt: &Value| receipt["nodes"][0]["generation"].as_u64();
    assert_eq!((generation(&first), generation(&second)), (Some(2), Some(3)));
    assert_eq!(second["nodes"][0]["prefixes"], json!(1));
    assert!(second["nodes"][0]["node"].as_str().is_some_and(|name| !name.is_empty()));
    let all = json!({ "all": true, "urls": ["https://H:443"] });
    assert_eq!(generation(&purge(&door, &all).1), Some(5));
    let metrics = metrics(&door);
    assert_eq!(value(&metrics, "doorward_cache_purges_total"), 5.0);
    assert_eq!(value(&metrics, "doorward_cache_generation"), 5.0);
}

#[test]
fn an_order_that_says_nothing_clear_changes_nothing() {
    let door = Door::start(&all_to(service("it")));
    for (order, why) in [
        (json!({}), "name `urls`, `tags` or `prefixes`, or say `all`"),
        (json!({ "soft": true }), "name `urls`, `tags` or `prefixes`, or say `all`"),
        (json!({ "urls": ["/a"] }), "`/a` is not a URL: it begins with http:// or https://"),
        (json!({ "tags": ["a"], "prefixes": ["h/a"] }), "`h/a` is not a URL"),
        (json!({ "tags": vec!["a"; 1001] }), "one order names at most 1000 things"),
        (json!({ "tag": "a" }), "unknown field `tag`"),
        (json!("all"), "invalid type"),
    ] {
        let (status, problem) = purge(&door, &order);
        assert_eq!(status, 400, "{order}");
        assert!(problem["title"].as_str().is_some_and(|title| title.contains(why)), "{problem}");
    }
    let cache = operate(&door, "GET", "/api/cache", "").json();
    assert_eq!(
        (&cache["memory"]["purges"], &cache["memory"]["generation"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(operate(&door, "GET", "/api/purge", "").status, 405);
    assert_eq!(operate(&door, "POST", "/api/cache", "").status, 405);
}

#[test]
fn the_memory_follows_the_configuration() {
    let config = |size: &str| format!("[cache]\nmemory = \"{size}\"\n{}", all_to(service("it")));
    let door = Door::start(&config("16MiB"));
    let limit = || value(&metrics(&door), "doorward_cache_memory_limit_bytes");
    assert_eq!(limit(), 16_777_216.0);
    door.rewrite(&config("8MiB"));
    assert_eq!(operate(&door, "POST", "/api/reload", "").status, 200);
    assert_eq!(limit(), 8_388_608.0);
}

#[test]
fn the_command_line_purges_and_shows_the_receipt() {
    let door = Door::start(&all_to(service("it")));
    let admin = door.admin.to_string();
    let (code, out, err) =
        run(&door.folder, &["purge", "--tag", "a", "http://h/a", "--admin", &admin]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let receipt: Value = serde_json::from_str(&out).expect("JSON when piped");
    assert_eq!((&receipt["purged"], &receipt["nodes"][0]["generation"]), (&json!(2), &json!(2)));
    assert_eq!(receipt["nodes"][0]["responses"], json!(0));
    let text = at_terminal(&door.folder, &["purge", "--all", "--soft", "--admin", &admin]);
    assert!(text.starts_with("purged softly on ") && text.ends_with(": generation 3\n"), "{text}");
    let (code, _, err) = run(&door.folder, &["purge", "--admin", &admin]);
    assert_eq!(code, Some(2));
    assert!(err.contains("give a URL, --tag, --prefix, or --all"), "{err}");
    let (code, _, err) = run(&door.folder, &["purge", "/a", "--admin", &admin]);
    assert_eq!(code, Some(1));
    assert!(err.contains("`/a` is not a URL"), "{err}");
    let table = at_terminal(&door.folder, &["cache", "--admin", &admin]);
    assert!(
        table.starts_with("in all  0 requests  no hits yet  0.0 s saved\nmemory  0 objects  ")
            && table.contains("  3 purges\n"),
        "{table}"
    );
}
