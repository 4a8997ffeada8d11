//! A message with all that is known of it.

use std::fs::{self, OpenOptions};
use std::io::Write;

use anyhow::{Context, ensure};
use ringmq_client::Client;
use serde_json::{Value, json};

use super::messages::Message;
use super::tracks::tracks;
use crate::output::{Cell, Page};

/// Where RocketMQ's tools write bodies.
const BODIES: &str = "rocketmq/msgbodys";

/// What people see of a message besides.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    pub offset_id: bool,
    pub body: bool,
}

/// Takes the one charset that bodies are shown in.
pub fn utf8(charset: &str) -> Result<String, String> {
    let names = ["utf-8", "utf8", "ascii", "us-ascii"];
    match names.iter().any(|name| charset.trim().eq_ignore_ascii_case(name)) {
        true => Ok(charset.to_owned()),
        false => Err(format!("bodies are shown as UTF-8, not {charset}; see Message Body Path")),
    }
}

/// Shows messages one after the other; programs get a list.
pub fn show(client: &mut Client, messages: &[Message], shown: Shown) -> anyhow::Result<Page> {
    let mut text = String::new();
    let mut values = Vec::new();
    for (number, message) in messages.iter().enumerate() {
        let tracks = tracks(client, message).unwrap_or_default();
        let body = body_file(message, number)?;
        text += &lines(message, &body, shown);
        text += if tracks.is_empty() { "\n\nWARN: No Consumer" } else { "\n\n" };
        let all: Vec<String> = tracks.iter().map(|track| track.describe()).collect();
        text += &(all.join("\n") + "\n");
        let mut value = message.value();
        value["tracks"] = tracks
            .iter()
            .map(|track| {
                json!({ "group": track.group, "type": track.kind, "problem": track.problem })
            })
            .collect();
        values.push(value);
    }
    Ok(Page::document(text.trim_end(), Value::Array(values)))
}

fn lines(message: &Message, body: &str, shown: Shown) -> String {
    let time = |ms: i64| Cell::time_ms(ms, "").text;
    let text = |text: Option<&str>| format!("[{}]", text.unwrap_or("null"));
    let mut rows = Vec::new();
    if shown.offset_id {
        rows.push(("OffsetID:", message.offset_id()));
    }
    rows.extend([
        ("Topic:", message.topic.clone()),
        ("Tags:", text(message.tags())),
        ("Keys:", text(message.keys())),
        ("Queue ID:", message.queue.to_string()),
        ("Queue Offset:", message.queue_offset.to_string()),
        ("CommitLog Offset:", message.commit_log_offset.to_string()),
        ("Reconsume Times:", message.reconsume_times.to_string()),
        ("Born Timestamp:", time(message.born)),
        ("Store Timestamp:", time(message.stored)),
        ("Born Host:", message.born_host.to_string()),
        ("Store Host:", message.store_host.to_string()),
        ("System Flag:", message.sys_flag.to_string()),
        ("Properties:", message.properties_text()),
        ("Message Body Path:", body.to_owned()),
    ]);
    if shown.body {
        rows.push(("Message Body:", message.text()));
    }
    rows.iter().map(|(key, value)| format!("{key:<20} {value}\n")).collect()
}

/// Writes the body into a file of its own; gives the path. What is there already must be the same:
/// the directory is everybody's.
fn body_file(message: &Message, number: usize) -> anyhow::Result<String> {
    let directory = std::env::temp_dir().join(BODIES);
    // producers choose ids: they must not choose a directory
    let id = message.id();
    let mut name: String = id.chars().filter(char::is_ascii_alphanumeric).collect();
    if number > 0 {
        name += &format!("_{number}");
    }
    let path = directory.join(name);
    let place = || format!("cannot write the body to {}", path.display());
    fs::create_dir_all(&directory).with_context(place)?;
    match OpenOptions::new().write(true).create_new(true).open(&path) {
        Ok(mut file) => file.write_all(&message.body).with_context(place)?,
        Err(_) => {
            let there = fs::read(&path).with_context(place)?;
            ensure!(
                there == message.body,
                "{} is there with another body: remove it",
                path.display()
            );
        }
    }
    Ok(path.display().to_string())
}
