//! `getBrokerConfig`.

use ringmq_client::Client;
use ringmq_remoting::codes::request;

use crate::output::{Page, Table};
use crate::questions::settings::{COLUMNS, rows};
use crate::questions::{MASTER, brokers_of, clusters};
use crate::session::{Run, Session};
use crate::target::Target;

#[derive(clap::Args, Debug)]
pub struct Options {
    #[command(flatten)]
    target: Target,
}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] =
        &["-b 127.0.0.1:10911", "-n 127.0.0.1:9876 -c DefaultCluster -o csv"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let client = &mut session.client;
        if let Some(address) = &self.target.broker {
            return page(client, address, &format!("============{address}============"));
        }
        let mut all = Page::default();
        let info = clusters(client)?;
        for name in brokers_of(&info, self.target.cluster.as_deref().unwrap_or_default())? {
            let Some(data) = info.broker_addr_table.get(name) else { continue };
            let master = data.broker_addrs.get(&MASTER).map_or("null", String::as_str);
            for (id, address) in &data.broker_addrs {
                let head = if *id == MASTER {
                    format!("============Master: {address}============")
                } else {
                    format!("============My Master: {master}=====Slave: {address}============")
                };
                all.add(page(client, address, &head));
            }
        }
        Ok(all)
    }
}

fn page(client: &mut Client, address: &str, head: &str) -> anyhow::Result<Page> {
    let answer = client.ask(address, request::GET_BROKER_CONFIG, &[], &[])?;
    let mut table = Table::new("settings", COLUMNS).without_heads();
    rows(&mut table, address, &answer.body);
    Ok(Page::default().text(head).table(table).text(""))
}
