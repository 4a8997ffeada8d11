//! Messages from and to pipes.

use std::io::Write;
use std::process::{Command, Stdio};

use ringmq_test_client::forget_environment;

use super::cluster::Cluster;
use crate::process::binary;
use crate::shards::for_shards;

for_shards!(messages_come_from_pipes_and_go_to_them);

/// Runs `ringmq admin cat LINE` with this on standard input.
fn fed(cluster: &Cluster, line: &str, input: &str) -> (i32, String, String) {
    let mut command = Command::new(binary());
    command.args(["admin", "cat"]).args(line.split_whitespace());
    forget_environment(&mut command);
    command.env("NAMESRV_ADDR", cluster.names.address.to_string());
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().expect("the binary can be started");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

fn messages_come_from_pipes_and_go_to_them(shards: u32) {
    let cluster = Cluster::start("commands-cat", shards);
    cluster.works("updateTopic -b {a} -t Lines -r 1 -w 1");
    let (code, out, err) = fed(&cluster, "-t Lines -P -K : -g red", "k1:one\nk2:two\nk3:three");
    assert_eq!((code, out.as_str(), err.as_str()), (0, "3 messages are sent\n", ""));
    let (code, out, _) = fed(&cluster, "-t Lines -P -c 1", "four\nfive\n");
    assert_eq!((code, out.as_str()), (0, "1 messages are sent\n"));
    let (code, _, err) = fed(&cluster, "-t Lines -P -K :", "k:five\nsix\n");
    let part = "line 2; those before it are sent: a line without \":\"";
    assert!(code == 1 && err.contains(part), "{err}");
    let run = |line: &str| cluster.run(&format!("cat -t Lines {line}")).out;
    assert_eq!(run("-e"), "one\ntwo\nthree\nfour\nfive\n");
    assert_eq!(run("-e -o 1 -c 2 -f %k=%s@%o%%\\n"), "k2=two@1%\nk3=three@2%\n");
    assert_eq!(run("-e -o -1 -f %b/%q/%S"), "broker-a/0/4");
    assert_eq!(run("-e -g red -f %s,"), "one,two,three,");
    assert_eq!(run("-e -o end"), "");
    assert_eq!(run("-e -o s@0 -c 1"), "one\n");
    // without -e it waits for more, here until it has enough
    assert_eq!(run("-c 5"), "one\ntwo\nthree\nfour\nfive\n");
    let rows = run("-e -o 3 --output csv");
    let head = "id,broker,queue,offset,stored,tags,keys,body\n";
    assert!(rows.starts_with(head) && rows.ends_with(",k,five\n"), "{rows}");
    cluster.fails("cat -t Lines -e -f %x", 1, "%x means nothing in a format");
    cluster.fails("cat -t Lines -e -o soon", 1, "\"soon\" is neither beginning, end, an offset");
    cluster.fails("cat -t Lines -e -q 7", 3, "topic Lines has no such queue");
}
