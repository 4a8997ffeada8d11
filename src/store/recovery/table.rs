//! The cases of recovery, one row each.

/// How the end of a log was found, or why it is not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Case {
    New,
}

impl Case {
    pub fn label(self) -> &'static str {
        "new"
    }
    pub fn remedy(self) -> &'static str {
        ""
    }
}
