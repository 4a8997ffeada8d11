//! Twelve rules that the history of RocketMQ's security teaches (`docs/SECURITY.md`), each held
//! against the real thing: the frames of its exploits, all keys, all codes, all sources.
//!
//! | rule | file |
//! |---|---|
//! | S1 no server starts a process | `processes` |
//! | S2 what changes at run time is on a list | `live_list` |
//! | S3 no path, address, credential or name of a program is on it | `protected_keys` |
//! | S4 who may change what a server does | `administration` |
//! | S5 texts of others stay values | `escapes` |
//! | S6 names are no paths | `names` |
//! | S7 the exploits themselves | `exploits` |
//! | S8 what is not served does nothing | `unused_codes` |
//! | S9 limits come before memory | `before_memory` |
//! | S10 secrets are shown to nobody | `secrets` |
//! | S11 a server is confined | `confined` |
//! | S12 expressions and properties take bounded steps | `expressions` |

mod administration;
mod before_memory;
mod confined;
mod escapes;
mod exploits;
mod expressions;
mod live_list;
mod names;
mod processes;
mod protected_keys;
mod secrets;
mod unused_codes;

use std::fs;
use std::path::{Path, PathBuf};

use ringmq_remoting::codes::request;

use crate::client::{Answer, Client};

/// The configuration as tools are shown it.
fn broker_config(client: &mut Client) -> String {
    let answer = client.call(request::GET_BROKER_CONFIG, &[], b"").expect("an answer");
    String::from_utf8(answer.body).expect("text")
}

fn namesrv_config(client: &mut Client) -> String {
    let answer = client.call(request::GET_NAMESRV_CONFIG, &[], b"").expect("an answer");
    String::from_utf8(answer.body).expect("text")
}

fn change_broker(client: &mut Client, text: &str) -> Answer {
    client.call(request::UPDATE_BROKER_CONFIG, &[], text.as_bytes()).expect("an answer")
}

fn change_namesrv(client: &mut Client, text: &str) -> Answer {
    client.call(request::UPDATE_NAMESRV_CONFIG, &[], text.as_bytes()).expect("an answer")
}

/// Processes that a process has started and that are there or not awaited.
fn children(pid: u32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the process runs").flatten();
    let of_task = |task: fs::DirEntry| fs::read_to_string(task.path().join("children")).ok();
    let texts = tasks.filter_map(of_task);
    texts.flat_map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// All files and directories below a directory.
fn tree(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).expect("a directory of ours").flatten() {
            let path = entry.path();
            if path.is_dir() && !path.is_symlink() {
                open.push(path.clone());
            }
            found.push(path);
        }
    }
    found.sort();
    found
}
