//! Changes that several brokers are asked for alike.

use std::path::Path;

use anyhow::{Context, ensure};
use ringmq_client::Client;
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
