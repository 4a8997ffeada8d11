//! `dlq list`.

use jiff::Timestamp;
use ringmq_client::CallError;
use ringmq_remoting::codes::response;
use ringmq_remoting::codes::topic::DLQ_PREFIX;

use super::letters::queues;
use crate::output::{Cell, Column, Page, Table};
use crate::questions::messages::Queue;
use crate::questions::topics;
use crate::session::Session;

const HOUR_MS: i64 = 3_600_000;

#[derive(clap::Args, Debug)]
pub struct Options {
    /// Only this group.
    #[arg(short = 'g', long, value_name = "GROUP")]
    group: Option<String>,
}

const COLUMNS: &[Column] = &[
    Column::new("#Group", "group"),
    Column::new("#Messages", "messages").right(),
    Column::new("#LastHour", "lastHour").right(),
    Column::new("#Oldest", "oldest"),
    Column::new("#Newest", "newest"),
    Column::new("#NewestAge", "newestAgeSeconds").right(),
];

impl Options {
    pub fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let groups: Vec<String> = match &self.group {
            Some(group) => vec![group.clone()],
            None => {
                let topics = topics(&mut session.client)?;
                let groups = topics.iter().filter_map(|topic| topic.strip_prefix(DLQ_PREFIX));
                groups.map(str::to_owned).collect()
            }
        };
        let mut table = Table::new("groups", COLUMNS);
        let mut problems = Vec::new();
        for group in groups {
            match Letters::of(session, &group) {
                Ok(letters) => table.row(letters.cells(&group)),
                Err(problem) => problems.push(problem),
            }
        }
        let mut page = Page::default();
        if !table.rows.is_empty() || problems.is_empty() {
            page = page.table(table);
        }
        page.problems = problems;
        Ok(page)
    }
}

/// The dead letters of a group, added up.
#[derive(Default)]
struct Letters {
    messages: i64,
    last_hour: i64,
    /// Milliseconds since 1970.
    oldest: Option<i64>,
    newest: Option<i64>,
}

impl Letters {
    fn of(session: &mut Session, group: &str) -> anyhow::Result<Letters> {
        let client = &mut session.client;
        let hour_ago = Timestamp::now().as_millisecond() - HOUR_MS;
        let mut all = Letters::default();
        for queue in queues(client, group)? {
            let (min, max) = (queue.min(client)?, queue.max(client)?);
            if min >= max {
                continue;
            }
            all.messages += max - min;
            all.last_hour += max - queue.at(client, hour_ago)?.clamp(min, max);
            let mut stored = |queue: &Queue, offset| -> anyhow::Result<Option<i64>> {
                match queue.pull(client, offset, 1, "*") {
                    Ok(found) => Ok(found.messages.first().map(|message| message.stored)),
                    Err(error) => match error.downcast_ref() {
                        Some(CallError::Refused { code: response::NO_PERMISSION, .. }) => Ok(None),
                        _ => Err(error),
                    },
                }
            };
            let (first, last) = (stored(&queue, min)?, stored(&queue, max - 1)?);
            all.oldest = [all.oldest, first].into_iter().flatten().min();
            all.newest = all.newest.max(last);
        }
        Ok(all)
    }

    fn cells(&self, group: &str) -> [Cell; 6] {
        let now = Timestamp::now().as_millisecond();
        let age = self.newest.map(|newest| now.saturating_sub(newest).max(0) / 1_000);
        let time = |time: Option<i64>| Cell::time(time.unwrap_or(0), "-");
        [
            group.into(),
            self.messages.into(),
            self.last_hour.into(),
            time(self.oldest),
            time(self.newest),
            age.map_or_else(|| Cell::missing("-"), |age| Cell::new(in_words(age), age)),
        ]
    }
}

/// Seconds as people say them.
fn in_words(seconds: i64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}
