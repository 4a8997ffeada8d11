//! House rules that a compiler does not know, as a test. Each failure names file, line and remedy.

mod walls;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const LINE_COLUMNS_MAX: usize = 100;
const FILE_LINES_MAX: usize = 800;
const FUNCTION_LINES_MAX: usize = 70;

/// All that stands at the top, besides names that begin with a dot and what is made there.
const TOP: &[&str] = &[
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "benchmark",
    "conf",
    "docs",
    "scripts",
    "src",
    "tests",
];
const MADE: &[&str] = &["data", "target"];

/// Files that may be longer, each with its reason.
const LONG_FILES: &[(&str, &str)] = &[];

/// Functions that were longer when the rule came: file, name, lines. They may shrink, not grow.
const LONG_FUNCTIONS: &[(&str, &str, usize)] = &[];

/// What must not be written, where (a prefix of the path), and what to do instead.
const BANNED: &[(&str, &str, &str)] = &[
    ("todo!", "", "write it, or return an error that says what is missing"),
    ("unimplemented!", "", "write it, or return an error that says what is missing"),
    ("dbg!", "", "use tracing"),
    ("TODO", "", "do it, or note it in docs"),
    ("FIXME", "", "fix it, or note it in docs"),
    ("XXX:", "", "fix it, or note it in docs"),
    ("thread::sleep", "src/", "await an event, or a timer of the runtime"),
    ("process::Command", "src/", "servers start no processes"),
    ("unwrap_unchecked", "", "use a checked form"),
    ("transmute", "", "use from_be_bytes and the like"),
];

/// What each crate may use of the others.
const LAYERS: &[(&str, &[&str])] = &[
    ("src/base", &[]),
    ("src/io", &["ringmq-base"]),
    ("src/net", &["ringmq-io"]),
    ("src/tls", &["ringmq-base", "ringmq-io", "ringmq-net"]),
    ("src/remoting", &["ringmq-base"]),
    ("src/store", &["ringmq-base", "ringmq-io"]),
    ("src/namesrv", &["ringmq-base", "ringmq-io", "ringmq-net", "ringmq-remoting", "ringmq-tls"]),
    ("src/rules", &["ringmq-base", "ringmq-remoting"]),
    ("src/replication", &["ringmq-base", "ringmq-io", "ringmq-store"]),
    (
        "src/broker",
        &[
            "ringmq-base",
            "ringmq-io",
            "ringmq-net",
            "ringmq-remoting",
            "ringmq-rules",
            "ringmq-store",
            "ringmq-tls",
        ],
    ),
    ("src/client", &["ringmq-base", "ringmq-remoting", "ringmq-rules", "ringmq-tls"]),
    ("src/admin", &["ringmq-base", "ringmq-client", "ringmq-remoting"]),
    ("benchmark", &["ringmq-base", "ringmq-client", "ringmq-remoting", "ringmq-tls"]),
    ("tests/client", &["ringmq-remoting"]),
    (
        "tests/campaign",
        &[
            "ringmq-base",
            "ringmq-broker",
            "ringmq-io",
            "ringmq-namesrv",
            "ringmq-remoting",
            "ringmq-rules",
            "ringmq-store",
            "ringmq-test-client",
            "ringmq-tls",
        ],
    ),
];

/// The only crates with code that the compiler cannot check, and the only one that knows glommio.
const UNSAFE_ALLOWED: &[&str] = &["src/io/", "src/base/"];
const GLOMMIO_ALLOWED: &str = "src/io/";

/// This file names what it bans.
const SELF: &str = "tests/it/tidy.rs";
const SELF_WALLS: &str = "tests/it/tidy/walls.rs";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Files of these extensions, by their path below the root.
pub fn files(extensions: &[&str]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut directories = vec![root()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("a readable directory") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).expect("UTF-8 names");
            if path.is_dir() {
                let skipped = ["target", "data", "node_modules", ".git", "testdata"];
                if !skipped.contains(&name) && !name.starts_with("target-") {
                    directories.push(path);
                }
            } else if name.rsplit_once('.').is_some_and(|(_, end)| extensions.contains(&end)) {
                let relative = path.strip_prefix(root()).expect("below the root");
                let text = fs::read_to_string(&path)
                    .unwrap_or_else(|error| panic!("{}: {error}", relative.display()));
                found.insert(relative.to_str().expect("UTF-8 names").to_owned(), text);
            }
        }
    }
    found
}

fn report(rule: &str, problems: Vec<String>) {
    assert!(problems.is_empty(), "{rule}:\n{}\n", problems.join("\n"));
}

fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines())
}

#[test]
fn the_top_of_the_tree_is_small() {
    let entries = fs::read_dir(root()).expect("a readable directory");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let names = names.map(|name| name.into_string().expect("UTF-8 names"));
    let is_known = |name: &String| {
        let known = TOP.iter().chain(MADE).any(|known| known == name);
        known || name.starts_with('.') || name.starts_with("target-")
    };
    let problems = names.filter(|name| !is_known(name));
    let problems = problems.map(|name| format!("{name}: move it into one of the folders"));
    report("the top of the tree has few entries", problems.collect());
}

#[test]
fn lines_and_files_are_short() {
    let mut problems = Vec::new();
    for (path, text) in files(&["rs"]) {
        for (number, line) in lines(&text) {
            let columns = line.chars().count();
            if columns > LINE_COLUMNS_MAX {
                problems.push(format!("{path}:{number}: {columns} columns: break the line"));
            }
        }
        let count = text.lines().count();
        if count > FILE_LINES_MAX && !LONG_FILES.iter().any(|(long, _)| *long == path) {
            problems.push(format!("{path}: {count} lines: split it by subject"));
        }
    }
    report("lines have 100 columns at most, files 800 lines", problems);
}

/// Functions with their lines: rustfmt puts the closing brace below the first letter.
fn functions(text: &str) -> Vec<(usize, String, usize)> {
    let all: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in all.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some(place) = words.iter().position(|word| *word == "fn") else {
            continue;
        };
        let modifiers = ["pub", "const", "async", "unsafe", "extern", "\"C\"", "default"];
        if !words[..place].iter().all(|word| modifiers.contains(word) || word.starts_with("pub(")) {
            continue;
        }
        let name = words.get(place + 1).copied().unwrap_or_default();
        let name = name.split(['(', '<']).next().unwrap_or_default();
        let Some(opening) = all[start..].iter().position(|line| line.ends_with(['{', ';', '}']))
        else {
            continue;
        };
        if !all[start + opening].ends_with('{') {
            continue;
        }
        let closing = format!("{}}}", " ".repeat(indent));
        let end = all[start..].iter().position(|line| *line == closing);
        found.push((start + 1, name.to_owned(), end.map_or(0, |end| end + 1)));
    }
    found
}

#[test]
fn functions_are_short() {
    let mut problems = Vec::new();
    for (path, text) in files(&["rs"]) {
        for (number, name, count) in functions(&text) {
            let known =
                LONG_FUNCTIONS.iter().find(|(file, long, _)| *file == path && *long == name);
            let limit = known.map_or(FUNCTION_LINES_MAX, |(.., lines)| *lines);
            if count > limit {
                problems.push(format!("{path}:{number}: {name}: {count} lines, at most {limit}"));
            }
        }
    }
    report("functions have 70 lines at most", problems);
}

#[test]
fn tests_of_behaviour_run_with_several_shards() {
    let mut problems = Vec::new();
    for (path, text) in files(&["rs"]) {
        if !path.starts_with("tests/it/") || [SELF, SELF_WALLS].contains(&path.as_str()) {
            continue;
        }
        for (number, name) in single_tests(&text) {
            problems.push(format!(
                "{path}:{number}: {name}: let it take `shards: u32` and list it in for_shards!, or \
                 say why one run is enough above #[test]: `// Single: why`"
            ));
        }
    }
    report("tests of behaviour run with 1, 2 and 4 shards", problems);
}

/// Tests outside of `for_shards!` that do not say why, with their lines.
fn single_tests(text: &str) -> Vec<(usize, String)> {
    let all: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, _) in all.iter().enumerate().filter(|(_, line)| **line == "#[test]") {
        let above = all[..at].iter().rev().take_while(|line| line.starts_with("//"));
        if !above.into_iter().any(|line| line.starts_with("// Single: ")) {
            let name = all.get(at + 1).copied().unwrap_or_default();
            found.push((at + 1, name.trim_end_matches("() {").replace("fn ", "")));
        }
    }
    found
}

#[test]
fn nothing_banned_is_written() {
    let mut problems = Vec::new();
    for (path, text) in files(&["rs"]) {
        for (word, prefix, remedy) in BANNED {
            // a prefix means the servers, not the tests of their crates
            let is_test = !prefix.is_empty() && path.contains("/tests/");
            if [SELF, SELF_WALLS].contains(&path.as_str()) || is_test || !path.starts_with(prefix) {
                continue;
            }
            for (number, line) in lines(&text) {
                if line.contains(word) && !(word.ends_with('!') && is_part_of_a_word(line, word)) {
                    problems.push(format!("{path}:{number}: {word}: {remedy}"));
                }
            }
        }
    }
    report("banned", problems);
}

fn is_part_of_a_word(line: &str, word: &str) -> bool {
    let before = line.split(word).next().and_then(|before| before.chars().last());
    before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_')
}

#[test]
fn unsafe_code_and_glommio_stay_where_they_belong() {
    let mut problems = Vec::new();
    for (path, text) in files(&["rs"]) {
        if path == SELF {
            continue;
        }
        for (number, line) in lines(&text) {
            let code = line.split("//").next().unwrap_or_default();
            let unchecked = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe trait", "unsafe("];
            if unchecked.iter().any(|word| code.contains(word))
                && !UNSAFE_ALLOWED.iter().any(|allowed| path.starts_with(allowed))
            {
                problems.push(format!("{path}:{number}: unsafe: only in {UNSAFE_ALLOWED:?}"));
            }
            if code.contains("glommio::") && !path.starts_with(GLOMMIO_ALLOWED) {
                problems.push(format!("{path}:{number}: glommio: use the traits of ringmq-io"));
            }
        }
        let is_root = path.ends_with("/lib.rs") || path.ends_with("main.rs");
        let exempt = UNSAFE_ALLOWED.iter().any(|allowed| path.starts_with(allowed));
        if is_root && !exempt && !text.contains("#![forbid(unsafe_code)]") {
            problems.push(format!("{path}: begin it with #![forbid(unsafe_code)]"));
        }
    }
    report("unsafe code and glommio", problems);
}

/// Names of the dependencies in a manifest; those for tests do not count.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut inside = false;
    let mut names = BTreeSet::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.contains("dependencies]") && !line.contains("dev-dependencies]");
        } else if inside && let Some((name, _)) = line.split_once(['.', '=', ' ']) {
            names.insert(name.trim().to_owned());
        }
    }
    names
}

#[test]
fn crates_use_only_lower_layers() {
    let mut problems = Vec::new();
    for (path, text) in files(&["toml"]) {
        let Some(directory) = path.strip_suffix("/Cargo.toml") else {
            continue;
        };
        let used = dependencies(&text);
        if used.contains("glommio") && !path.starts_with(GLOMMIO_ALLOWED) {
            problems.push(format!("{path}: glommio: use the traits of ringmq-io"));
        }
        if text.contains("[package]") && !text.contains("[lints]\nworkspace = true") {
            problems.push(format!("{path}: add [lints] workspace = true"));
        }
        match LAYERS.iter().find(|(layer, _)| *layer == directory) {
            None => problems.push(format!("{path}: say in {SELF} what it may use")),
            Some((_, allowed)) => {
                let own = used.iter().filter(|name| name.starts_with("ringmq-"));
                for name in own.filter(|name| !allowed.contains(&name.as_str())) {
                    problems.push(format!("{path}: {name}: only {allowed:?} lie below it"));
                }
            }
        }
    }
    report("layers", problems);
}

/// Modules that a file declares: `mod name;`, and the file of a `#[path]`.
fn declared(text: &str) -> Vec<(String, Option<String>)> {
    let mut path = None;
    let mut found = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("#[path = \"") {
            path = rest.strip_suffix("\"]").map(str::to_owned);
        } else if let Some(declaration) = line.strip_suffix(';') {
            let words: Vec<&str> = declaration.split_whitespace().collect();
            if let [visibility @ .., "mod", name] = words.as_slice()
                && visibility.iter().all(|word| word.starts_with("pub") || word.ends_with(')'))
            {
                found.push(((*name).to_owned(), path.take()));
            }
        }
    }
    found
}

fn is_crate_root(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    let directory = path.rsplit('/').nth(1).unwrap_or_default();
    ["lib.rs", "main.rs", "build.rs"].contains(&name)
        || ["tests", "examples", "benches", "bin", "fuzz_targets"].contains(&directory)
            && !path.starts_with("tests/")
}

#[test]
fn no_file_is_left_out_of_the_build() {
    let all = files(&["rs"]);
    let mut reached: BTreeSet<String> = BTreeSet::new();
    let mut open: Vec<String> = all.keys().filter(|path| is_crate_root(path)).cloned().collect();
    while let Some(path) = open.pop() {
        let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        let home = if is_crate_root(&path) || path.ends_with("/mod.rs") {
            directory.to_owned()
        } else {
            path.trim_end_matches(".rs").to_owned()
        };
        for (name, file) in declared(&all[&path]) {
            let candidates = match file {
                Some(file) => vec![format!("{directory}/{file}")],
                None => vec![format!("{home}/{name}.rs"), format!("{home}/{name}/mod.rs")],
            };
            for candidate in candidates {
                let candidate = candidate.trim_start_matches('/').to_owned();
                if all.contains_key(&candidate) && !reached.contains(&candidate) {
                    open.push(candidate);
                }
            }
        }
        reached.insert(path);
    }
    let dead = all.keys().filter(|path| !reached.contains(*path));
    report(
        "files that no module declares",
        dead.map(|path| format!("{path}: declare it with `mod`, or delete it")).collect(),
    );
}

#[test]
fn sources_are_ascii() {
    let mut problems = Vec::new();
    for (path, text) in files(&["rs", "toml", "py", "go", "java", "js", "sh", "xml", "conf"]) {
        for (number, line) in lines(&text).filter(|(_, line)| !line.is_ascii()) {
            let letter = line.chars().find(|letter| !letter.is_ascii()).expect("there is one");
            problems.push(format!("{path}:{number}: {letter:?}: write it in ASCII or escaped"));
        }
    }
    report("sources are ASCII, test data aside", problems);
}

#[test]
fn links_of_the_documents_lead_somewhere() {
    let mut problems = Vec::new();
    for (path, text) in files(&["md"]) {
        let directory = root().join(&path).parent().expect("a directory").to_owned();
        let mut in_code = false;
        for (number, line) in lines(&text) {
            in_code ^= line.trim_start().starts_with("```");
            if in_code {
                continue;
            }
            for link in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let file = link.split('#').next().unwrap_or_default();
                let remote = link.contains("://") || link.starts_with("mailto:");
                if !remote && !file.is_empty() && !directory.join(file).exists() {
                    problems.push(format!("{path}:{number}: {link}: there is no such file"));
                }
            }
        }
    }
    report("links", problems);
}

#[test]
fn the_rules_find_what_they_look_for() {
    let text = "fn a() {\n    x();\n}\ntrait T {\n    fn b(&self);\n    \
                pub async fn c() {\n    }\n}\n";
    let expected = [(1, "a".to_owned(), 3), (6, "c".to_owned(), 2)];
    assert_eq!(functions(text), expected);
    let manifest = "[package]\nname = \"x\"\n[dependencies]\nringmq-base.workspace = true\n\
                    glommio = \"0.9\"\n[dev-dependencies]\ntempfile = \"3\"\n";
    let names: Vec<String> = dependencies(manifest).into_iter().collect();
    assert_eq!(names, ["glommio", "ringmq-base"]);
    let text = "pub mod a;\n#[path = \"x.rs\"]\nmod b;\npub(crate) mod c;\nmod d {}\n";
    let modules = declared(text);
    let names: Vec<&str> = modules.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(modules[1].1.as_deref(), Some("x.rs"));
    let text = "#[test]\nfn a() {\n}\n\n// Single: why\n#[test]\nfn b() {\n}\n";
    assert_eq!(single_tests(text), [(1, "a".to_owned())]);
    assert!(is_part_of_a_word("mytodo!(x)", "todo!") && !is_part_of_a_word("todo!(x)", "todo!"));
}
