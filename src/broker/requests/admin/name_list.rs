//! Answers that are a long list of names, written a few at a time.

use std::sync::Arc;

use ringmq_remoting::fastjson::{self, BODY_BYTES_MAX, BodyTooLong};
use ringmq_rules::refusal::Refusal;

use crate::requests::{Handled, Response};

/// `{"member":["name",...]}`.
pub struct NameList {
    bytes: Vec<u8>,
    /// Of all that was written, also when it is too much to be held.
    length: usize,
    empty: bool,
}

impl NameList {
    pub fn new(member: &str) -> NameList {
        let bytes = format!("{{\"{member}\":[").into_bytes();
        NameList { length: bytes.len(), bytes, empty: true }
    }

    /// Never holds more than a frame carries. Each name is to be added once.
    pub fn add<'a>(&mut self, names: impl IntoIterator<Item = &'a Arc<str>>) {
        for name in names {
            let before = self.bytes.len();
            if !std::mem::replace(&mut self.empty, false) {
                self.bytes.push(b',');
            }
            fastjson::append(&mut self.bytes, &**name);
            self.length += self.bytes.len() - before;
            if self.length > BODY_BYTES_MAX {
                self.bytes.clear();
            }
        }
    }

    /// The answer. `remedy`: what to do if it is too long.
    pub fn answer(mut self, remedy: &str) -> Handled {
        self.bytes.extend_from_slice(b"]}");
        self.length += 2;
        if self.length > BODY_BYTES_MAX {
            let error = BodyTooLong { bytes: self.length };
            return Err(Refusal::system_error(format!("{error}: {remedy}")));
        }
        Ok(Response::with_body(self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_a_list_and_too_many_are_refused() {
        let names = |from: usize, to: usize| -> Vec<Arc<str>> {
            (from..to).map(|number| Arc::from(format!("\"{number:0>254}"))).collect()
        };
        let none = NameList::new("groupList").answer("").expect("short");
        assert_eq!(none.body, b"{\"groupList\":[]}");
        let mut list = NameList::new("groupList");
        list.add(&[Arc::from("a")]);
        list.add(&[Arc::from("b\""), Arc::from("c")]);
        let answer = list.answer("").expect("short");
        assert_eq!(answer.body, br#"{"groupList":["a","b\"","c"]}"#);
        let mut list = NameList::new("groupList");
        for from in (0..100_000).step_by(1000) {
            list.add(&names(from, from + 1000));
            assert!(list.bytes.len() <= BODY_BYTES_MAX);
        }
        let refusal = list.answer("ask for less").expect_err("too long");
        // A quote is two bytes, with two around the name and a comma.
        let bytes = 100_000 * (254 + 5) - 1 + 16;
        for part in [&*format!("the answer has {bytes} bytes"), "ask for less"] {
            assert!(refusal.remark.contains(part), "{part}: {}", refusal.remark);
        }
    }
}
