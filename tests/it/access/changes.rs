//! Accounts that change while the broker runs: in their files, and by administrators.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use ringmq_remoting::codes::{request, response};

use super::{FILE, SECRET, admin, limited, refused, server};
use crate::process::{self, Process};
use crate::server::{Server, Settings, configure, free_port};
use crate::shards::for_shards;

for_shards!(files_that_change_count_within_a_second, administrators_change_accounts_for_good,);

/// "Within a second", and what a busy machine takes.
const RELOAD_MAX: Duration = Duration::from_millis(1_500);

fn await_answer(what: &str, mut ask: impl FnMut() -> bool) {
    let began = Instant::now();
    while !ask() {
        assert!(began.elapsed() < RELOAD_MAX, "{what}: not within {RELOAD_MAX:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn may_send(server: &Server, access_key: &'static str, topic: &str) -> bool {
    let mut client = server.client().signing(access_key, SECRET);
    client.send(topic, 0, b"x").expect("an answer").code == response::SUCCESS
}

fn files_that_change_count_within_a_second(shards: u32) {
    let (directory, server) = server("reload", shards);
    admin(&server).create_topic("none", 2).expect("an answer").expect(response::SUCCESS);
    assert!(!may_send(&server, "limited", "none"));
    let file = directory.path().join("plain_acl.yml");
    fs::write(&file, FILE.replace("pub=PUB", "none=PUB")).expect("our own file");
    await_answer("a permission", || may_send(&server, "limited", "none"));
    // a connection that is there already, and one that is new on each shard
    for _ in 0..2 * shards {
        assert!(may_send(&server, "limited", "none"));
    }
    let more = directory.path().join("acl/team");
    fs::create_dir_all(&more).expect("our own directory");
    let account = "accounts:\n- accessKey: newcomer\n  secretKey: a-secret-1\n  admin: true\n";
    fs::write(more.join("more.yml"), account).expect("our own file");
    await_answer("an account", || may_send(&server, "newcomer", "none"));
    // What is broken is not taken: nobody loses anything, and one line says why.
    server.process.expects("the files with accounts have changed and are not taken");
    fs::write(&file, "\n\naccounts: none\n").expect("our own file");
    let line = "plain_acl.yml, line 3";
    await_answer("the error", || server.process.output().contains(line));
    assert!(may_send(&server, "limited", "none") && may_send(&server, "newcomer", "none"));
    fs::remove_file(more.join("more.yml")).expect("our own file");
    fs::write(&file, FILE).expect("our own file");
    await_answer("the old rules", || !may_send(&server, "newcomer", "none"));
    assert!(!may_send(&server, "limited", "none"));
    assert_eq!(server.process.output().matches(line).count(), 1, "said once");
}

fn administrators_change_accounts_for_good(shards: u32) {
    let (directory, mut server) = server("change", shards);
    let mut client = admin(&server);
    client.create_topic("none", 2).expect("an answer").expect(response::SUCCESS);
    let update = [
        ("accessKey", "newcomer"),
        ("secretKey", SECRET),
        ("admin", "false"),
        ("defaultTopicPerm", "DENY"),
        ("topicPerms", "none=PUB|SUB,other=SUB"),
        ("groupPerms", "it_group=SUB"),
    ];
    let code = request::UPDATE_AND_CREATE_ACL_CONFIG;
    client.call(code, &update, b"").expect("an answer").expect(response::SUCCESS);
    // Whoever hears the answer may use it at once, on every shard.
    for _ in 0..2 * shards {
        assert!(may_send(&server, "newcomer", "none"));
    }
    let answer = client.call(code, &[("accessKey", "newcomer"), ("admin", "false")], b"");
    let answer = answer.expect("an answer").expect(response::UPDATE_AND_CREATE_ACL_CONFIG_FAILED);
    let keys = "The accessKey=newcomer and secretKey=*** cannot be null";
    assert!(answer.remark.starts_with(keys), "{answer:?}");
    let wrong = [("accessKey", "newcomer"), ("secretKey", SECRET), ("topicPerms", "none")];
    let answer = client.call(code, &wrong, b"").expect("an answer");
    let answer = answer.expect(response::UPDATE_AND_CREATE_ACL_CONFIG_FAILED);
    assert!(answer.remark.starts_with("Parse Resource format error for none."), "{answer:?}");
    let versions = |server: &Server| {
        let answer = limited(server).call(request::GET_BROKER_CLUSTER_ACL_INFO, &[], b"");
        answer.expect("an answer").expect(response::SUCCESS)
    };
    let answer = versions(&server);
    assert!(answer.fields["version"].contains("\"counter\":1"), "{answer:?}");
    assert!(answer.fields["allAclFileVersion"].contains("plain_acl.yml\":{"), "{answer:?}");
    assert_eq!(answer.fields["brokerName"], "broker-a");
    assert_eq!(answer.fields["clusterName"], "DefaultCluster");
    let white = [("globalWhiteAddrs", "127.0.0.77,127.0.0.76")];
    let code = request::UPDATE_GLOBAL_WHITE_ADDRS_CONFIG;
    client.call(code, &white, b"").expect("an answer").expect(response::SUCCESS);
    super::from(&server, 76).send("none", 0, b"x").expect("an answer").expect(0);
    let elsewhere = [("globalWhiteAddrs", "*"), ("aclFileFullPath", "/etc/hostname")];
    let answer = client.call(code, &elsewhere, b"").expect("an answer");
    let answer = answer.expect(response::UPDATE_GLOBAL_WHITE_ADDRS_CONFIG_FAILED);
    assert_eq!(answer.remark, "The globalWhiteAddresses[*] has been updated failed.");
    // All of it is in the file, and nothing secret anywhere else.
    server.process.kill9();
    let log = server.process.output();
    assert!(
        log.contains("administration done") && log.contains("newcomer") && !log.contains(SECRET)
    );
    drop(server);
    let extra = vec![("aclEnable", "true".to_owned())];
    let server =
        Server::start(directory.path(), &Settings { shards, extra, ..Settings::default() });
    assert!(may_send(&server, "newcomer", "none"));
    assert!(versions(&server).fields["version"].contains("\"counter\":2"));
    let mut client = admin(&server);
    let config = client.call(request::GET_BROKER_CONFIG, &[], b"").expect("an answer");
    assert!(!String::from_utf8_lossy(&config.body).contains(SECRET));
    let removal = [("accessKey", "newcomer")];
    let code = request::DELETE_ACL_CONFIG;
    client.call(code, &removal, b"").expect("an answer").expect(response::SUCCESS);
    let answer = server.client().signing("newcomer", SECRET).send("none", 0, b"x");
    refused(&answer.expect("an answer"), "No acl config for newcomer");
    let answer = client.call(code, &removal, b"").expect("an answer");
    let answer = answer.expect(response::DELETE_ACL_CONFIG_FAILED);
    let failed = "The accesskey[newcomer] corresponding to accessConfig has been deleted failed.";
    assert_eq!(answer.remark, failed);
}

fn ends_with(directory: &Path, extra: Vec<(&'static str, String)>) -> String {
    let port = free_port();
    let file = configure(directory, port, &Settings { extra, ..Settings::default() });
    let log = directory.join("broker.log");
    let mut process = Process::start(&["broker", "-c", &file], log);
    process.allows("");
    let status = process.wait(Duration::from_secs(20));
    assert!(!status.success());
    process.output()
}

// Single: what is read at the start is the same for any number of shards.
#[test]
fn a_start_without_sound_accounts_is_refused() {
    let directory = process::directory("no-accounts");
    let acl = || vec![("aclEnable", "true".to_owned())];
    let output = ends_with(directory.path(), acl());
    assert!(output.contains("there is no file with accounts, neither"), "{output}");
    let place = directory.path().join("elsewhere.yml");
    fs::write(&place, "accounts:\n- accessKey: limited\n").expect("our own file");
    let mut extra = acl();
    extra.push(("aclFile", place.display().to_string()));
    let output = ends_with(directory.path(), extra);
    assert!(output.contains("elsewhere.yml, line 2: The accessKey=limited and"), "{output}");
}
