//! `dlq export`.

use std::io::{BufWriter, Write};

use anyhow::ensure;

use super::letters::Chosen;
use crate::output::Page;
use crate::pipes::{Interrupt, Progress, line_of};
use crate::session::Session;

#[derive(clap::Args, Debug)]
pub struct Options {
    #[command(flatten)]
    chosen: Chosen,
}

impl Options {
    pub fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let interrupt = Interrupt::watch()?;
        let mut letters = self.chosen.read(session)?;
        let mut out = BufWriter::new(std::io::stdout().lock());
        let mut progress = Progress::new();
        let (mut written, total) = (0_u64, letters.total());
        while let Some(message) = letters.next(&interrupt, || Ok(out.flush()?))? {
            out.write_all(line_of(&message).as_bytes())?;
            written += 1;
            progress.show("exported", letters.seen, total);
        }
        out.flush()?;
        progress.end();
        ensure!(!interrupt.has_come(), "interrupted after {written} messages");
        Ok(Page::default())
    }
}
