//! Changes that several brokers are asked for alike.

use std::path::Path;

use anyhow::{Context, ensure};
use ringmq_client::Client;
use serde::Serialize;
use serde_json::{Value, json};

use crate::output::Page;

/// Fields and body of a request.
pub type Request<'a> = (&'a [(&'a str, &'a str)], &'a [u8]);

/// Asks each broker; `done` adds what is told of one that has done it.
pub fn change(
    client: &mut Client,
    addresses: Vec<String>,
    (code, (fields, body)): (i32, Request<'_>),
    done: impl Fn(&mut Page, String),
) -> Page {
    let mut page = Page::default();
    for address in addresses {
        match client.ask(&address, code, fields, body) {
            Ok(_) => done(&mut page, address),
            Err(problem) => page.problems.push(problem),
        }
    }
    page
}

/// Submits the settings in a file, a list in JSON, as this member of the request's body; `what`
/// names them to people.
pub fn submit(
    client: &mut Client,
    addresses: Vec<String>,
    file: &Path,
    (code, member, what): (i32, &str, &str),
) -> anyhow::Result<Page> {
    let place = || file.display().to_string();
    let text = std::fs::read_to_string(file).with_context(place)?;
    let list: Value = serde_json::from_str(&text).with_context(place)?;
    ensure!(list.is_array(), "{} holds no list: begin it with [", file.display());
    let body = json!({ member: list }).to_string();
    let request = (code, (&[][..], body.as_bytes()));
    Ok(change(client, addresses, request, |page, address| {
        let text =
            format!("submit batch of {what} to {address} success, please check the result later.");
        page.done(text, [("broker", address.into())]);
    }))
}

/// What [`copy`] copies.
pub struct Copied {
    /// What people call it.
    pub what: &'static str,
    /// The field and the column that name one.
    pub name: &'static str,
    /// The codes of the requests that make one, and that change one.
    pub codes: (i32, i32),
}

/// Has a broker make what another has, or change its own; all are named.
///
/// # Errors
/// The first that is not taken; those before are there.
pub fn copy<T: Serialize>(
    client: &mut Client,
    (from, to): (&str, &str),
    copied: &Copied,
    all: impl IntoIterator<Item = (String, T)>,
    is_there: impl Fn(&mut Client, &str) -> anyhow::Result<bool>,
) -> anyhow::Result<Page> {
    let Copied { what, name: field, codes: (make, change) } = *copied;
    let mut page = Page::default();
    for (name, one) in all {
        let code = if is_there(client, &name)? { change } else { make };
        client.ask(to, code, &[(field, &*name)], &serde_json::to_vec(&one)?)?;
        let text = format!("copy {what} of {name} from {from} to {to} success.");
        page.done(text, [(field, name.into()), ("from", from.into()), ("to", to.into())]);
    }
    Ok(page)
}
