//! Answers that list a whole table of topics or groups. They are made a few entries at a time, so
//! that a large table holds the shard no longer than a small one. Each entry is as it is when it
//! is written; the version is from before, so that whoever compares it later asks once too often
//! rather than never again.

use std::{ops::Bound, sync::Arc};

use ringmq_remoting::{body::DataVersion, fastjson};
use ringmq_rules::meta;
use serde::Serialize;

use super::body::{PartedBody, version};
use crate::requests::Handled;

/// Entries that are written without a pause: some 100 us.
const SLICE_ENTRIES: usize = 64;
/// Bytes after which there is a pause whatever the number of entries: attributes may be long.
const SLICE_BYTES: usize = 128 * 1024;

/// A table by name and its version, as JSON.
pub struct TableBody {
    body: PartedBody,
    version: DataVersion,
    /// The last name.
    last: Option<Arc<str>>,
    complete: bool,
}

impl TableBody {
    /// Writes all entries as the member `table`. `write` hands [`TableBody::add`] those behind a
    /// name, as often as it takes, and `pause` lets other tasks run in between. `taken`: the
    /// version, read before the first entry.
    pub async fn write(
        table: &str,
        taken: meta::DataVersion,
        mut write: impl FnMut(&mut TableBody, Bound<&str>),
        pause: impl AsyncFn(),
    ) -> TableBody {
        let begin = PartedBody::new(format!("{{\"{table}\":{{").into_bytes());
        let version = version(taken);
        let mut body = TableBody { body: begin, version, last: None, complete: false };
        loop {
            let last = body.last.clone();
            write(&mut body, last.as_deref().map_or(Bound::Unbounded, Bound::Excluded));
            if body.complete {
                return body;
            }
            pause().await;
        }
    }

    /// Writes the first of the entries; if there are more, it is asked for them again.
    pub fn add<'a, T: Serialize>(&mut self, entries: impl Iterator<Item = (&'a Arc<str>, T)>) {
        let mut slice = Vec::new();
        self.complete = true;
        for (count, (name, entry)) in entries.enumerate() {
            if count == SLICE_ENTRIES || slice.len() >= SLICE_BYTES {
                self.complete = false;
                break;
            }
            if self.last.is_some() {
                slice.push(b',');
            }
            fastjson::append(&mut slice, &**name);
            slice.push(b':');
            fastjson::append(&mut slice, &entry);
            self.last = Some(name.clone());
        }
        self.body.add(&slice);
    }

    /// The answer. `remedy`: what to do if it is too long.
    pub fn answer(mut self, remedy: &str) -> Handled {
        let mut end = b"},\"dataVersion\":".to_vec();
        fastjson::append(&mut end, &self.version);
        end.push(b'}');
        self.body.add(&end);
        self.body.answer(remedy)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::{Cell, RefCell},
        collections::BTreeMap,
    };

    use futures_lite::future::block_on;
    use ringmq_remoting::{body::TopicConfigSerializeWrapper, fastjson::BODY_BYTES_MAX};
    use ringmq_rules::topics::Topic;

    use super::*;

    type Topics = RefCell<BTreeMap<Arc<str>, Topic>>;

    fn topics(count: usize, name: impl Fn(usize) -> String) -> Topics {
        let topic = |number| Topic::new(&name(number), 8, 6);
        RefCell::new((0..count).map(topic).map(|topic| (topic.name.clone(), topic)).collect())
    }

    /// The answer, and the most entries that were written without a pause.
    fn listed(topics: &Topics, pause: impl Fn()) -> (Handled, usize) {
        let (written, most) = (Cell::new(0), Cell::new(0));
        let write = |body: &mut TableBody, after: Bound<&str>| {
            let topics = topics.borrow();
            body.add(topics.range::<str, _>((after, Bound::Unbounded)).map(|(name, topic)| {
                written.set(written.get() + 1);
                most.set(most.get().max(written.get()));
                (name, topic.config())
            }));
        };
        let pause = async || {
            written.set(0);
            pause();
        };
        let version = meta::DataVersion::default();
        let body = block_on(TableBody::write("topicConfigTable", version, write, pause));
        (body.answer("delete some"), most.get())
    }

    fn names(answer: Handled) -> Vec<String> {
        let body = answer.expect("fits a frame").body;
        let table: TopicConfigSerializeWrapper = fastjson::from_slice(&body).expect("a table");
        let text = String::from_utf8(body).expect("text");
        let topics = text.split(r#""topicName":""#).skip(1);
        let names: Vec<_> = topics.filter_map(|rest| rest.split('"').next()).collect();
        assert_eq!(names.len(), table.topic_config_table.len(), "each name once");
        names.into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn a_large_table_is_written_a_few_entries_at_a_time() {
        let topics = topics(20_000, |number| format!("topic-{number:05}"));
        let (answer, most) = listed(&topics, || {});
        assert_eq!(names(answer).len(), 20_000);
        // One more is looked at, to see that there is one.
        assert_eq!(most, SLICE_ENTRIES + 1);
    }

    #[test]
    fn a_table_that_changes_meanwhile_is_listed_once_and_in_order() {
        let topics = topics(1_000, |number| format!("topic-{number:05}"));
        let (first, last) = (Cell::new(0), Cell::new(1_000));
        let pause = || {
            let mut topics = topics.borrow_mut();
            topics.remove(&*format!("topic-{:05}", first.get()));
            let added = Topic::new(&format!("topic-{:05}", last.get()), 8, 6);
            topics.insert(added.name.clone(), added);
            first.set(first.get() + 1);
            last.set(last.get() + 1);
        };
        let names = names(listed(&topics, pause).0);
        assert_eq!(names.len(), last.get());
        assert!(names.is_sorted());
    }

    #[test]
    fn empty_and_full_slices_end_as_they_should() {
        for count in [0, 1, SLICE_ENTRIES, SLICE_ENTRIES + 1, 2 * SLICE_ENTRIES] {
            let (answer, _) = listed(&topics(count, |number| format!("t{number}")), || {});
            assert_eq!(names(answer).len(), count);
        }
    }

    /// D8: an answer that fits no frame is a sentence, and is never held as a whole.
    #[test]
    fn a_table_that_fits_no_frame_is_refused_with_its_size() {
        let long = |number| format!("{number:0>255}");
        assert!(listed(&topics(1_000, long), || {}).0.is_ok());
        let refusal = listed(&topics(100_000, long), || {}).0.expect_err("too long");
        for part in ["the answer has 6", &format!("carries {BODY_BYTES_MAX}"), "delete some"] {
            assert!(refusal.remark.contains(part), "{part}: {}", refusal.remark);
        }
    }
}
