//! `docs/loops.md` says what holds: its tables of limits and of scenarios are made from the program.
//! `UPDATE_EXPECT=1 cargo test --test integration loops::document` writes them.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use session_doctor::engine::detect::loops::{NAMES, limits};

use super::peers::PEERS;
use super::table::of_scenarios;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Returns the first sentence of what a detector's file says of itself, without the full stop.
fn words_of(detector: &str) -> String {
    let path = Path::new(ROOT).join("src/engine/detect/loops").join(detector).with_extension("rs");
    let source = fs::read_to_string(path).unwrap();
    let head: Vec<&str> = source.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim).collect();
    let text = head.join(" ");
    text.split(". ").next().unwrap().trim_end_matches('.').to_owned()
}

fn limits_table() -> String {
    let shown = |count: u32, seconds: i64| match (count, seconds) {
        (0, _) => "never".to_owned(),
        (count, 0) => count.to_string(),
        (count, seconds) => format!("{count}, in {} min at least", seconds / 60),
    };
    let mut text = "| detector | what it counts | warns at | acts at |\n|---|---|--:|--:|\n".to_owned();
    for name in NAMES {
        let (_, limit) = limits::TABLE.iter().find(|(row, _)| row == name).unwrap();
        let (warn, act) = (shown(limit.warn, limit.warn_sec), shown(limit.act, limit.act_sec));
        writeln!(text, "| `{name}` | {} | {warn} | {act} |", words_of(name)).unwrap();
    }
    text
}

fn shipped_table() -> String {
    let mut text =
        "| | interferes at | loops caught, of 14 | ordinary work stopped, of 13 |\n|---|---|--:|--:|\n"
            .to_owned();
    let rules =
        PEERS.iter().map(|peer| peer.rule).chain(["the first limits above", "the second limits above"]);
    for ((name, caught, stopped), rule) in of_scenarios().1.into_iter().zip(rules) {
        writeln!(text, "| {name} | {rule} | {caught} | {stopped} |").unwrap();
    }
    text
}

/// Puts a table between the marks that bear its name.
fn with_table(document: &str, name: &str, table: &str) -> String {
    let (mark, end) = (format!("<!-- {name} -->\n"), "<!-- end -->");
    let (before, rest) = document.split_once(&mark).unwrap_or_else(|| panic!("no {mark}"));
    let (_, after) = rest.split_once(end).unwrap();
    format!("{before}{mark}{table}{end}{after}")
}

#[test]
fn the_document_has_the_tables_of_today() {
    let path = Path::new(ROOT).join("docs/loops.md");
    let document = fs::read_to_string(&path).unwrap();
    let mut fresh = document.clone();
    for (name, table) in
        [("limits", limits_table()), ("shipped", shipped_table()), ("scenarios", of_scenarios().0)]
    {
        fresh = with_table(&fresh, name, &table);
    }
    if env::var_os("UPDATE_EXPECT").is_some_and(|value| value == "1") {
        fs::write(path, fresh).unwrap();
        return;
    }
    for (number, (old, new)) in document.lines().zip(fresh.lines()).enumerate() {
        let again = "UPDATE_EXPECT=1 cargo test --test integration loops::document";
        assert_eq!(old, new, "docs/loops.md:{}; {again}", number + 1);
    }
    assert_eq!(document.lines().count(), fresh.lines().count());
}
