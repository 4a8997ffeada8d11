//! `getColdDataFlowCtrInfo`, `updateColdDataFlowCtrGroupConfig`, `removeColdDataFlowCtrGroupConfig`
//! and `setCommitLogReadAheadMode`: how RocketMQ 5's brokers treat readers of old messages.

use ringmq_client::Client;
use ringmq_remoting::codes::request;
use serde_json::{Value, json};

use crate::output::{Cell, Page};
use crate::questions::changes::change;
use crate::session::{Run, Session};
use crate::target::Target;

#[derive(clap::Args, Debug)]
pub struct Info {
    #[command(flatten)]
    target: Target,
}

impl Run for Info {
    const EXAMPLES: &'static [&'static str] =
        &["-b 127.0.0.1:10911", "-n 127.0.0.1:9876 -c DefaultCluster"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let addresses = self.target.all(&mut session.client)?;
        each(&mut session.client, addresses, |client, address| {
            let code = request::GET_COLD_DATA_FLOW_CTR_INFO;
            let answer = client.ask(address, code, &[], &[])?;
            if answer.body.is_empty() {
                let text = format!("Broker[{address}] has no cold ctr table !");
                return Ok((text, Value::Null));
            }
            let mut info: Value = serde_json::from_slice(&answer.body)?;
            with_times(&mut info);
            Ok((serde_json::to_string_pretty(&info)?, info))
        })
    }
}

/// Times of groups as people read them.
fn with_times(info: &mut Value) {
    let groups = info.get_mut("runtimeTable").and_then(Value::as_object_mut);
    for group in groups.into_iter().flat_map(|groups| groups.values_mut()) {
        let Some(group) = group.as_object_mut() else { continue };
        for name in ["lastColdReadTime", "createTime"] {
            if let Some(ms) = group.remove(&format!("{name}Mills")) {
                let time = Cell::time(ms.as_i64().unwrap_or(0), "");
                group.insert(format!("{name}Format"), time.text.into());
            }
        }
    }
}

#[derive(clap::Args, Debug)]
pub struct Update {
    #[command(flatten)]
    target: Target,
    /// The consumer group.
    #[arg(short = 'g', long = "consumerGroup", value_name = "GROUP")]
    group: String,
    /// How many bytes a second of old messages it may read.
    #[arg(short = 'v', long = "threshold", value_name = "BYTES")]
    threshold: u64,
}

impl Run for Update {
    const EXAMPLES: &'static [&'static str] =
        &["-n 127.0.0.1:9876 -c DefaultCluster -g GROUP -v 1048576"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let body = format!("{}={}\n", self.group, self.threshold);
        let asked = (request::UPDATE_COLD_DATA_FLOW_CTR_CONFIG, body);
        put(session, &self.target, asked, "updateColdDataFlowCtrGroupConfig success")
    }
}

#[derive(clap::Args, Debug)]
pub struct Remove {
    #[command(flatten)]
    target: Target,
    /// The consumer group.
    #[arg(short = 'g', long = "consumerGroup", value_name = "GROUP")]
    group: String,
}

impl Run for Remove {
    const EXAMPLES: &'static [&'static str] = &["-n 127.0.0.1:9876 -c DefaultCluster -g GROUP"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let asked = (request::REMOVE_COLD_DATA_FLOW_CTR_CONFIG, self.group.clone());
        put(session, &self.target, asked, "remove broker cold read threshold success")
    }
}

#[derive(clap::Args, Debug)]
pub struct ReadAhead {
    #[command(flatten)]
    target: Target,
    /// 0: as the system does it, 1: files are read at random.
    #[arg(short = 'm', long = "commitLogReadAheadMode", value_name = "0|1",
        value_parser = ["0", "1"])]
    mode: String,
}

impl Run for ReadAhead {
    const EXAMPLES: &'static [&'static str] = &["-b 127.0.0.1:10911 -m 0"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let addresses = self.target.all(&mut session.client)?;
        each(&mut session.client, addresses, |client, address| {
            let fields = [("READ_AHEAD_MODE", self.mode.as_str())];
            let answer = client.ask(address, request::SET_COMMITLOG_READ_MODE, &fields, &[])?;
            let text = format!("commitLog set readAhead mode rstStr{}", answer.remark);
            Ok((text, answer.remark.into()))
        })
    }
}

fn put(
    session: &mut Session,
    target: &Target,
    (code, body): (i32, String),
    text: &str,
) -> anyhow::Result<Page> {
    let addresses = target.masters(&mut session.client)?;
    let asked = (code, (&[][..], body.as_bytes()));
    Ok(change(&mut session.client, addresses, asked, |page, address| {
        page.done(format!("{text}, {address}"), [("broker", address.into())]);
    }))
}

/// What each broker answers below its address.
fn each(
    client: &mut Client,
    addresses: Vec<String>,
    mut ask: impl FnMut(&mut Client, &str) -> anyhow::Result<(String, Value)>,
) -> anyhow::Result<Page> {
    let mut all = Page::default();
    for address in addresses {
        all.add(ask(client, &address).map(|(text, value)| {
            let mut page = Page::default();
            let rule = "=".repeat(12);
            let text = format!(" {rule}{address}{rule}\n{text}");
            page.done(text, [("broker", json!(address)), ("answer", value)]);
            page
        }));
    }
    Ok(all)
}
