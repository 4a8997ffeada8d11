//! `createAcl`, `updateAcl`, `deleteAcl`, `getAcl`, `listAcl` and `copyAcl`: what accounts of
//! RocketMQ 5's brokers may do.

use ringmq_client::{CallError, Client};
use ringmq_remoting::codes::request;
use ringmq_remoting::fastjson;
use serde::{Deserialize, Serialize};

use crate::output::{Cell, Column, Page, Table};
use crate::questions::changes::{Copied, change, copy};
use crate::session::{Run, Session};
use crate::target::{FromTo, Target};

/// What an account may do.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Acl {
    subject: String,
    policies: Option<Vec<Policy>>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Policy {
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_type: Option<String>,
    entries: Option<Vec<Entry>>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Entry {
    resource: Option<String>,
    actions: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_ips: Option<Vec<String>>,
    decision: Option<String>,
}

const COLUMNS: &[Column] = &[
    Column::new("#Subject", "subject"),
    Column::new("#PolicyType", "policyType"),
    Column::new("#Resource", "resource"),
    Column::new("#Actions", "actions"),
    Column::new("#SourceIp", "sourceIps"),
    Column::new("#Decision", "decision"),
];

/// `createAcl`, or else `updateAcl`.
#[derive(clap::Args, Debug)]
pub struct Put<const NEW: bool> {
    #[command(flatten)]
    target: Target,
    /// The account, as User:NAME.
    #[arg(short = 's', long = "subject", value_name = "ACCOUNT")]
    subject: String,
    /// What it is about, separated by commas: Topic:NAME, Group:PREFIX*, Cluster:*.
    #[arg(
        short = 'r',
        long = "resources",
        value_name = "RESOURCES",
        value_delimiter = ',',
        required = true
    )]
    resources: Vec<String>,
    /// Pub, Sub, Create, Update, Delete, Get, List or All, separated by commas.
    #[arg(
        short = 'a',
        long = "actions",
        value_name = "ACTIONS",
        value_delimiter = ',',
        required = true
    )]
    actions: Vec<String>,
    /// Only from these addresses, separated by commas.
    #[arg(short = 'i', long = "sourceIp", value_name = "ADDRESSES", value_delimiter = ',')]
    sources: Option<Vec<String>>,
    /// Allow or Deny.
    #[arg(short = 'd', long = "decision", value_name = "DECISION")]
    decision: String,
}

pub type Create = Put<true>;
pub type Update = Put<false>;

impl<const NEW: bool> Run for Put<NEW> {
    const EXAMPLES: &'static [&'static str] =
        &["-n 127.0.0.1:9876 -c DefaultCluster -s User:NAME -r Topic:TopicTest -a Pub -d Allow"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let (code, verb) = match NEW {
            true => (request::AUTH_CREATE_ACL, "create"),
            false => (request::AUTH_UPDATE_ACL, "update"),
        };
        let entries = self.resources.iter().map(|resource| Entry {
            resource: Some(resource.trim().to_owned()),
            actions: Some(self.actions.clone()),
            source_ips: self.sources.clone(),
            decision: Some(self.decision.clone()),
        });
        let policy = Policy { policy_type: None, entries: Some(entries.collect()) };
        let acl = Acl { subject: self.subject.clone(), policies: Some(vec![policy]) };
        let addresses = self.target.all(&mut session.client)?;
        let (fields, body) = ([("subject", self.subject.as_str())], serde_json::to_vec(&acl)?);
        let asked = (code, (&fields[..], &body[..]));
        Ok(change(&mut session.client, addresses, asked, |page, address| {
            done(page, verb, &self.subject, address);
        }))
    }
}

#[derive(clap::Args, Debug)]
pub struct Delete {
    #[command(flatten)]
    target: Target,
    /// The account, as User:NAME.
    #[arg(short = 's', long = "subject", value_name = "ACCOUNT")]
    subject: String,
    /// Only what is about this.
    #[arg(short = 'r', long = "resources", value_name = "RESOURCE")]
    resource: Option<String>,
}

impl Run for Delete {
    const EXAMPLES: &'static [&'static str] =
        &["-n 127.0.0.1:9876 -c DefaultCluster -s User:NAME -r Topic:TopicTest"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let addresses = self.target.all(&mut session.client)?;
        let mut fields = vec![("subject", self.subject.as_str())];
        fields.extend(self.resource.as_deref().map(|resource| ("resource", resource)));
        let asked = (request::AUTH_DELETE_ACL, (&fields[..], &[][..]));
        Ok(change(&mut session.client, addresses, asked, |page, address| {
            done(page, "delete", &self.subject, address);
        }))
    }
}

#[derive(clap::Args, Debug)]
pub struct Get {
    #[command(flatten)]
    target: Target,
    /// The account, as User:NAME.
    #[arg(short = 's', long = "subject", value_name = "ACCOUNT")]
    subject: String,
}

impl Run for Get {
    const EXAMPLES: &'static [&'static str] = &["-b 127.0.0.1:10911 -s User:NAME"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let mut table = Table::new("acls", COLUMNS);
        for address in self.target.masters(&mut session.client)? {
            let found = get(&mut session.client, &address, &self.subject)?;
            found.into_iter().for_each(|acl| rows(&mut table, acl));
        }
        shown(table)
    }
}

#[derive(clap::Args, Debug)]
pub struct List {
    #[command(flatten)]
    target: Target,
    /// Only accounts with this in their names.
    #[arg(short = 's', long = "subject", value_name = "TEXT")]
    subject: Option<String>,
    /// Only what is about something with this in its name.
    #[arg(short = 'r', long = "resource", value_name = "TEXT")]
    resource: Option<String>,
}

impl Run for List {
    const EXAMPLES: &'static [&'static str] = &["-b 127.0.0.1:10911", "-b 127.0.0.1:10911 -s NAME"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let mut table = Table::new("acls", COLUMNS);
        let (subject, resource) = (self.subject.as_deref(), self.resource.as_deref());
        for address in self.target.masters(&mut session.client)? {
            let found = list(&mut session.client, &address, subject, resource)?;
            found.into_iter().for_each(|acl| rows(&mut table, acl));
        }
        shown(table)
    }
}

#[derive(clap::Args, Debug)]
pub struct Copy {
    #[command(flatten)]
    brokers: FromTo,
    /// Only these accounts, separated by commas.
    #[arg(short = 's', long = "subjects", value_name = "ACCOUNTS", value_delimiter = ',')]
    subjects: Vec<String>,
}

impl Run for Copy {
    const EXAMPLES: &'static [&'static str] = &["-f 127.0.0.1:10911 -t 127.0.0.2:10911"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let (client, Copy { brokers, subjects }) = (&mut session.client, self);
        let mut acls = Vec::new();
        for subject in subjects {
            acls.extend(get(client, &brokers.from, subject)?);
        }
        if subjects.is_empty() {
            acls = list(client, &brokers.from, None, None)?;
        }
        let codes = (request::AUTH_CREATE_ACL, request::AUTH_UPDATE_ACL);
        let copied = Copied { what: "acl", name: "subject", codes };
        let acls = acls.into_iter().map(|acl| (acl.subject.clone(), acl));
        copy(client, (&brokers.from, &brokers.to), &copied, acls, |client, subject| {
            Ok(get(client, &brokers.to, subject)?.is_some())
        })
    }
}

fn done(page: &mut Page, verb: &str, subject: &str, address: String) {
    let text = format!("{verb} acl to {address} success.");
    page.done(text, [("broker", address.into()), ("subject", subject.into())]);
}

fn get(client: &mut Client, address: &str, subject: &str) -> anyhow::Result<Option<Acl>> {
    let answer = client.ask(address, request::AUTH_GET_ACL, &[("subject", subject)], &[])?;
    Ok(if answer.body.is_empty() { None } else { fastjson::from_slice(&answer.body)? })
}

fn list(
    client: &mut Client,
    address: &str,
    subject: Option<&str>,
    resource: Option<&str>,
) -> anyhow::Result<Vec<Acl>> {
    let fields = [("subjectFilter", subject), ("resourceFilter", resource)];
    let fields: Vec<_> = fields.iter().filter_map(|(name, text)| Some((*name, (*text)?))).collect();
    let answer = client.ask(address, request::AUTH_LIST_ACL, &fields, &[])?;
    Ok(if answer.body.is_empty() { Vec::new() } else { fastjson::from_slice(&answer.body)? })
}

fn shown(table: Table) -> anyhow::Result<Page> {
    if table.rows.is_empty() {
        return Err(CallError::NotFound("no such account has rules".to_owned()).into());
    }
    Ok(Page::default().table(table))
}

/// A row for each resource of an account.
fn rows(table: &mut Table, acl: Acl) {
    let cell = |text: Option<String>| text.map_or_else(|| Cell::missing("null"), Cell::from);
    let list = |texts: Option<Vec<String>>| match texts {
        Some(texts) => Cell::new(format!("[{}]", texts.join(", ")), texts),
        None => Cell::missing("null"),
    };
    let subject = || Cell::from(acl.subject.as_str());
    let policies = acl.policies.unwrap_or_default();
    if policies.is_empty() {
        let none = || Cell::missing("");
        table.row([subject(), none(), none(), none(), none(), none()]);
    }
    for policy in policies {
        for Entry { resource, actions, source_ips, decision } in policy.entries.unwrap_or_default()
        {
            let kind = cell(policy.policy_type.clone());
            let (actions, sources) = (list(actions), list(source_ips));
            table.row([subject(), kind, cell(resource), actions, sources, cell(decision)]);
        }
    }
}
