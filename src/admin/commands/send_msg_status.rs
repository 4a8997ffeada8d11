//! `sendMsgStatus`.

use std::time::Instant;

use anyhow::Context;
use ringmq_client::CallError;

use crate::output::{Cell, Column, Page, Table};
use crate::questions::sends::{New, send, writable};
use crate::session::{Run, Session};

#[derive(clap::Args, Debug)]
pub struct Options {
    /// The name of the broker, which has a topic of this name.
    #[arg(short = 'b', long = "brokerName", value_name = "NAME")]
    broker: String,
    /// Bytes of a message.
    #[arg(short = 's', long = "messageSize", value_name = "BYTES", default_value_t = 128)]
    size: usize,
    /// How many messages.
    #[arg(short = 'c', long = "count", default_value_t = 50)]
    count: u64,
}

const COLUMNS: &[Column] =
    &[Column::new("", "ms"), Column::new("", "status"), Column::new("", "id")];

impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &["-n 127.0.0.1:9876 -b broker-a -c 10"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let queues = writable(&mut session.client, &self.broker)?;
        if !queues.iter().any(|queue| queue.broker == self.broker) {
            let text = format!("there is no broker {}", self.broker);
            return Err(CallError::NotFound(text).into());
        }
        let body = b"hello jodie".repeat(self.size.div_ceil(11));
        let new = New { topic: &self.broker, body: &body, properties: Vec::new() };
        let table = Table::new("sends", COLUMNS);
        let mut all = queues.iter().cycle();
        // the first one connects
        for number in 0..=self.count {
            let queue = all.next().context("there is a queue")?;
            let began = Instant::now();
            let sent = send(&mut session.client, queue, &new)?;
            let ms = began.elapsed().as_secs_f64() * 1000.0;
            if number > 0 {
                let text = format!("rt={ms:.0}ms, SendResult={}", sent.describe());
                let row = [Cell::decimal(ms, 3), sent.status.into(), sent.id.into()];
                session.show(&table, &text, &row)?;
            }
        }
        Ok(Page::default())
    }
}
