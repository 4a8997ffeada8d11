//! Rates and lags, from two samples.

use super::poll::Sample;
use crate::output::{Cell, Column, Page, Table};

pub const BROKERS: &[Column] = &[
    Column::new("#Broker", "broker"),
    Column::new("#Address", "address"),
    Column::new("#Version", "version"),
    Column::new("#In/s", "inPerSecond").right(),
    Column::new("#Out/s", "outPerSecond").right(),
    Column::new("#Disk%", "diskPercent").right(),
];

pub const TOPICS: &[Column] = &[
    Column::new("#Topic", "topic"),
    Column::new("#In/s", "inPerSecond").right(),
    Column::new("#Lag", "lag").right(),
    Column::new("#Messages", "messages").right(),
];

pub const GROUPS: &[Column] = &[
    Column::new("#Group", "group"),
    Column::new("#Consumed/s", "consumedPerSecond").right(),
    Column::new("#Lag", "lag").right(),
    Column::new("#Inflight", "inflight").right(),
    Column::new("#MostOf", "topic"),
];

/// What rows are sorted by; names break ties.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Sort {
    /// The fastest first.
    #[default]
    Rate,
    /// The greatest lag first.
    Lag,
    Name,
}

/// The state of all between two samples.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    pub brokers: Vec<[Cell; 6]>,
    pub topics: Vec<[Cell; 4]>,
    pub groups: Vec<[Cell; 5]>,
    /// Messages a second, and messages that are yet to be consumed.
    pub total_in: f64,
    pub total_out: f64,
    pub total_lag: i64,
    pub problems: Vec<String>,
}

impl Rows {
    pub fn of(before: &Sample, now: &Sample, sort: Sort) -> Rows {
        let seconds = now.at.duration_since(before.at).as_secs_f64().max(0.001);
        // what starts to count anew, or was not there before, has no rate yet
        let rate = |before: Option<i64>, now: i64| {
            before.map_or(0.0, |before| now.saturating_sub(before).max(0) as f64 / seconds)
        };
        let mut rows = Rows { problems: now.problems.clone(), ..Rows::default() };
        for (name, broker) in &now.brokers {
            let old = before.brokers.get(name);
            let put = rate(old.map(|old| old.put), broker.put);
            let got = rate(old.map(|old| old.got), broker.got);
            rows.total_in += put;
            rows.total_out += got;
            let (name, address) = (name.as_str().into(), broker.address.as_str().into());
            let version = broker.version.as_str().into();
            let disk = Cell::decimal(broker.disk * 100.0, 1);
            rows.brokers.push([name, address, version, per_second(put), per_second(got), disk]);
        }
        for (name, topic) in &now.topics {
            let put = rate(before.topics.get(name).map(|old| old.written), topic.written);
            rows.topics.push([
                name.as_str().into(),
                per_second(put),
                topic.lag.into(),
                topic.kept.into(),
            ]);
        }
        for (name, group) in &now.groups {
            let consumed = rate(before.groups.get(name).map(|old| old.consumed), group.consumed);
            rows.total_lag += group.lag;
            let topic = group.topic.as_str().into();
            let inflight = group.inflight.map_or_else(|| Cell::missing("-"), Cell::from);
            rows.groups.push([
                name.as_str().into(),
                per_second(consumed),
                group.lag.into(),
                inflight,
                topic,
            ]);
        }
        rows.sort(sort);
        rows
    }

    pub fn sort(&mut self, sort: Sort) {
        sort_rows(&mut self.topics, sort);
        sort_rows(&mut self.groups, sort);
    }

    /// For pipes and programs.
    pub fn page(self) -> Page {
        let mut tables = [
            Table::new("brokers", BROKERS),
            Table::new("topics", TOPICS),
            Table::new("groups", GROUPS),
        ];
        let [brokers, topics, groups] = &mut tables;
        self.brokers.into_iter().for_each(|row| brokers.row(row));
        self.topics.into_iter().for_each(|row| topics.row(row));
        self.groups.into_iter().for_each(|row| groups.row(row));
        let [brokers, topics, groups] = tables;
        let mut page = Page::default().table(brokers).text("").table(topics).text("").table(groups);
        page.problems.extend(self.problems.into_iter().map(anyhow::Error::msg));
        page
    }
}

/// Rows with a name, a rate and a lag, in this order.
fn sort_rows<const N: usize>(rows: &mut [[Cell; N]], sort: Sort) {
    let number = |cell: &Cell| cell.value.as_f64().unwrap_or(0.0);
    let [rate, lag] = [1, 2].map(|place: usize| {
        move |one: &[Cell; N], other: &[Cell; N]| {
            number(&other[place]).total_cmp(&number(&one[place]))
        }
    });
    rows.sort_by(|one, other| {
        let name = one[0].text.cmp(&other[0].text);
        match sort {
            Sort::Rate => rate(one, other).then(lag(one, other)).then(name),
            Sort::Lag => lag(one, other).then(rate(one, other)).then(name),
            Sort::Name => name,
        }
    });
}

fn per_second(rate: f64) -> Cell {
    Cell::decimal(rate, 1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::{Duration, Instant};

    use super::super::poll::{Group, Topic};
    use super::*;

    fn sample(at: Instant, topics: &[(&str, i64, i64)], groups: &[(&str, i64, i64)]) -> Sample {
        let topic = |(name, written, lag): &(&str, i64, i64)| {
            ((*name).to_owned(), Topic { written: *written, kept: *written, lag: *lag })
        };
        let group = |(name, consumed, lag): &(&str, i64, i64)| {
            let topic = "T".to_owned();
            let group = Group { consumed: *consumed, lag: *lag, inflight: Some(3), topic };
            ((*name).to_owned(), group)
        };
        Sample {
            at,
            brokers: BTreeMap::new(),
            topics: topics.iter().map(topic).collect(),
            groups: groups.iter().map(group).collect(),
            problems: Vec::new(),
        }
    }

    #[test]
    fn rates_come_from_two_samples_and_sort_rows() {
        let begin = Instant::now();
        let before = sample(begin, &[("a", 100, 0), ("b", 50, 0)], &[("g", 10, 0)]);
        let later = begin + Duration::from_secs(2);
        let now = sample(later, &[("a", 110, 7), ("b", 90, 1), ("c", 999, 0)], &[("g", 30, 8)]);
        let names = |rows: &Rows| rows.topics.iter().map(|row| row[0].text.clone()).collect();
        let mut rows = Rows::of(&before, &now, Sort::Rate);
        let all: Vec<String> = names(&rows);
        assert_eq!(all, ["b", "a", "c"]);
        assert_eq!(rows.topics[0][1].text, "20.0");
        assert_eq!((rows.groups[0][1].text.as_str(), rows.total_lag), ("10.0", 8));
        assert_eq!(rows.groups[0][3].text, "3");
        rows.sort(Sort::Lag);
        let all: Vec<String> = names(&rows);
        assert_eq!(all, ["a", "b", "c"]);
        // a broker that has lost its count does not go backwards
        let rows = Rows::of(&now, &before, Sort::Name);
        assert!(rows.topics.iter().all(|row| row[1].text == "0.0"));
    }
}
