//! `checkMsgSendRT`.

use std::time::Instant;

use anyhow::Context;

use crate::output::{Cell, Column, Page, Table};
use crate::questions::sends::{New, send, writable};
use crate::session::{Run, Session};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// The topic.
    #[arg(short = 't', long = "topic")]
    topic: String,
    /// How many messages.
    #[arg(short = 'a', long = "amount", value_name = "COUNT", default_value_t = 100)]
    amount: u64,
    /// Bytes of a message.
    #[arg(short = 's', long = "size", value_name = "BYTES", default_value_t = 128)]
    size: usize,
}

const COLUMNS: &[Column] = &[
    Column::new("#Broker Name", "broker"),
    Column::new("#QID", "queue"),
    Column::new("#Send Result", "sent"),
    Column::new("#RT", "ms"),
];

impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &["-n 127.0.0.1:9876 -t TopicTest -a 10"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let queues = writable(&mut session.client, &self.topic)?;
        let body = vec![b'a'; self.size];
        let table = Table::new("sends", COLUMNS);
        let heads = table.columns.iter().map(|column| column.head);
        let line = |cells: [&str; 4]| {
            let [broker, queue, sent, ms] = cells;
            format!("{broker:<32}  {queue:<4}  {sent:<20}    {ms}")
        };
        let heads: Vec<&str> = heads.collect();
        session.say(&line([heads[0], heads[1], heads[2], heads[3]]))?;
        let (mut total, mut sends) = (0.0, 0u32);
        let mut page = Page::default();
        for number in 0..self.amount {
            let place = usize::try_from(number)? % queues.len();
            let queue = queues.get(place).context("there is a queue")?;
            let new = New { topic: &self.topic, body: &body, properties: Vec::new() };
            let began = Instant::now();
            let result = send(&mut session.client, queue, &new);
            let ms = began.elapsed().as_secs_f64() * 1000.0;
            // as in RocketMQ the first one, which connects, does not count
            if number > 0 {
                total += ms;
                sends += 1;
            }
            let sent = result.is_ok();
            page.problems.extend(result.err());
            let text = line([
                &queue.broker,
                &queue.id.to_string(),
                &sent.to_string(),
                &format!("{ms:.0}"),
            ]);
            let row =
                [queue.broker.as_str().into(), queue.id.into(), sent.into(), Cell::decimal(ms, 3)];
            session.show(&table, &text, &row)?;
        }
        session.say(&format!("Avg RT: {:.2}", total / f64::from(sends.max(1))))?;
        Ok(page)
    }
}
