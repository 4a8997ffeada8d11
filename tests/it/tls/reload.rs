//! Certificates that change while the broker runs.

use ringmq_remoting::codes::response;

use super::authority::{Authority, paths, tls_client};
use super::{await_line, serves, start};
use crate::client::Client;
use crate::process;
use crate::server::{Server, Settings};
use crate::shards::for_shards;

for_shards!(
    new_certificates_are_taken_without_a_restart_and_bad_ones_are_not,
    files_that_are_no_certificates_stop_the_start,
);

const TAKEN: &str = "certificates are read again: new connections with TLS have them";
const NOT_TAKEN: &str = "certificates have changed and are not taken";

fn new_certificates_are_taken_without_a_restart_and_bad_ones_are_not(shards: u32) {
    let directory = process::directory("tls-reload");
    let (old, new) = (Authority::new(), Authority::new());
    let keys = old.issue().write(directory.path());
    let server = start(directory.path(), shards, keys, Client::connect);
    let (trusts_old, trusts_new) = (old.trusting(None), new.trusting(None));
    let mut lasting = tls_client(server.address, &trusts_old).expect("a handshake");
    lasting.create_topic("reload", 1).expect("an answer").expect(response::SUCCESS);
    new.issue().write(directory.path());
    await_line(&server.process, TAKEN, 1);
    server.process.expects("connection closed: TLS: received fatal alert");
    for _ in 0..shards {
        assert!(serves(tls_client(server.address, &trusts_new).expect("the new one")));
        assert!(tls_client(server.address, &trusts_old).is_err(), "the old one");
    }
    lasting.send("reload", 0, b"x").expect("it stays").expect(response::SUCCESS);
    // A certificate without its key, half a file, and none.
    server.process.expects("certificates have changed and are not taken");
    let (certificate, key) = paths(directory.path());
    let identity = new.issue();
    for (times, bad) in [&identity.certificate, &identity.certificate[..200], ""].iter().enumerate()
    {
        std::fs::write(&certificate, bad).expect("the directory is ours");
        await_line(&server.process, NOT_TAKEN, times + 1);
        assert!(serves(tls_client(server.address, &trusts_new).expect("as before")));
    }
    std::fs::remove_file(&key).expect("it is there");
    await_line(&server.process, NOT_TAKEN, 4);
    assert!(serves(tls_client(server.address, &trusts_new).expect("as before")));
    old.issue().write(directory.path());
    await_line(&server.process, TAKEN, 2);
    assert!(serves(tls_client(server.address, &trusts_old).expect("the old one again")));
    lasting.send("reload", 0, b"y").expect("it stays").expect(response::SUCCESS);
}

fn files_that_are_no_certificates_stop_the_start(shards: u32) {
    let directory = process::directory("tls-refused");
    let identity = Authority::new().issue();
    let keys = identity.write(directory.path());
    let (certificate, key) = paths(directory.path());
    let other = Authority::new().issue();
    let cases = [
        (&certificate, "", "server.pem has no certificates"),
        (&certificate, &identity.key, "server.pem has no certificates"),
        (&certificate, &other.certificate, "tls.server.certPath and tls.server.keyPath"),
        (&key, "nothing", "server.key has no private key"),
        (&key, &identity.certificate, "server.key has no private key"),
    ];
    for (path, text, sentence) in cases {
        identity.write(directory.path());
        std::fs::write(path, text).expect("the directory is ours");
        refused(&directory, shards, keys.clone(), sentence);
    }
    identity.write(directory.path());
    std::fs::remove_file(&key).expect("it is there");
    refused(&directory, shards, keys.clone(), "server.key cannot be read");
    let off = vec![("tls.test.mode.enable", "false".to_owned())];
    refused(&directory, shards, off, "tls.server.certPath is not set");
    let mut unchecked = keys;
    unchecked.push(("tls.server.need.client.auth", "require".to_owned()));
    unchecked.push(("tls.server.authClient", "true".to_owned()));
    identity.write(directory.path());
    refused(&directory, shards, unchecked, "tls.server.trustCertPath is not set");
}

fn refused(
    directory: &tempfile::TempDir,
    shards: u32,
    extra: Vec<(&'static str, String)>,
    sentence: &str,
) {
    let settings = Settings { shards, extra, ..Settings::default() };
    let mut server = Server::spawn(directory.path(), &settings);
    let status = server.process.wait(super::PATIENCE);
    let output = server.process.output();
    assert!(!status.success() && output.contains(sentence), "{sentence}: {output}");
    assert!(!output.contains("PRIVATE KEY"), "{output}");
}
