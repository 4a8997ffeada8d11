//! The program's own clients with TLS.

use std::time::Duration;

use super::authority::Authority;
use super::await_line;
use super::names::{Standalone, text};
use crate::process::{self, Process};

/// What a tool says, and whether it ended well.
fn run(directory: &std::path::Path, arguments: &[&str]) -> (bool, String) {
    let mut tool = Process::start(arguments, directory.join("tool.log"));
    let status = tool.wait(Duration::from_secs(60));
    (status.success(), tool.output())
}

// Single: about the tools, which see no shards.
#[test]
fn the_load_tool_and_admin_use_tls_where_a_server_takes_nothing_else() {
    let directory = process::directory("tls-tools");
    let path = directory.path();
    let (authority, stranger) = (Authority::new(), Authority::new());
    let trusted = text(&authority.write(path));
    let mut keys = authority.issue().write(path);
    keys.extend([
        ("tls.server.mode", "enforcing".to_owned()),
        ("tls.server.need.client.auth", "require".to_owned()),
        ("tls.server.authClient", "true".to_owned()),
        ("tls.server.trustCertPath", trusted.clone()),
        ("tls.client.certPath", keys[0].1.clone()),
        ("tls.client.keyPath", keys[1].1.clone()),
    ]);
    let server = Standalone::start(path, &keys);
    await_line(&server.process, "registered", 1);
    let own = authority.issue();
    let (certificate, key) = (path.join("own.pem"), path.join("own.key"));
    std::fs::write(&certificate, &own.certificate).expect("the directory is ours");
    std::fs::write(&key, &own.key).expect("the directory is ours");
    let (certificate, key) = (text(&certificate), text(&key));
    let shown = ["--tls", "--tls-cert", &certificate, "--tls-key", &key];
    let names = format!("127.0.0.1:{}", server.names);
    let bench = ["bench", "both", "-n", &names, "-t", "tls", "-q", "300", "-c", "3", "-d", "4"];
    let bench = [&bench[..], &["-s", "20000", "--verify"]].concat();
    // With a trust file and without.
    for more in [&["--tls-trust", trusted.as_str()][..], &[]] {
        let (good, output) = run(path, &[&bench[..], &shown, more].concat());
        assert!(good, "{output}");
        let all = output.lines().filter(|line| line.contains("(300 messages"));
        assert_eq!(all.count(), 2, "both kinds count every message:\n{output}");
    }
    let admin = ["admin", "storagePlan", "-n", &names];
    let (good, output) = run(path, &[&admin[..], &shown, &["--tls-trust", &trusted]].concat());
    assert!(good && output.contains("Log 0:"), "{output}");
    // Refused: without TLS, without a certificate, and by a client that trusts others.
    server.process.expects("connection closed: it lacks TLS, tls.server.mode = enforcing");
    server.process.expects("connection closed: TLS: ");
    let other = process::directory("tls-other");
    let others = text(&stranger.write(other.path()));
    let unknown = [&shown[..], &["--tls-trust", &others]].concat();
    for more in [&[][..], &["--tls"], &unknown] {
        let (good, output) = run(path, &[&admin[..], more].concat());
        assert!(!good, "{more:?}: {output}");
    }
}
