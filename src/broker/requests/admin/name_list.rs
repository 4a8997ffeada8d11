//! Answers that are a long list of names, written a few at a time.

use std::sync::Arc;

use ringmq_remoting::fastjson;

use super::body::PartedBody;
use crate::requests::Handled;

/// `{"member":["name",...]}`.
pub struct NameList {
    body: PartedBody,
    empty: bool,
}

impl NameList {
    pub fn new(member: &str) -> NameList {
        let body = PartedBody::new(format!("{{\"{member}\":[").into_bytes());
        NameList { body, empty: true }
    }

    /// Each name is to be added once.
    pub fn add<'a>(&mut self, names: impl IntoIterator<Item = &'a Arc<str>>) {
        let mut part = Vec::new();
        for name in names {
            if !std::mem::replace(&mut self.empty, false) {
                part.push(b',');
            }
            fastjson::append(&mut part, &**name);
        }
        self.body.add(&part);
    }

    /// The answer. `remedy`: what to do if it is too long.
    pub fn answer(mut self, remedy: &str) -> Handled {
        self.body.add(b"]}");
        self.body.answer(remedy)
    }
}

#[cfg(test)]
mod tests {
    use ringmq_remoting::fastjson::BODY_BYTES_MAX;

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
            assert!(list.body.held() <= BODY_BYTES_MAX);
        }
        let refusal = list.answer("ask for less").expect_err("too long");
        // A quote is two bytes, with two around the name and a comma.
        let bytes = 100_000 * (254 + 5) - 1 + 16;
        for part in [&*format!("the answer has {bytes} bytes"), "ask for less"] {
            assert!(refusal.remark.contains(part), "{part}: {}", refusal.remark);
        }
    }
}
