//! What `ringmq admin cat` and `dlq` refuse of their options.

use super::commands::{NOBODY, run};
use super::{Row, provoke_all, row};

pub fn headings() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|row| row.heading)
}

const ROWS: &[Row<()>] = &[
    row("the argument ... cannot be used with ...", |()| cat(&["-P", "-e"])),
    row("invalid value ... for ...", |()| {
        run(&["admin", "dlq", "resend", "-g", "G", "--rate", "0", "-n", NOBODY])
    }),
    row("-H ... is not NAME=VALUE", |()| cat(&["-P", "-H", "colour"])),
    row("property ... is one of RocketMQ's own, which producers do not set", |()| {
        cat(&["-P", "-H", "REAL_QID=3"])
    }),
    row("property ... is empty, or it or its value has a byte 1 or 2 in it, ...", |()| {
        cat(&["-P", "-H", "colour=a\u{1}b"])
    }),
    row("a delimiter has at least one byte", |()| cat(&["-D", ""])),
    row(r"...: there is no escape ...: \n \r \t \0 \\ \xNN are", |()| cat(&["-D", r"\q"])),
    row("... is no byte, which has two digits 0-9, a-f", |()| cat(&["-D", r"\xg0"])),
    row("... ends with %: write %% for one", |()| cat(&["-f", "50 %"])),
    row("...: %{ has no } behind it", |()| cat(&["-f", "%{colour"])),
];

fn cat(options: &[&str]) -> String {
    let always = ["admin", "cat", "-t", "T", "-n", NOBODY];
    run(&[always.as_slice(), options].concat())
}

// Single: nothing is served.
#[test]
fn every_refusal_of_an_option_of_cat_and_dlq_is_provoked() {
    provoke_all(ROWS, &mut ());
}
