use super::*;

fn load(text: &str) -> Result<Loaded<BrokerConfig>, ConfigError> {
    let file = std::env::temp_dir().join(format!(
        "ringmq-config-{}-{:x}.conf",
        std::process::id(),
        crc32c::crc32c(text.as_bytes())
    ));
    std::fs::write(&file, text).expect("the temporary directory is writable");
    let loaded = BrokerConfig::load(Some(&file), &[]);
    std::fs::remove_file(&file).expect("the file was just written");
    loaded
}

#[test]
fn the_sample_of_rocketmq_loads_without_a_warning() {
    let loaded = load(
        "brokerClusterName = DefaultCluster\nbrokerName = broker-a\nbrokerId = 0\n\
         deleteWhen = 04\nfileReservedTime = 48\nbrokerRole = ASYNC_MASTER\n\
         flushDiskType = ASYNC_FLUSH\n",
    )
    .expect("valid");
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    assert_eq!(loaded.config.broker_name, "broker-a");
    assert_eq!(loaded.config.file_reserved_time_hours, 48);
    assert_eq!(loaded.config.flush_disk_type, FlushDiskType::AsyncFlush);
    assert_eq!(loaded.config.ha_listen_port, 10_912);
    assert!(!loaded.config.broker_ip1.is_empty());
    assert!(loaded.config.store_path_commit_log.ends_with("store/commitlog"));
    assert!(matches!(loaded.origins["brokerName"], Origin::File { line: 2, .. }));
    assert_eq!(loaded.origins["haListenPort"], Origin::Derived);
    assert_eq!(loaded.origins["brokerPermission"], Origin::Default);
}

#[test]
fn a_bad_value_names_file_line_key_value_and_range() {
    let error = load("# c\nlistenPort = 70000\n").expect_err("too high").to_string();
    for part in [".conf, line 2", "listenPort", "\"70000\"", "out of range", "0 to 65535"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    let error = load("fileReservedTime = 48 # hours\n").expect_err("no number").to_string();
    assert!(error.contains("(hours)"), "{error}");
    assert!(error.contains("comments on lines of their own"), "{error}");
}

/// D10: what Java starts with starts here too, as something near, with a warning.
#[test]
fn a_value_that_java_takes_does_not_stop_the_start() {
    let odd = [
        ("maxMessageSize", "16777216", "15728640"),
        ("diskMaxUsedSpaceRatio", "100", "95"),
        ("autoCreateTopicEnable", "yes", "false"),
        ("deleteWhen", "25", "25"),
        ("deleteWhen", "04;four", "04;four"),
        ("deleteWhen", "", ""),
        ("brokerPermission", "14", "6"),
        ("diskSpaceCleanForciblyRatio", "95", "90"),
        ("registerNameServerPeriod", "600000", "60000"),
        ("waitTimeMillsInSendQueue", "0", "1"),
        ("fileReservedTime", "-1", "1"),
        ("storePathCommitLog", "/a/log,/b/log", "/a/log"),
    ];
    for (key, value, taken) in odd {
        let loaded = load(&format!("# c\n{key}={value}\n")).expect("Java starts with it");
        assert_eq!(loaded.config.get(key).as_deref(), Some(taken), "{key}");
        assert_eq!(loaded.warnings.len(), 1, "{key}: {:?}", loaded.warnings);
        for part in [".conf, line 2", key, value] {
            assert!(loaded.warnings[0].contains(part), "{part}: {}", loaded.warnings[0]);
        }
    }
    for (key, value) in [("fileReservedTime", "99999"), ("serverChannelMaxIdleTimeSeconds", "0")] {
        let loaded = load(&format!("{key}={value}\n")).expect("as it is");
        assert_eq!(loaded.config.get(key).as_deref(), Some(value));
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    }
}

#[test]
fn no_number_of_a_key_of_rocketmq_but_a_port_stops_the_start() {
    fn check<C: Table>(own: &str) {
        for key in C::KEYS.iter().filter(|key| key.kind == u32::KIND && key.section != own) {
            if matches!(key.limits, Limits::Number(..)) {
                // RingMQ's own keys stand among those of RocketMQ's network.
                let why = key.name.ends_with("Port") || key.name.starts_with("connections");
                assert!(why, "{} has a range that stops the start", key.name);
                continue;
            }
            for value in ["-1", "0", "2147483647"] {
                let taken = C::default().set(key.name, value);
                assert!(taken.is_ok(), "{} = {value}: {taken:?}", key.name);
            }
        }
    }
    check::<BrokerConfig>("RingMQ");
    check::<NamesrvConfig>("Limits");
}

#[test]
fn unknown_and_repeated_keys_are_only_warnings() {
    let loaded = load("brokerNam = a\nlistenPort=1000\nlistenPort=2000\nbrokerName=x # y\n");
    let loaded = loaded.expect("valid");
    assert_eq!(loaded.config.listen_port, 2000);
    assert_eq!(loaded.config.broker_name, "x # y");
    let all = loaded.warnings.join("\n");
    for part in ["did you mean brokerName?", "already set on line 2", "includes \"# y\""] {
        assert!(all.contains(part), "{part}: {all}");
    }
}

#[test]
fn a_key_without_effect_is_told_unless_it_says_the_default() {
    let loaded = load("syncFlushTimeout=1000\nhaTransferBatchSize=32768\n").expect("valid");
    assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
    let warning = &loaded.warnings[0];
    assert!(warning.contains("line 1: syncFlushTimeout = 1000 has no effect"), "{warning}");
    for key in accepted::WITHOUT_EFFECT.iter().flat_map(|(keys, _)| keys.split_whitespace()) {
        assert!(BrokerConfig::key(key).is_some(), "{key} is in the table");
    }
}

#[test]
fn the_command_line_beats_the_preset_and_keys_must_fit_together() {
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let preset = [pair("storePathRootDir", "./data"), pair("listenPort", "1111")];
    let over = [pair("listenPort", "2222")];
    let loaded = BrokerConfig::load_with_preset(None, &preset, &over).expect("valid");
    assert_eq!(loaded.config.listen_port, 2222);
    assert_eq!(loaded.config.store_path_root_dir, PathBuf::from("./data"));
    assert_eq!(loaded.origins["storePathRootDir"], Origin::Preset);
    assert_eq!(loaded.origins["listenPort"], Origin::CommandLine);

    let bad = |pairs: &[(String, String)]| {
        BrokerConfig::load(None, pairs).expect_err("does not fit").to_string()
    };
    assert!(bad(&[pair("brokerRole", "SLAVE")]).contains("an id above 0"));
    assert!(bad(&[pair("haListenPort", "10911")]).contains("two ports"));
    assert!(bad(&[pair("cores", "0"), pair("shards", "2")]).contains("core of its own"));
    let master = BrokerConfig::load(None, &[pair("brokerId", "3")]).expect("Java forces 0");
    assert_eq!((master.config.broker_id, master.warnings.len()), (0, 1));
}

#[test]
fn every_default_is_allowed_and_every_printed_value_reads_back() {
    fn check<C: Table + PartialEq + fmt::Debug>() {
        let mut copy = C::default();
        for key in C::KEYS {
            let value = (key.default)();
            assert_eq!(C::default().get(key.name), Some(value.clone()), "{}", key.name);
            copy.set(key.name, &value).unwrap_or_else(|error| panic!("{}: {error}", key.name));
            assert!(key.doc.ends_with('.'), "{}", key.name);
            assert_eq!(C::KEYS.iter().filter(|other| other.name == key.name).count(), 1);
        }
        assert_eq!(copy, C::default());
        assert_eq!(properties::parse(&copy.to_properties()).len(), C::KEYS.len());
    }
    check::<BrokerConfig>();
    check::<NamesrvConfig>();
    let loaded = BrokerConfig::load(None, &[]).expect("defaults");
    assert!(describe(&loaded).contains("# ---- Store ----"));
}

#[test]
fn the_samples_name_real_keys_with_their_defaults() {
    fn check<C: Table>(sample: &str, examples: &[&str]) {
        for line in sample.lines().filter(|line| line.contains(" =")) {
            let Some(text) = line.strip_prefix('#').or(Some(line)) else {
                continue;
            };
            let entry = properties::parse(text).pop().expect("a key");
            let mut config = C::default();
            let set = config.set(&entry.key, &entry.value);
            set.unwrap_or_else(|error| panic!("{line}: {error}"));
            if line.starts_with('#') && !examples.contains(&entry.key.as_str()) {
                assert_eq!(config.get(&entry.key), C::default().get(&entry.key), "{line}");
            }
        }
    }
    let broker = include_str!("../../../conf/broker.conf");
    let paths = ["certPath", "keyPath", "trustCertPath"];
    let tls: Vec<_> = ["tls.server", "tls.client"]
        .iter()
        .flat_map(|side| paths.iter().map(move |path| format!("{side}.{path}")))
        .collect();
    let mut examples =
        vec!["namesrvAddr", "brokerIP1", "storePathCommitLog", "aclFile", "aclDirectory"];
    examples.extend(tls.iter().map(String::as_str));
    check::<BrokerConfig>(broker, &examples);
    check::<NamesrvConfig>(include_str!("../../../conf/namesrv.conf"), &examples);
    assert!(load(broker).expect("valid").warnings.is_empty());
}

#[test]
fn no_path_address_or_switch_of_security_can_be_changed_at_run_time() {
    let broker = BrokerConfig::KEYS.iter();
    for key in broker.chain(NamesrvConfig::KEYS).filter(|key| key.live) {
        let name = key.name.to_ascii_lowercase();
        for word in ["path", "addr", "ip1", "ip2", "dir", "acl", "admin", "auth"] {
            assert!(!name.contains(word), "{}", key.name);
        }
        assert_ne!(key.kind, "a path");
        assert!(!name.ends_with("port"), "{}", key.name);
    }
}

/// Nobody is to believe that a port is protected when it is not.
#[test]
fn a_key_that_protects_and_is_not_served_stops_the_start() {
    for line in ["authenticationEnabled = true", "authorizationEnabled=TRUE"] {
        let error = load(&format!("{line}\n")).expect_err(line).to_string();
        for part in [".conf, line 1", "asks for protection", "take the key out"] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
    let off = "authenticationEnabled = false\n";
    assert_eq!(load(off).expect("harmless").warnings.len(), 1);
    // Name servers make no connections.
    let set = [("useTLS".to_owned(), "true".to_owned())];
    assert!(NamesrvConfig::load(None, &set).is_err());
}

#[test]
fn keys_of_tls_that_protect_are_kept_or_stop_the_start() {
    for (lines, part) in [
        ("tls.server.mode = enforcng\n", "one of: disabled permissive enforcing"),
        ("tls.server.need.client.auth = required\n", "one of: none optional require"),
        ("tls.kernel = on\n", "one of: auto off"),
        ("tls.server.authClient = true\n", "does not go with tls.server.need.client.auth = none"),
    ] {
        let error = load(lines).expect_err(lines).to_string();
        assert!(error.contains(part), "{part}: {error}");
    }
    let any = load("tls.server.need.client.auth = require\n").expect("as in Java");
    assert!(any.warnings[0].contains("any certificate is taken"), "{:?}", any.warnings);
    let plain = load("").expect("defaults").config;
    assert_eq!((plain.tls().mode, plain.tls().test_mode), (TlsMode::Permissive, true));
    assert!(!plain.tls_client().enable);
    let all = load("tls.server.mode = enforcing\n").expect("sound").config;
    assert!(all.tls_client().enable, "name servers are likely to enforce it as well");
    let own = load("tls.server.certPath = /a\nuseTLS = true\n").expect("sound").config;
    assert!(!own.tls().test_mode && own.tls_client().enable);
}

#[test]
fn a_password_is_shown_nowhere() {
    let loaded = load("tls.server.keyPassword = geheim-1\n").expect("sound");
    assert_eq!(loaded.config.tls().key_password.0, "geheim-1");
    let shown = [
        describe(&loaded),
        loaded.config.to_properties(),
        format!("{:?}", loaded.config),
        format!("{:?}", loaded.config.tls()),
    ];
    assert!(shown.iter().all(|text| !text.contains("geheim-1") && text.contains("(not shown)")));
}

#[test]
fn the_file_of_tls_counts_less_than_the_configuration_file() {
    let directory = std::env::temp_dir().join(format!("ringmq-tls-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let (file, own) = (directory.join("tls.properties"), directory.join("own.conf"));
    let text = "tls.server.mode=enforcing\ntls.server.certPath=/a\ntls.client.authServer=true\n";
    std::fs::write(&file, text).expect("written");
    let named = format!("tls.config.file={}\ntls.server.certPath=/b\n", file.display());
    std::fs::write(&own, &named).expect("written");
    let broker = BrokerConfig::load(Some(&own), &[]).expect("sound");
    let tls = broker.config.tls();
    assert_eq!((tls.mode, tls.cert_path.to_str()), (TlsMode::Enforcing, Some("/b")));
    assert!(broker.config.tls_client().auth_server);
    assert!(matches!(broker.origins["tls.server.mode"], Origin::File { .. }));
    // A name server has no use for the keys of clients.
    let names = NamesrvConfig::load(Some(&own), &[]).expect("sound");
    assert_eq!((names.config.tls().mode, names.warnings.len()), (TlsMode::Enforcing, 0));
    let missing = [("tls.config.file".to_owned(), "/nowhere/tls.properties".to_owned())];
    let error = BrokerConfig::load(Some(&own), &missing).expect_err("it was named").to_string();
    assert!(error.contains("/nowhere/tls.properties"), "{error}");
    std::fs::remove_dir_all(&directory).expect("there");
}
