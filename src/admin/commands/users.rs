//! `createUser`, `updateUser`, `deleteUser`, `getUser`, `listUser` and `copyUser`: accounts of
//! RocketMQ 5's brokers.

use ringmq_client::{CallError, Client};
use ringmq_remoting::codes::request;
use ringmq_remoting::fastjson;
use serde::{Deserialize, Serialize};

use crate::output::{Cell, Column, Page, Table};
use crate::questions::changes::{Copied, change, copy};
use crate::session::{Run, Session};
use crate::target::{FromTo, Target};

/// An account; what is not told of it stays as it is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct User {
    username: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_status: Option<String>,
}

const COLUMNS: &[Column] = &[
    Column::new("#UserName", "username"),
    Column::new("#Password", "password"),
    Column::new("#UserType", "userType"),
    Column::new("#UserStatus", "userStatus"),
];

#[derive(clap::Args, Debug)]
pub struct Create {
    #[command(flatten)]
    target: Target,
    /// The account.
    #[arg(short = 'u', long = "username", value_name = "NAME")]
    name: String,
    /// Its password. Others on this machine can see it.
    #[arg(short = 'p', long = "password", value_name = "PASSWORD")]
    password: String,
    /// Super, which may do everything, or Normal.
    #[arg(short = 't', long = "userType", value_name = "TYPE")]
    kind: Option<String>,
}

impl Run for Create {
    const EXAMPLES: &'static [&'static str] =
        &["-n 127.0.0.1:9876 -c DefaultCluster -u NAME -p PASSWORD -t Normal"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let user = User {
            username: self.name.clone(),
            password: Some(self.password.clone()),
            user_type: self.kind.clone(),
            user_status: None,
        };
        put(session, &self.target, (request::AUTH_CREATE_USER, "create"), &user)
    }
}

#[derive(clap::Args, Debug)]
#[group(id = "changes", required = true, multiple = true, args = ["password", "kind", "status"])]
pub struct Update {
    #[command(flatten)]
    target: Target,
    /// The account.
    #[arg(short = 'u', long = "username", value_name = "NAME")]
    name: String,
    /// Its new password. Others on this machine can see it.
    #[arg(short = 'p', long = "password", value_name = "PASSWORD")]
    password: Option<String>,
    /// Super, which may do everything, or Normal.
    #[arg(short = 't', long = "userType", value_name = "TYPE")]
    kind: Option<String>,
    /// enable or disable.
    #[arg(short = 's', long = "userStatus", value_name = "STATUS")]
    status: Option<String>,
}

impl Run for Update {
    const EXAMPLES: &'static [&'static str] =
        &["-n 127.0.0.1:9876 -c DefaultCluster -u NAME -s disable"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let user = User {
            username: self.name.clone(),
            password: self.password.clone(),
            user_type: self.kind.clone(),
            user_status: self.status.clone(),
        };
        put(session, &self.target, (request::AUTH_UPDATE_USER, "update"), &user)
    }
}

#[derive(clap::Args, Debug)]
pub struct Delete {
    #[command(flatten)]
    target: Target,
    /// The account.
    #[arg(short = 'u', long = "username", value_name = "NAME")]
    name: String,
}

impl Run for Delete {
    const EXAMPLES: &'static [&'static str] = &["-n 127.0.0.1:9876 -c DefaultCluster -u NAME"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let addresses = self.target.all(&mut session.client)?;
        let fields = [("username", self.name.as_str())];
        let asked = (request::AUTH_DELETE_USER, (&fields[..], &[][..]));
        Ok(change(&mut session.client, addresses, asked, |page, address| {
            done(page, "delete", &self.name, address);
        }))
    }
}

#[derive(clap::Args, Debug)]
pub struct Get {
    #[command(flatten)]
    target: Target,
    /// The account.
    #[arg(short = 'u', long = "username", value_name = "NAME")]
    name: String,
}

impl Run for Get {
    const EXAMPLES: &'static [&'static str] = &["-b 127.0.0.1:10911 -u NAME"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        for address in self.target.masters(&mut session.client)? {
            if let Some(user) = get(&mut session.client, &address, &self.name)? {
                return Ok(Page::default().table(table([user])));
            }
        }
        Err(CallError::NotFound(format!("there is no account {}", self.name)).into())
    }
}

#[derive(clap::Args, Debug)]
pub struct List {
    #[command(flatten)]
    target: Target,
    /// Only accounts with this in their names.
    #[arg(short = 'f', long = "filter", value_name = "TEXT")]
    filter: Option<String>,
}

impl Run for List {
    const EXAMPLES: &'static [&'static str] =
        &["-n 127.0.0.1:9876 -c DefaultCluster", "-b 127.0.0.1:10911 -f NAME"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        for address in self.target.masters(&mut session.client)? {
            let users = list(&mut session.client, &address, self.filter.as_deref())?;
            if !users.is_empty() {
                let page = Page::default().table(table(users));
                return Ok(match self.target.broker {
                    Some(_) => page,
                    None => page.text(format!("get user from {address} success.")),
                });
            }
        }
        Err(CallError::NotFound("there are no such accounts".to_owned()).into())
    }
}

#[derive(clap::Args, Debug)]
pub struct Copy {
    #[command(flatten)]
    brokers: FromTo,
    /// Only these, separated by commas.
    #[arg(short = 'u', long = "usernames", value_name = "NAMES", value_delimiter = ',')]
    names: Vec<String>,
}

impl Run for Copy {
    const EXAMPLES: &'static [&'static str] = &["-f 127.0.0.1:10911 -t 127.0.0.2:10911"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let (client, Copy { brokers, names }) = (&mut session.client, self);
        let mut users = Vec::new();
        for name in names {
            users.extend(get(client, &brokers.from, name)?);
        }
        if names.is_empty() {
            users = list(client, &brokers.from, None)?;
        }
        let codes = (request::AUTH_CREATE_USER, request::AUTH_UPDATE_USER);
        let copied = Copied { what: "user", name: "username", codes };
        let users = users.into_iter().map(|user| (user.username.clone(), user));
        copy(client, (&brokers.from, &brokers.to), &copied, users, |client, name| {
            Ok(get(client, &brokers.to, name)?.is_some())
        })
    }
}

fn put(
    session: &mut Session,
    target: &Target,
    (code, verb): (i32, &str),
    user: &User,
) -> anyhow::Result<Page> {
    let addresses = target.all(&mut session.client)?;
    let (fields, body) = ([("username", user.username.as_str())], serde_json::to_vec(user)?);
    let asked = (code, (&fields[..], &body[..]));
    Ok(change(&mut session.client, addresses, asked, |page, address| {
        done(page, verb, &user.username, address);
    }))
}

fn done(page: &mut Page, verb: &str, name: &str, address: String) {
    let text = format!("{verb} user to {address} success.");
    page.done(text, [("broker", address.into()), ("username", name.into())]);
}

fn get(client: &mut Client, address: &str, name: &str) -> anyhow::Result<Option<User>> {
    let answer = client.ask(address, request::AUTH_GET_USER, &[("username", name)], &[])?;
    Ok(if answer.body.is_empty() { None } else { fastjson::from_slice(&answer.body)? })
}

fn list(client: &mut Client, address: &str, filter: Option<&str>) -> anyhow::Result<Vec<User>> {
    let fields: Vec<_> = filter.map(|filter| ("filter", filter)).into_iter().collect();
    let answer = client.ask(address, request::AUTH_LIST_USER, &fields, &[])?;
    Ok(if answer.body.is_empty() { Vec::new() } else { fastjson::from_slice(&answer.body)? })
}

fn table(users: impl IntoIterator<Item = User>) -> Table {
    let mut table = Table::new("users", COLUMNS);
    let cell = |text: Option<String>| text.map_or_else(|| Cell::missing("null"), Cell::from);
    for User { username, password, user_type, user_status } in users {
        table.row([username.into(), cell(password), cell(user_type), cell(user_status)]);
    }
    table
}
