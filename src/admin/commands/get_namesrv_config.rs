//! `getNamesrvConfig`.

use ringmq_remoting::codes::request;

use crate::output::{Page, Table};
use crate::questions::settings::{COLUMNS, rows};
use crate::session::{Run, Session};

#[derive(clap::Args, Debug)]
pub struct Options {}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &["-n 127.0.0.1:9876"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let client = &mut session.client;
        let mut all = Page::default();
        for server in client.name_servers_or_fail()? {
            let answer = client.ask(&server, request::GET_NAMESRV_CONFIG, &[], &[]);
            all.add(answer.map(|answer| {
                let mut table = Table::new("settings", COLUMNS).without_heads();
                rows(&mut table, &server, &answer.body);
                Page::default().text(format!("============{server}============")).table(table)
            }));
        }
        Ok(all)
    }
}
