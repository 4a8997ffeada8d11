//! Walls between the folders of a crate: each uses only what the table lists for it, and nothing
//! that stands above it.

use super::{SELF_WALLS, files, report};

/// Anything of the crate: for its tests, and for what puts the folders together.
const ALL: &[&str] = &["*"];

/// Of a crate: each folder (or file) beside its `lib.rs`, from the top down, and what it may name
/// after `crate::`. The folder itself needs no mention.
type Walls = (&'static str, &'static [(&'static str, &'static [&'static str])]);

const WALLS: &[Walls] = &[
    (
        "src/broker",
        &[
            ("testing", ALL),
            ("server", &["access", "run", "parts", "shard", "messages", "budgets", "sizes"]),
            ("access", &["shard", "messages"]),
            ("simulation", &["run", "parts", "shard", "messages"]),
            ("parts", &["run", "shard", "messages"]),
            (
                "run",
                &[
                    "requests",
                    "metrics",
                    "control",
                    "engines",
                    "shard",
                    "net",
                    "messages",
                    "injected_bugs",
                ],
            ),
            ("requests", &["control", "shard", "net", "messages", "injected_bugs"]),
            ("metrics", &["control", "shard", "messages"]),
            ("control", &["shard", "messages", "injected_bugs"]),
            ("engines", &["shard", "messages", "injected_bugs"]),
            ("shard", &["net", "messages", "sizes", "injected_bugs"]),
            ("net", &[]),
            ("messages", &[]),
            ("budgets", &["sizes"]),
            ("sizes", &[]),
            ("injected_bugs", &[]),
        ],
    ),
    (
        "src/admin",
        &[
            ("run", &["table", "session", "output"]),
            ("manual", &[]),
            ("table", &["commands", "session", "output"]),
            ("commands", &["session", "target", "pipes", "questions", "output"]),
            ("target", &["questions"]),
            ("pipes", &["session", "questions"]),
            ("questions", &["session", "output"]),
            ("session", &["output"]),
            ("output", &[]),
        ],
    ),
    (
        "src/store",
        &[
            ("testing", ALL),
            (
                "lifecycle",
                &["tasks", "retire", "recovery", "log", "keys", "index", "cache", "files", "api"],
            ),
            ("tasks", &["check", "log", "keys", "index", "files", "api"]),
            ("retire", &["read", "log", "index", "cache", "files", "api"]),
            ("read", &["log", "keys", "index", "cache", "files", "api"]),
            ("recovery", &["log", "keys", "index", "files", "api"]),
            ("check", &["meta", "keys", "index", "files", "api"]),
            ("log", &["keys", "index", "cache", "files", "api"]),
            ("meta", &["files", "api"]),
            ("keys", &["files", "api"]),
            ("index", &["files", "api"]),
            ("cache", &[]),
            ("files", &["api"]),
            ("api", &[]),
        ],
    ),
    (
        "src/replication",
        &[
            ("testing", ALL),
            ("streams", &["frames", "epochs", "progress", "in_sync_set", "ids"]),
            ("frames", &["epochs", "ids"]),
            ("election", &["takeover", "group", "in_sync_set", "ids"]),
            ("group", &["in_sync_set", "ids"]),
            ("takeover", &["in_sync_set", "ids"]),
            ("progress", &["in_sync_set", "ids"]),
            ("in_sync_set", &["ids"]),
            ("follower", &["ids"]),
            ("epochs", &["ids"]),
            ("ids", &[]),
        ],
    ),
];

/// What stands behind each `crate::`, with its line: the first name of the path, or of every path
/// of a group. Comments do not count.
fn crate_names(text: &str) -> Vec<(usize, String)> {
    let code: Vec<&str> =
        text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let code = code.join("\n");
    let mut found = Vec::new();
    for (at, prefix) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|letter| letter.is_alphanumeric() || "_$".contains(letter)) {
            continue;
        }
        let number = 1 + code[..at].matches('\n').count();
        let rest = &code[at + prefix.len()..];
        match rest.strip_prefix('{') {
            None => found.push((number, first_name(rest))),
            Some(group) => {
                found.extend(group_names(group).into_iter().map(|name| (number, name)));
            }
        }
    }
    found
}

/// The first name of each path of a group, up to the brace that closes it.
fn group_names(group: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut depth = 0;
    let mut begins = true;
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => begins = true,
            _ if begins && !letter.is_whitespace() => {
                names.push(first_name(&group[at..]));
                begins = false;
            }
            _ => {}
        }
    }
    names
}

fn first_name(path: &str) -> String {
    path.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}

/// The folder or file of a crate that a path is in; `None` if it is not of its library.
fn folder_of<'a>(directory: &str, path: &'a str) -> Option<&'a str> {
    let inside = path.strip_prefix(directory)?.strip_prefix('/')?;
    let folder = inside.split('/').next()?;
    let folder = folder.strip_suffix(".rs").unwrap_or(folder);
    (!["lib", "tests", "examples", "benches", "build"].contains(&folder)).then_some(folder)
}

fn broken_walls((directory, walls): &Walls, path: &str, text: &str) -> Vec<String> {
    let Some(folder) = folder_of(directory, path) else {
        return Vec::new();
    };
    let Some((_, allowed)) = walls.iter().find(|(name, _)| *name == folder) else {
        return vec![format!("{path}: say in {SELF_WALLS} what {folder} may use")];
    };
    let mut problems = Vec::new();
    for (number, name) in crate_names(text) {
        let known = walls.iter().any(|(other, _)| *other == name);
        if *allowed == ALL || name == folder || allowed.contains(&name.as_str()) {
            continue;
        }
        problems.push(if known {
            format!("{path}:{number}: crate::{name}: {folder} may use {allowed:?}")
        } else {
            format!("{path}:{number}: crate::{name}: name the folder that it is in")
        });
    }
    problems
}

#[test]
fn folders_use_only_what_stands_below_them() {
    let mut problems = Vec::new();
    let sources = files(&["rs"]);
    for crate_walls in WALLS {
        let (directory, walls) = crate_walls;
        for (place, (folder, allowed)) in walls.iter().enumerate() {
            let below = &walls[place + 1..];
            let beside = |name: &&&str| !below.iter().any(|(other, _)| other == *name);
            if *allowed != ALL {
                problems.extend(allowed.iter().filter(beside).map(|name| {
                    format!("{SELF_WALLS}: {directory}: {name} does not stand below {folder}")
                }));
            }
            if !sources.keys().any(|path| folder_of(directory, path) == Some(folder)) {
                problems.push(format!("{SELF_WALLS}: {directory}: there is no {folder}"));
            }
        }
        // The tests of a folder may start all of it.
        let is_test = |path: &str| path.ends_with("/tests.rs") || path.contains("/tests/");
        for (path, text) in sources.iter().filter(|(path, _)| !is_test(path)) {
            problems.extend(broken_walls(crate_walls, path, text));
        }
    }
    report("walls", problems);
}

#[test]
fn the_walls_see_every_way_to_name_a_folder() {
    let text = "use crate::{\n    api::{errors::A, options},\n    files,\n};\n\
                // crate::comment\nfn a() { crate::tasks::run(); $crate::macros::x() }\n\
                pub use crate::Log;\n";
    let names = crate_names(text);
    let expected = [(1, "api"), (1, "files"), (6, "tasks"), (7, "Log")];
    assert_eq!(names, expected.map(|(number, name)| (number, name.to_owned())));
    let walls: Walls = ("src/x", &[("tasks", &["api"]), ("api", &[])]);
    let problems = broken_walls(&walls, "src/x/api/errors.rs", "use crate::tasks;\n");
    assert_eq!(problems, ["src/x/api/errors.rs:1: crate::tasks: api may use []"]);
    assert!(broken_walls(&walls, "src/x/tasks/a.rs", "use crate::api;\n").is_empty());
    assert_eq!(broken_walls(&walls, "src/x/tasks/a.rs", "use crate::Api;\n").len(), 1);
    assert_eq!(broken_walls(&walls, "src/x/new.rs", "").len(), 1);
    assert!(broken_walls(&walls, "src/x/lib.rs", "use crate::tasks;\n").is_empty());
}
