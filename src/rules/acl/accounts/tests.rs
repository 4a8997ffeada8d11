use super::*;

/// As RocketMQ ships it.
const SHIPPED: &str = "
globalWhiteRemoteAddresses:
  - 10.10.103.*
  - 192.168.0.*

accounts:
  - accessKey: RocketMQ
    secretKey: 12345678
    whiteRemoteAddress:
    admin: false
    defaultTopicPerm: DENY
    defaultGroupPerm: SUB
    topicPerms:
      - topicA=DENY
      - topicB=PUB|SUB
      - topicC=SUB
    groupPerms:
      # the group should convert to retry topic
      - groupA=DENY
      - groupB=PUB|SUB
      - groupC=SUB

  - accessKey: rocketmq2
    secretKey: 12345678
    whiteRemoteAddress: 192.168.1.*
    # if it is admin, it could access all resources
    admin: true
";

fn parse(text: &str) -> AclFile {
    AclFile::parse(text).unwrap_or_else(|problem| panic!("{text}: {problem}"))
}

fn problem(text: &str) -> String {
    AclFile::parse(text).err().map(|problem| problem.to_string()).unwrap_or_default()
}

#[test]
fn the_file_that_rocketmq_ships_is_read() {
    let file = parse(SHIPPED);
    assert_eq!(file.global_white_addresses.len(), 2);
    let accounts: Vec<_> = file.accounts.iter().map(|(line, account)| (*line, account)).collect();
    assert_eq!(accounts.len(), 2);
    let (line, first) = accounts[0];
    assert_eq!((line, &*first.access_key, &*first.secret_key), (7, "RocketMQ", "12345678"));
    assert_eq!((first.admin, &first.white_remote_address), (false, &None));
    assert_eq!(first.default_group_perm.as_deref(), Some("SUB"));
    let topics = first.topic_perms.as_deref().unwrap_or_default();
    assert_eq!(topics, ["topicA=DENY", "topicB=PUB|SUB", "topicC=SUB"]);
    let (_, second) = accounts[1];
    assert!(second.admin && second.topic_perms.is_none());
    assert_eq!(second.white_remote_address.as_deref(), Some("192.168.1.*"));
    assert!(file.warnings.is_empty());
    assert_eq!(file.version, DataVersion { counter: 0, timestamp: 0, ..file.version });
}

#[test]
fn problems_name_line_and_remedy_and_no_secret() {
    for (text, expected) in [
        ("accounts:\n- accessKey: RocketMQ\n", "line 2: The accessKey=RocketMQ and secretKey=***"),
        ("accounts:\n- accessKey: short\n  secretKey: 12345678\n", "line 2: The accessKey=short"),
        (
            "accounts:\n- accessKey: RocketMQ\n  secretKey: 12345678\n  topicPerm: [a=PUB]\n",
            "line 4: topicPerm is not known; an account has accessKey, ",
        ),
        (
            "accounts:\n- accessKey: RocketMQ\n  secretKey: 12345678\n  admin: perhaps\n",
            "line 4: admin has to be true or false",
        ),
        (
            "accounts:\n- accessKey: RocketMQ\n  secretKey: 12345678\n  topicPerms:\n  - a\n",
            "line 5: \"a\" has to be name=PERMISSION",
        ),
        (
            "accounts:\n- accessKey: RocketMQ\n  secretKey: 12345678\n  whiteRemoteAddress: x\n",
            "line 4: \"x\" is no address",
        ),
        ("globalWhiteRemoteAddresses:\n- 10.0.0.1\n- 10.0.0\n", "line 3: \"10.0.0\" is no address"),
        ("accounts: 5\n", "line 1: accounts has to be a list"),
        ("- a\n", "line 1: the file has to be a map"),
    ] {
        let found = problem(text);
        assert!(found.starts_with(expected), "{found}");
        assert!(!found.contains("12345678"), "{found}");
    }
    let file = parse(
        "accounts:\n- {accessKey: RocketMQ, secretKey: '12345678', \
                      topicPerms: [a=pub]}\nmore: 1\n",
    );
    let warnings: Vec<_> = file.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings[0], "line 3: more means nothing here");
    assert!(warnings[1].starts_with("line 2: a=pub stands for DENY"), "{warnings:?}");
}

#[test]
fn administrators_change_accounts_and_addresses() {
    let config = PlainAccessConfig {
        access_key: "RocketMQ".to_owned(),
        secret_key: "87654321".to_owned(),
        topic_perms: Some(vec!["topicA=PUB".to_owned()]),
        ..PlainAccessConfig::default()
    };
    let file = parse(SHIPPED).with_account(&config).expect("sound");
    let text = file.write_next(1_600_000_000_000);
    let file = parse(&text);
    let (_, changed) = &file.accounts[0];
    assert_eq!(changed.secret_key, "87654321");
    assert_eq!(changed.topic_perms.as_deref().unwrap_or_default(), ["topicA=PUB"]);
    // What was not named stays.
    assert_eq!(changed.group_perms.as_deref().map_or(0, <[String]>::len), 3);
    assert!(text.contains("secretKey: '87654321'"), "a text for Java too: {text}");
    assert_eq!((file.version.counter, file.version.timestamp), (1, 1_600_000_000_000));
    let new = PlainAccessConfig { access_key: "another".to_owned(), ..config };
    let file = file.with_account(&new).expect("sound");
    let file = parse(&file.write_next(1));
    assert_eq!((file.accounts.len(), file.version.counter), (3, 2));
    let file = file.without_account("another").ok().flatten().expect("it was there");
    assert!(file.without_account("another").is_ok_and(|none| none.is_none()));
    let addresses = ["10.0.0.1".to_owned(), "*".to_owned()];
    let file = file.with_global_white_addresses(&addresses).expect("sound");
    let file = parse(&file.write_next(2));
    assert_eq!((file.accounts.len(), file.global_white_addresses.len()), (2, 2));
    assert!(file.with_global_white_addresses(&["x".to_owned()]).is_err());
}

#[test]
fn changes_that_make_no_sense_are_refused_in_the_words_of_java() {
    let file = parse(SHIPPED);
    let with = |config: PlainAccessConfig| match file.with_account(&config) {
        Ok(_) => String::new(),
        Err(problem) => problem.text,
    };
    let sound = PlainAccessConfig {
        access_key: "RocketMQ".to_owned(),
        secret_key: "12345678".to_owned(),
        ..PlainAccessConfig::default()
    };
    assert_eq!(with(sound.clone()), "");
    let perm = |perm: &str| Some(vec![perm.to_owned()]);
    let found = with(PlainAccessConfig { topic_perms: perm("a"), ..sound.clone() });
    assert!(found.starts_with("Parse Resource format error for a.\n"), "{found}");
    let found = with(PlainAccessConfig { group_perms: perm("a=pub"), ..sound.clone() });
    assert!(found.starts_with("Parse resource permission error for a=pub.\n"), "{found}");
    let found = with(PlainAccessConfig { secret_key: "123456".to_owned(), ..sound });
    assert!(found.starts_with("The accessKey=RocketMQ and secretKey=*** cannot"), "{found}");
}

#[test]
fn an_empty_file_gets_its_first_account() {
    let config = PlainAccessConfig {
        access_key: "RocketMQ".to_owned(),
        secret_key: "12345678".to_owned(),
        ..PlainAccessConfig::default()
    };
    for text in ["", "# nothing\n", "accounts:\n", "accounts: []\n"] {
        let file = parse(text).with_account(&config).expect("sound");
        assert_eq!(parse(&file.write_next(1)).accounts.len(), 1, "{text}");
    }
}
