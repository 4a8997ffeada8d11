use super::*;

fn findings(text: &str) -> Vec<Finding> {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("broker.conf");
    std::fs::write(&path, text).expect("written");
    BrokerConfig::review(&path).expect("readable")
}

#[test]
fn each_line_has_its_verdict() {
    let all = findings(
        "\u{FEFF}brokerName = a\r\nlistenPort=1000\r\n\tlistenPort:\t2000\r\n\
         sendMessageThreadPoolNums=16\nlistenport=1\nfileReservedTime=48 # hours\n\
         maxMessageSize=16777216\nsyncFlushTimeout=1\nbrokerIP1=${POD_IP}\n\
         enableDLegerCommitLog=true\ntls.server.keyPassword=a${b}\n",
    );
    let verdict = |line: usize| {
        let found = all.iter().find(|finding| finding.line == line).expect("a line");
        (found.key.as_str(), found.value.as_str(), &found.verdict)
    };
    assert_eq!(verdict(1), ("brokerName", "a", &Verdict::Used(None)));
    assert_eq!(verdict(2), ("listenPort", "1000", &Verdict::Replaced(3)));
    assert_eq!(verdict(3), ("listenPort", "2000", &Verdict::Used(None)));
    let text = |line| match verdict(line).2 {
        Verdict::Used(Some(text)) | Verdict::Ignored(text) => text,
        Verdict::Unknown(text) | Verdict::Refused(text) => text,
        other => panic!("line {line}: {other:?}"),
    };
    assert!(matches!(verdict(4).2, Verdict::Ignored(_)) && text(4).contains("no pools of threads"));
    assert!(matches!(verdict(5).2, Verdict::Unknown(_)));
    assert!(text(5).ends_with("did you mean listenPort?"), "{}", text(5));
    assert!(matches!(verdict(6).2, Verdict::Refused(_)) && text(6).contains("lines of their own"));
    assert!(text(7).contains("out of range"), "{}", text(7));
    assert!(matches!(verdict(8).2, Verdict::Ignored(_)), "{:?}", verdict(8));
    assert!(matches!(verdict(9).2, Verdict::Refused(_)));
    assert!(text(9).contains("placeholder ${POD_IP}") && text(9).contains("RINGMQ_BROKER_IP1"));
    assert!(matches!(verdict(10).2, Verdict::Refused(_)) && text(10).contains("replication"));
    assert_eq!(verdict(11), ("tls.server.keyPassword", "(not shown)", &Verdict::Used(None)));
}

/// Each is used, ignored with a reason, or refused.
#[test]
fn no_key_of_rocketmq_is_unknown() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("file.conf");
    let mut count = 0;
    let keys = include_str!("rocketmq_keys.txt").lines();
    for line in keys.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (server, rest) = line.split_once(' ').expect("a server");
        let (_, pair) = rest.split_once(' ').expect("versions");
        std::fs::write(&path, pair).expect("written");
        let found = match server {
            "broker" => BrokerConfig::review(&path),
            _ => NamesrvConfig::review(&path),
        };
        let found = found.expect("readable").pop().expect("a key");
        let is_empty = found.value.is_empty();
        match &found.verdict {
            Verdict::Used(_) | Verdict::Ignored(_) => {}
            // Java's default is nothing, which no text says.
            Verdict::Refused(_) if is_empty => {}
            other => panic!("{line}: {other:?}"),
        }
        count += 1;
    }
    assert!(count > 500, "{count} keys");
}

#[test]
fn a_file_is_known_by_its_keys_or_by_its_name() {
    let directory = tempfile::tempdir().expect("a directory");
    let is_of_name_server = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("written");
        is_of_name_server(&path).expect("readable")
    };
    assert!(is_of_name_server("a.conf", "kvConfigPath=/a\nlistenPort=1\n"));
    assert!(!is_of_name_server("namesrv.conf", "brokerName=a\n"));
    assert!(is_of_name_server("my-namesrv.conf", "listenPort=1\n"));
    assert!(!is_of_name_server("b.conf", "listenPort=1\n"));
}

/// Name, text, and whether a broker starts with it.
fn our_templates() -> Vec<(&'static str, String, bool)> {
    let conf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conf");
    let all = [
        ("broker.conf", true),
        ("2m-noslave/broker-a.properties", true),
        ("2m-noslave/broker-b.properties", true),
        ("2m-noslave/broker-trace.properties", true),
        ("2m-2s-async/broker-a.properties", true),
        ("2m-2s-async/broker-b.properties", true),
        ("2m-2s-async/broker-a-s.properties", false),
        ("2m-2s-async/broker-b-s.properties", false),
        ("2m-2s-sync/broker-a.properties", false),
        ("2m-2s-sync/broker-b.properties", false),
        ("2m-2s-sync/broker-a-s.properties", false),
        ("2m-2s-sync/broker-b-s.properties", false),
        ("dledger/broker-n0.conf", false),
        ("dledger/broker-n1.conf", false),
        ("dledger/broker-n2.conf", false),
    ];
    let read = |name: &str| std::fs::read_to_string(conf.join(name)).expect("a template");
    all.map(|(name, starts)| (name, read(name), starts)).into()
}

/// RocketMQ's own templates by what they say, and ours: each starts, or says what is not there.
#[test]
fn templates_load_or_say_that_replication_is_not_there() {
    let usual = "brokerClusterName=DefaultCluster\ndeleteWhen=04\nfileReservedTime=48\n\
                 flushDiskType=ASYNC_FLUSH\nbrokerName=broker-a\n";
    let dledger = "brokerClusterName = RaftCluster\nbrokerName=RaftNode00\nlistenPort=30911\n\
                   namesrvAddr=127.0.0.1:9876\nstorePathRootDir=/tmp/rmqstore/node00\n\
                   storePathCommitLog=/tmp/rmqstore/node00/commitlog\n\
                   enableDLegerCommitLog=true\ndLegerGroup=RaftNode00\n\
                   dLegerPeers=n0-127.0.0.1:40911;n1-127.0.0.1:40912;n2-127.0.0.1:40913\n\
                   dLegerSelfId=n0\nsendMessageThreadPoolNums=16\n";
    let container = "listenPort=10911\nhaListenPort=10912\ntotalReplicas=2\ninSyncReplicas=2\n\
                     minInSyncReplicas=1\nenableAutoInSyncReplicas=true\nslaveReadEnable=true\n\
                     brokerHeartbeatInterval=1000\nbrokerNotActiveTimeoutMillis=5000\n\
                     sendHeartbeatTimeoutMillis=1000\nenableSlaveActingMaster=true\n";
    let controller = "brokerId = -1\nenableControllerMode = true\n\
                      controllerAddr = 127.0.0.1:9878\nallAckInSyncStateSet=true\n";
    let of = |role: &str, id: i64| format!("{usual}brokerRole={role}\nbrokerId={id}\n");
    let (async_master, sync_master, slave) =
        (of("ASYNC_MASTER", 0), of("SYNC_MASTER", 0), of("SLAVE", 1));
    let theirs = [
        ("broker.conf, 2m-noslave, master of 2m-2s-async", async_master, true),
        ("master of 2m-2s-sync", sync_master.clone(), false),
        ("slaves", slave.clone(), false),
        ("dledger", dledger.to_owned(), false),
        ("container, master", format!("{sync_master}{container}"), false),
        ("container, slave", format!("{slave}{container}"), false),
        ("controller", format!("{usual}brokerRole = SLAVE\n{controller}"), false),
    ];
    let directory = tempfile::tempdir().expect("a directory");
    for (name, text, starts) in theirs.into_iter().chain(our_templates()) {
        let path = directory.path().join("template.conf");
        std::fs::write(&path, &text).expect("written");
        let loaded = BrokerConfig::load(Some(&path), &[]).map_err(|error| error.to_string());
        let served = loaded.and_then(|loaded| loaded.config.unserved().map(|()| loaded));
        match served {
            Ok(loaded) => {
                assert!(starts, "{name} starts");
                assert!(loaded.warnings.is_empty(), "{name}: {:?}", loaded.warnings);
            }
            Err(sentence) => {
                assert!(!starts && sentence.contains("replication"), "{name}: {sentence}");
            }
        }
        if name.contains("2m-2s") && name.contains('/') {
            assert!(text.starts_with("# RingMQ has no replication yet: "), "{name}");
        }
    }
    let namesrv = directory.path().join("namesrv.conf");
    for text in ["supportActingMaster=true\n", "enableControllerInNamesrv = true\n"] {
        std::fs::write(&namesrv, text).expect("written");
        NamesrvConfig::load(Some(&namesrv), &[]).expect("starts");
    }
}

#[test]
fn what_clients_are_told_is_an_address_or_a_name() {
    let load =
        |value: &str| BrokerConfig::load(None, &[("brokerIP1".to_owned(), value.to_owned())]);
    for good in ["10.0.0.1", "::1", "[::1]", "broker-1.example", "my_broker"] {
        assert_eq!(load(good).expect("good").config.broker_ip1, good);
    }
    for bad in ["10.0.0.1:10911", "10.0.0.1 # eth0", "http://host", "a b"] {
        let error = load(bad).expect_err(bad).to_string();
        assert!(error.contains("neither an IP address nor a host name"), "{error}");
    }
    let bound = BrokerConfig::load(None, &[("bindAddress".to_owned(), "127.0.0.9".to_owned())]);
    assert_eq!(bound.expect("good").config.broker_ip1, "127.0.0.9");
}
