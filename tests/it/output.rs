//! What servers say: a line of the level WARN or ERROR, or a panic, fails a test that did not
//! expect it, and so does an expected one that never came.

use std::sync::Mutex;

/// Lines that every test may meet, each with its reason.
const ALWAYS: &[(&str, &str)] = &[
    ("no name server: clients find this broker", "most tests need none"),
    ("CPUs that this process may use", "tests run with up to four shards on any machine"),
    ("disk fills up: expired segments go", "the machine's disk may be as full as it likes"),
    ("disk nearly full: the oldest segments go", "the machine's disk may be as full as it likes"),
    ("were left out, at most", "what is said often is cut short; its first lines are there"),
    ("this is a container, and", "tests run in containers, too"),
    ("this machine has several addresses", "tests run on any machine"),
    ("this machine: ", "tests run on any machine"),
    ("more shards than CPUs", "tests run with up to four shards on any machine"),
];

/// Lines that a test expects of one process, by a part of each.
#[derive(Default)]
pub struct Expected {
    lines: Mutex<Vec<Line>>,
}

struct Line {
    part: String,
    must_come: bool,
}

impl Line {
    fn is_missing(&self, output: &str) -> bool {
        self.must_come && !output.contains(&self.part)
    }
}

impl Expected {
    /// A line with this part must come.
    pub fn expects(&self, part: &str) {
        self.add(part, true);
    }

    /// Lines with this part may come: whether they do depends on time.
    pub fn allows(&self, part: &str) {
        self.add(part, false);
    }

    fn add(&self, part: &str, must_come: bool) {
        let mut lines = self.lines.lock().expect("no panic while locked");
        lines.push(Line { part: part.to_owned(), must_come });
    }

    /// What is wrong with this output, a problem a line.
    pub fn problems(&self, output: &str) -> Vec<String> {
        let lines = self.lines.lock().expect("no panic while locked");
        let is_expected = |said: &str| {
            ALWAYS.iter().any(|(part, _)| said.contains(part))
                || lines.iter().any(|line| said.contains(&line.part))
        };
        let mut problems: Vec<String> = output
            .lines()
            .filter(|said| is_warning(said) && !is_expected(said))
            .map(|said| format!("unexpected: {said}"))
            .collect();
        for line in lines.iter().filter(|line| line.is_missing(output)) {
            problems.push(format!("expected, but never said: {:?}", line.part));
        }
        problems
    }

    /// Whether a line that must come has not come yet.
    pub fn is_missing(&self, output: &str) -> bool {
        let lines = self.lines.lock().expect("no panic while locked");
        lines.iter().any(|line| line.is_missing(output))
    }
}

/// Log lines are `TIME LEVEL TEXT`.
fn is_warning(line: &str) -> bool {
    let level = line.split_whitespace().nth(1).unwrap_or_default();
    ["WARN", "ERROR"].contains(&level) || line.contains("panicked at")
}

// Single: no server is started.
#[test]
fn lines_that_nobody_expects_are_found_and_missing_ones_too() {
    let output = "2026-11-28T21:56:08.479568Z  WARN no name server: clients find this broker by\n\
                  2026-11-28T21:56:08.479569Z  INFO an ERROR that is none\n\
                  2026-11-28T21:56:08.479570Z  WARN connection closed: bad frame\n\
                  2026-11-28T21:56:08.479571Z ERROR log fenced\n\
                  thread 'shard-0' panicked at src/broker/x.rs:1:1:\n";
    let expected = Expected::default();
    let problems = expected.problems(output);
    assert_eq!(problems.len(), 3, "{problems:?}");
    expected.expects("bad frame");
    expected.allows("log fenced");
    expected.allows("panicked");
    expected.allows("something else");
    assert_eq!(expected.problems(output), Vec::<String>::new());
    expected.expects("disk full");
    assert_eq!(expected.problems(output), ["expected, but never said: \"disk full\""]);
}
