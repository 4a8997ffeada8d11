//! `dlq show`.

use super::letters::{COLUMNS, Chosen, cells, line, origin_id, why};
use crate::output::{Cell, Page, Table};
use crate::pipes::Interrupt;
use crate::questions::messages::Message;
use crate::session::Session;

/// Letters of a body that people see.
const BODY_SHOWN: usize = 200;

#[derive(clap::Args, Debug)]
pub struct Options {
    #[command(flatten)]
    chosen: Chosen,
}

impl Options {
    pub fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let interrupt = Interrupt::watch()?;
        let mut letters = self.chosen.read(session)?;
        let table = Table::new("messages", COLUMNS);
        while let Some(message) = letters.next(&interrupt, || Ok(()))? {
            session.show(&table, &describe(&message), &cells(&message))?;
        }
        Ok(Page::default())
    }
}

fn describe(message: &Message) -> String {
    let born = Cell::time(message.born, "an unknown time").text;
    let mut text = format!("{}\n  {}; sent {born}", line(message), why(message));
    if let Some(id) = origin_id(message) {
        text += &format!("; first stored as {id}");
    }
    let body = message.text();
    let shown: String = body.chars().take(BODY_SHOWN).collect();
    let more = if shown.len() < body.len() { " ..." } else { "" };
    // a message cannot tell the terminal what to do
    text + &format!("\n  {}{more}", shown.escape_debug())
}
