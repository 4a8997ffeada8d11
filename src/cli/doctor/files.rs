//! Where the texts of `/proc` and `/sys` come from: this machine, or for tests another one.

use std::fs;

pub trait Files {
    /// The whole file; `None` if it is not there or cannot be read.
    fn text(&self, path: &str) -> Option<String>;

    /// Names in a directory, sorted; none if it is not there.
    fn names(&self, directory: &str) -> Vec<String>;

    /// A file with one word or number, without blanks around it.
    fn word(&self, path: &str) -> Option<String> {
        Some(self.text(path)?.trim().to_owned())
    }

    fn number(&self, path: &str) -> Option<u64> {
        self.word(path)?.parse().ok()
    }
}

/// This machine.
pub struct Own;

impl Files for Own {
    fn text(&self, path: &str) -> Option<String> {
        fs::read_to_string(path).ok()
    }

    fn names(&self, directory: &str) -> Vec<String> {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort_unstable();
        names
    }
}

/// The one in brackets of a file such as `always [madvise] never`.
pub fn chosen(text: &str) -> Option<&str> {
    text.split_once('[')?.1.split_once(']').map(|(chosen, _)| chosen)
}

#[cfg(test)]
pub mod testing {
    use std::collections::BTreeMap;

    use super::Files;

    /// Files of a machine, written as `== PATH` before the text of each.
    pub struct Other(BTreeMap<String, String>);

    impl Other {
        pub fn new(texts: &str) -> Other {
            let mut files = Other(BTreeMap::new());
            files.add(texts);
            files
        }

        /// Adds files, and replaces those that are there.
        pub fn add(&mut self, texts: &str) {
            for part in texts.split("== ").skip(1) {
                let (path, text) = part.split_once('\n').expect("a text behind the path");
                self.0.insert(path.to_owned(), text.to_owned());
            }
        }

        pub fn with(mut self, texts: &str) -> Other {
            self.add(texts);
            self
        }
    }

    impl Files for Other {
        fn text(&self, path: &str) -> Option<String> {
            self.0.get(path).cloned()
        }

        fn names(&self, directory: &str) -> Vec<String> {
            let below = self.0.keys().filter_map(|path| {
                let rest = path.strip_prefix(directory)?.strip_prefix('/')?;
                Some(rest.split('/').next()?.to_owned())
            });
            let mut names: Vec<String> = below.collect();
            names.dedup();
            names
        }
    }

    /// A virtual machine in a cloud with a device of its own for data.
    pub const CLOUD: &str = include_str!("testdata/cloud.txt");
    /// A container of a cluster of such machines, with limits.
    pub const CONTAINER: &str = include_str!("testdata/container.txt");
    /// An old machine under somebody's desk.
    pub const DESK: &str = include_str!("testdata/desk.txt");
}
