//! `clusterAclConfigVersion`.

use std::collections::BTreeMap;

use ringmq_client::{Answer, Client};
use ringmq_remoting::body::DataVersion;
use ringmq_remoting::codes::request;
use ringmq_remoting::fastjson;

use crate::output::{Cell, Column, Page, Table};
use crate::session::{Run, Session};
use crate::target::Target;

#[derive(clap::Args, Debug)]
pub struct Options {
    #[command(flatten)]
    target: Target,
}

const COLUMNS: &[Column] = &[
    Column::new("#Cluster Name", "cluster"),
    Column::new("#Broker Name", "broker"),
    Column::new("#Broker Addr", "address"),
    Column::new("#AclFilePath", "file"),
    Column::new("#AclConfigVersionNum", "version"),
    Column::new("#AclLastUpdateTime", "updated"),
];

impl Run for Options {
    const EXAMPLES: &'static [&'static str] = &["-n 127.0.0.1:9876 -c DefaultCluster"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let client = &mut session.client;
        let mut table = Table::new("files", COLUMNS);
        let mut page = Page::default();
        for address in self.target.masters(client)? {
            match asked(client, &address) {
                Ok((answer, files)) => add(&mut table, &answer, &files),
                Err(problem) => page.problems.push(problem),
            }
        }
        if table.rows.is_empty() && !page.problems.is_empty() {
            return Ok(page);
        }
        let whose = if self.target.broker.is_some() { "broker" } else { "cluster" };
        let text = format!("get {whose}'s plain access config version success.");
        Ok(page.table(table).text(text))
    }
}

fn asked(
    client: &mut Client,
    address: &str,
) -> anyhow::Result<(Answer, BTreeMap<String, DataVersion>)> {
    let answer = client.ask(address, request::GET_BROKER_CLUSTER_ACL_INFO, &[], &[])?;
    let files = answer.fields.get("allAclFileVersion").map_or("{}", String::as_str);
    let files = fastjson::from_slice(files.as_bytes())?;
    Ok((answer, files))
}

fn add(table: &mut Table, answer: &Answer, files: &BTreeMap<String, DataVersion>) {
    let field = |name: &str| -> Cell { answer.fields.get(name).map_or("", String::as_str).into() };
    for (file, version) in files {
        table.row([
            field("clusterName"),
            field("brokerName"),
            field("brokerAddr"),
            file.as_str().into(),
            version.counter.into(),
            Cell::time(version.timestamp, "-"),
        ]);
    }
}
