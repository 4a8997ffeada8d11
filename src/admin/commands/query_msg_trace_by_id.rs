//! `queryMsgTraceById`.

use ringmq_remoting::codes::topic;

use crate::output::{Cell, Column, Page, Table};
use crate::questions::messages::{Message, Query, no_message};
use crate::questions::resets::time;
use crate::questions::traces::{FIELD_END, RECORD_END};
use crate::session::{Run, Session};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// The id that the producer gave the message.
    #[arg(short = 'i', long = "msgId", value_name = "ID")]
    id: String,
    /// The topic of traces.
    #[arg(short = 't', long = "traceTopic", value_name = "TOPIC", default_value = topic::TRACE)]
    topic: String,
    /// Traces that were stored then or later.
    #[arg(short = 'b', long = "beginTimestamp", value_name = "TIME")]
    begin: Option<String>,
    /// Traces that were stored then or before.
    #[arg(short = 'e', long = "endTimestamp", value_name = "TIME")]
    end: Option<String>,
    /// At most so many of each broker.
    #[arg(short = 'c', long = "maxNum", value_name = "COUNT", default_value_t = 64)]
    max: u32,
}

const SENT: &[Column] = &[
    Column::new("#Type", "type"),
    Column::new("#ProducerGroup", "group"),
    Column::new("#ClientHost", "host"),
    Column::new("#SendTime", "time"),
    Column::new("#CostTimes", "costMs"),
    Column::new("#Status", "status"),
];
const CONSUMED: &[Column] = &[
    Column::new("#Type", "type"),
    Column::new("#ConsumerGroup", "group"),
    Column::new("#ClientHost", "host"),
    Column::new("#ConsumerTime", "time"),
    Column::new("#CostTimes", "costMs"),
    Column::new("#Status", "status"),
];

impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &["-n 127.0.0.1:9876 -i ID"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let begin = self.begin.as_deref().map(time).transpose()?.unwrap_or(0);
        let end = self.end.as_deref().map(time).transpose()?.filter(|end| *end >= 0);
        let (topic, key, max) = (self.topic.as_str(), self.id.trim(), self.max);
        let end = end.unwrap_or(i64::MAX);
        let query = Query { topic, key, max, begin, end, ..Query::default() };
        let found = query.ask(&mut session.client)?;
        if found.is_empty() {
            return Err(no_message(topic, key).into());
        }
        let mut sent = Table::new("sent", SENT);
        let mut consumed = Table::new("consumed", CONSUMED);
        for message in &found {
            for event in events(message, key) {
                if event.kind == "Pub" { &mut sent } else { &mut consumed }.row(event.cells());
            }
        }
        consumed.rows.sort_by(|one, other| one[1].text.cmp(&other[1].text));
        let mut page = Page::default();
        for table in [sent, consumed] {
            if !table.rows.is_empty() || !session.printer.is_for_people() {
                page = page.table(table).text("");
            }
        }
        Ok(page)
    }
}

/// What happened to a message.
#[derive(Debug, PartialEq)]
struct Event<'a> {
    kind: &'static str,
    group: &'a str,
    host: String,
    /// Milliseconds since 1970.
    at: i64,
    cost_ms: i64,
    success: bool,
}

impl Event<'_> {
    fn cells(&self) -> [Cell; 6] {
        [
            self.kind.into(),
            self.group.into(),
            self.host.as_str().into(),
            Cell::time(self.at, "-"),
            Cell::new(format!("{}ms", self.cost_ms), self.cost_ms),
            if self.success { "success" } else { "failed" }.into(),
        ]
    }
}

/// The events of one message in what a client has written down of many: records end with
/// character 2, their fields with character 1.
fn events<'a>(trace: &'a Message, id: &str) -> Vec<Event<'a>> {
    let text = std::str::from_utf8(&trace.body).unwrap_or_default();
    let host = trace.born_host.ip().to_string();
    let records = text.split(RECORD_END).map(|record| record.split(FIELD_END).collect::<Vec<_>>());
    records.filter_map(|fields| event(&fields, id, &host)).collect()
}

fn event<'a>(fields: &[&'a str], id: &str, host: &str) -> Option<Event<'a>> {
    let field = |place: usize| fields.get(place).copied();
    let number = |place: usize| field(place).and_then(|text| text.parse().ok());
    let host = host.to_owned();
    match *fields.first()? {
        "Pub" if field(5) == Some(id) => Some(Event {
            kind: "Pub",
            group: field(3)?,
            host,
            at: number(1)?,
            cost_ms: number(10)?,
            // clients before 4.3 do not tell the message's place in front of it
            success: field(if fields.len() == 13 { 12 } else { 13 })? == "true",
        }),
        "SubAfter" if field(2) == Some(id) => Some(Event {
            kind: "Sub",
            group: field(8).unwrap_or_default(),
            host,
            at: number(7).unwrap_or(0),
            cost_ms: number(3)?,
            success: field(4)? == "true",
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_one_message_are_picked_out() {
        let record = "Pub\u{1}1700000000000\u{1}R\u{1}senders\u{1}T\u{1}ID\u{1}tag\u{1}key\u{1}\
                      10.0.0.1:10911\u{1}5\u{1}3\u{1}0\u{1}OFFSET\u{1}true";
        let fields: Vec<&str> = record.split('\u{1}').collect();
        let found = event(&fields, "ID", "10.0.0.9").expect("an event");
        assert_eq!((found.group, found.cost_ms, found.success), ("senders", 3, true));
        assert_eq!(event(&fields, "OTHER", ""), None);
        let record = "SubAfter\u{1}REQUEST\u{1}ID\u{1}12\u{1}false\u{1}key\u{1}1\u{1}\
                      1700000000500\u{1}payers";
        let fields: Vec<&str> = record.split('\u{1}').collect();
        let found = event(&fields, "ID", "h").expect("an event");
        assert_eq!((found.kind, found.group, found.at), ("Sub", "payers", 1_700_000_000_500));
        assert!(!found.success);
        assert_eq!(event(&["SubAfter"], "ID", "h"), None);
    }
}
