//! Every refusal that `docs/ERRORS.md` explains, provoked. The headings of the page are the texts
//! as users meet them, `...` for what differs; each has a row in a table here, which makes the text
//! appear.

mod accounts;
mod answers;
mod commands;
mod elsewhere;
mod logs;
mod names;
mod pipes;
mod registrations;
mod service;
mod starts;
mod subscriptions;
mod tools;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The heading, and what makes the text appear in an answer, a log line or on standard error.
struct Row<Site> {
    heading: &'static str,
    provoke: fn(&mut Site) -> String,
}

const fn row<Site>(heading: &'static str, provoke: fn(&mut Site) -> String) -> Row<Site> {
    Row { heading, provoke }
}

/// Provokes all, and tells of every text that did not come.
fn provoke_all<Site>(rows: &[Row<Site>], site: &mut Site) {
    let mut problems = Vec::new();
    for Row { heading, provoke } in rows {
        let said = provoke(site);
        if !is_said(heading, &said) {
            problems.push(format!("{heading}\n    instead: {said:?}"));
        }
    }
    assert!(problems.is_empty(), "texts that did not come:\n{}", problems.join("\n"));
}

/// Whether the parts of a heading stand in a text, in their order.
fn is_said(heading: &str, text: &str) -> bool {
    let mut rest = text;
    heading.split("...").all(|part| match rest.find(part.trim_matches(' ')) {
        Some(at) => {
            rest = rest.get(at + part.trim_matches(' ').len()..).unwrap_or_default();
            true
        }
        None => false,
    })
}

/// Texts of the page: `### ` and the text between backquotes.
fn headings(page: &str) -> Vec<&str> {
    let lines = page.lines().filter_map(|line| line.strip_prefix("### `"));
    lines.map(|line| line.strip_suffix('`').expect("a heading ends with its backquote")).collect()
}

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ERRORS.md");
    fs::read_to_string(path).expect("the page is there")
}

// Single: no server is started.
#[test]
fn every_heading_has_a_row_and_every_row_a_heading() {
    let page = page();
    let headings = headings(&page);
    let rows: Vec<&str> = answers::headings()
        .chain(tools::headings())
        .chain(accounts::headings())
        .chain(subscriptions::headings())
        .chain(names::headings())
        .chain(registrations::headings())
        .chain(starts::headings())
        .chain(logs::headings())
        .chain(commands::headings())
        .chain(pipes::headings())
        .chain(service::headings())
        .chain(elsewhere::headings())
        .collect();
    for (what, list) in [("heading", &headings), ("row", &rows)] {
        let set: BTreeSet<_> = list.iter().collect();
        assert_eq!(set.len(), list.len(), "a {what} is there twice");
    }
    let missing = |from: &[&str], of: &[&str]| {
        from.iter().filter(|text| !of.contains(text)).map(|text| (*text).to_owned()).collect()
    };
    let without_row: Vec<String> = missing(&headings, &rows);
    let without_heading: Vec<String> = missing(&rows, &headings);
    assert!(
        without_row.is_empty() && without_heading.is_empty(),
        "headings of docs/ERRORS.md that nothing provokes: {without_row:#?}\ntexts that it does \
         not explain: {without_heading:#?}"
    );
    assert!(headings.len() >= 20, "{}", headings.len());
}

// Single: no server is started.
#[test]
fn every_section_says_cause_and_remedy() {
    let page = page();
    for section in page.split("### `").skip(1) {
        let (heading, text) = section.split_once("`\n").expect("a heading");
        for word in ["**Cause**", "**Remedy**"] {
            assert!(text.contains(word), "{heading}: no {word}");
        }
    }
}

// Single: no server is started.
#[test]
fn headings_are_found_in_what_is_said() {
    let said = "code 17: topic[orders] not exist, apply first please!";
    assert!(is_said("topic[...] not exist, apply first please!", said));
    assert!(is_said("topic[...] not exist", said));
    assert!(!is_said("group[...] not exist", said));
    assert!(!is_said("not exist ... topic[", said), "the order counts");
    assert_eq!(headings("# A\n### `b ... c`\ntext\n## d\n"), ["b ... c"]);
}
