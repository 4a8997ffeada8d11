//! `dlq`: messages that a consumer group has given up.

mod export;
mod letters;
mod list;
mod resend;
mod show;

use crate::output::Page;
use crate::session::{Run, Session};

#[derive(clap::Args, Debug)]
pub struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Groups with dead letters: how many, and how old.
    List(list::Options),
    /// Dead letters of a group, and why they are there.
    Show(show::Options),
    /// Sends dead letters of a group again, to the topics that they come from. They stay where they
    /// are.
    Resend(resend::Options),
    /// Dead letters of a group as lines of JSON, which `cat -P -J` sends.
    Export(export::Options),
}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &[
        "list -n 127.0.0.1:9876",
        "show -n 127.0.0.1:9876 -g GROUP --begin -2h",
        "resend -n 127.0.0.1:9876 -g GROUP --key order-7 --dry-run",
        "resend -n 127.0.0.1:9876 -g GROUP --begin -1d --rate 100 # all of a day, slowly",
        "resend -n 127.0.0.1:9876 -g GROUP --to-group # to this group alone, by its retry topic",
        "export -n 127.0.0.1:9876 -g GROUP",
    ];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        match &self.action {
            Action::List(options) => options.run(session),
            Action::Show(options) => options.run(session),
            Action::Resend(options) => options.run(session),
            Action::Export(options) => options.run(session),
        }
    }
}
