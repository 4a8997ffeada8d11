//! `brokerStatus`.

use crate::output::{Cell, Column, Page, Table};
use crate::questions::runtime;
use crate::session::{Run, Session};
use crate::target::Target;

#[derive(clap::Args, Debug)]
pub struct Options {
    #[command(flatten)]
    target: Target,
}

const ONE: &[Column] = &[Column::new("", "key"), Column::new("", "value")];
const ALL: &[Column] =
    &[Column::new("", "broker"), Column::new("", "key"), Column::new("", "value")];

impl Run for Options {
    const EXAMPLES: &'static [&'static str] =
        &["-b 127.0.0.1:10911", "-n 127.0.0.1:9876 -c DefaultCluster -o csv"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let client = &mut session.client;
        if let Some(address) = &self.target.broker {
            let known = runtime(client, address)?;
            let mut table = Table::new("status", ONE).without_heads();
            for (key, value) in &known.table {
                table.row([Cell::new(format!("{key:<32}:"), key.as_str()), Cell::number(value)]);
            }
            return Ok(Page::default().table(table));
        }
        let mut table = Table::new("status", ALL).without_heads();
        let mut page = Page::default();
        for address in self.target.all(client)? {
            match runtime(client, &address) {
                Err(problem) => page.problems.push(problem),
                Ok(known) => known.table.iter().for_each(|(key, value)| {
                    let name = Cell::new(format!("{key:<32}:"), key.as_str());
                    table.row([address.as_str().into(), name, Cell::number(value)]);
                }),
            }
        }
        Ok(page.table(table))
    }
}
