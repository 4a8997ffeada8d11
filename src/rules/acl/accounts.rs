//! A file with accounts (`plain_acl.yml`, `acl/*.yml`): what it says, checked, and how requests of
//! administrators change it. Names are those of Java's `PlainAccessConfig` and `AclConstants`.

use std::fmt;

use super::{
    KEY_BYTES_MIN,
    address::AddressRule,
    document::{self, Node, Value},
    permission,
};
use crate::meta::DataVersion;

const GLOBAL_WHITE_ADDRS: &str = "globalWhiteRemoteAddresses";
const ACCOUNTS: &str = "accounts";
const DATA_VERSION: &str = "dataVersion";
const COUNTER: &str = "counter";
const TIMESTAMP: &str = "timestamp";
const ACCESS_KEY: &str = "accessKey";
const SECRET_KEY: &str = "secretKey";
const WHITE_ADDR: &str = "whiteRemoteAddress";
const ADMIN: &str = "admin";
const DEFAULT_TOPIC_PERM: &str = "defaultTopicPerm";
const DEFAULT_GROUP_PERM: &str = "defaultGroupPerm";
const TOPIC_PERMS: &str = "topicPerms";
const GROUP_PERMS: &str = "groupPerms";
const ACCOUNT_KEYS: [&str; 8] = [
    ACCESS_KEY,
    SECRET_KEY,
    WHITE_ADDR,
    ADMIN,
    DEFAULT_TOPIC_PERM,
    DEFAULT_GROUP_PERM,
    TOPIC_PERMS,
    GROUP_PERMS,
];

/// What is wrong with a file, where. Never has a secret key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// 0: of the whole.
    pub line: usize,
    pub text: String,
}

impl Problem {
    pub fn new(line: usize, text: impl Into<String>) -> Problem {
        Problem { line, text: text.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.text),
            line => write!(f, "line {line}: {}", self.text),
        }
    }
}

/// An account as it is written.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PlainAccessConfig {
    pub access_key: String,
    pub secret_key: String,
    pub white_remote_address: Option<String>,
    pub admin: bool,
    pub default_topic_perm: Option<String>,
    pub default_group_perm: Option<String>,
    /// `name=PERMISSION` each.
    pub topic_perms: Option<Vec<String>>,
    pub group_perms: Option<Vec<String>>,
}

/// What a file says.
pub struct AclFile {
    root: Node,
    /// With the lines on which they stand.
    pub global_white_addresses: Vec<(usize, AddressRule)>,
    pub accounts: Vec<(usize, PlainAccessConfig)>,
    pub version: DataVersion,
    /// Half sentences about what is taken otherwise than it looks.
    pub warnings: Vec<Problem>,
}

impl AclFile {
    /// # Errors
    /// If the file is no YAML, or anything in it cannot be meant: nothing that protects is passed
    /// over.
    pub fn parse(text: &str) -> Result<AclFile, Problem> {
        AclFile::read(document::parse(text)?)
    }

    fn read(root: Node) -> Result<AclFile, Problem> {
        let mut warnings = Vec::new();
        match &root.value {
            Value::Null => {}
            Value::Map(members) => {
                let known = [GLOBAL_WHITE_ADDRS, ACCOUNTS, DATA_VERSION];
                for (key, node) in members.iter().filter(|(key, _)| !known.contains(&&**key)) {
                    warnings.push(Problem::new(node.line, format!("{key} means nothing here")));
                }
            }
            _ => return Err(Problem::new(root.line, "the file has to be a map with accounts")),
        }
        let mut global_white_addresses = Vec::new();
        for (line, text) in texts(root.member(GLOBAL_WHITE_ADDRS), GLOBAL_WHITE_ADDRS)? {
            global_white_addresses.push((line, address(line, &text)?));
        }
        let mut accounts = Vec::new();
        for node in items(root.member(ACCOUNTS), ACCOUNTS)? {
            accounts.push((node.line, account(node, &mut warnings)?));
        }
        let version = version(&root);
        Ok(AclFile { root, global_white_addresses, accounts, version, warnings })
    }

    /// The file with an account made, or changed as far as `config` says something.
    ///
    /// # Errors
    /// If what comes of it is wrong.
    pub fn with_account(&self, config: &PlainAccessConfig) -> Result<AclFile, Problem> {
        check_keys(0, &config.access_key, &config.secret_key)?;
        let perms = config.topic_perms.iter().chain(&config.group_perms).flatten();
        perms.into_iter().try_for_each(|perm| check_permission(perm))?;
        let mut root = self.root.clone();
        let accounts = list(&mut root, ACCOUNTS);
        let is_it = |node: &&mut Node| text_of(node.member(ACCESS_KEY)) == Some(&config.access_key);
        match accounts.iter_mut().find(is_it) {
            Some(account) => write_account(account, config),
            None => {
                let mut account = Node::new(Value::Null);
                write_account(&mut account, config);
                accounts.push(account);
            }
        }
        AclFile::read(root)
    }

    /// The file without an account; `None` if it has none of this access key.
    ///
    /// # Errors
    /// As [`AclFile::with_account`].
    pub fn without_account(&self, access_key: &str) -> Result<Option<AclFile>, Problem> {
        let mut root = self.root.clone();
        let accounts = list(&mut root, ACCOUNTS);
        let before = accounts.len();
        accounts.retain(|node| text_of(node.member(ACCESS_KEY)) != Some(access_key));
        if accounts.len() == before {
            return Ok(None);
        }
        AclFile::read(root).map(Some)
    }

    /// The file with these addresses that need no account.
    ///
    /// # Errors
    /// As [`AclFile::with_account`].
    pub fn with_global_white_addresses(&self, addresses: &[String]) -> Result<AclFile, Problem> {
        let mut root = self.root.clone();
        root.set(GLOBAL_WHITE_ADDRS, Node::texts(addresses));
        AclFile::read(root)
    }

    /// The text of the file, as the version after the one it has. `now` is in milliseconds since
    /// 1970.
    pub fn write_next(mut self, now: i64) -> String {
        let mut version = Node::new(Value::Null);
        version.set(COUNTER, Node::word(self.version.counter.wrapping_add(1)));
        version.set(TIMESTAMP, Node::word(now));
        self.root.set(DATA_VERSION, Node::new(Value::List(vec![version])));
        document::write(&self.root)
    }
}

/// The list that is a member of a map, made if it is not there.
fn list<'a>(root: &'a mut Node, name: &str) -> &'a mut Vec<Node> {
    if !matches!(root.member(name), Some(Node { value: Value::List(_), .. })) {
        root.set(name, Node::new(Value::List(Vec::new())));
    }
    match root.member_mut(name) {
        Some(Node { value: Value::List(items), .. }) => items,
        _ => unreachable!("it was just made a list"),
    }
}

fn write_account(account: &mut Node, config: &PlainAccessConfig) {
    account.set(ACCESS_KEY, Node::text(&config.access_key));
    account.set(SECRET_KEY, Node::text(&config.secret_key));
    if let Some(address) = &config.white_remote_address {
        account.set(WHITE_ADDR, Node::text(address));
    }
    account.set(ADMIN, Node::word(config.admin));
    let words = [
        (DEFAULT_TOPIC_PERM, &config.default_topic_perm),
        (DEFAULT_GROUP_PERM, &config.default_group_perm),
    ];
    for (key, word) in words {
        if let Some(word) = word.as_ref().filter(|word| !word.is_empty()) {
            account.set(key, Node::text(word));
        }
    }
    for (key, perms) in [(TOPIC_PERMS, &config.topic_perms), (GROUP_PERMS, &config.group_perms)] {
        if let Some(perms) = perms {
            account.set(key, Node::texts(perms));
        }
    }
}

/// As Java checks what an administrator asks for, with its words.
fn check_permission(text: &str) -> Result<(), Problem> {
    let Some((_, word)) = permission::split(text) else {
        return Err(Problem::new(
            0,
            format!(
                "Parse Resource format error for {text}.\n\
                 The expected resource format is 'Res=Perm'. For example: topicA=SUB"
            ),
        ));
    };
    if permission::named(word).is_none() {
        return Err(Problem::new(
            0,
            format!(
                "Parse resource permission error for {text}.\n\
                 The expected permissions are 'SUB' or 'PUB' or 'SUB|PUB' or 'PUB|SUB'."
            ),
        ));
    }
    Ok(())
}

fn account(node: &Node, warnings: &mut Vec<Problem>) -> Result<PlainAccessConfig, Problem> {
    let Value::Map(members) = &node.value else {
        return Err(Problem::new(node.line, "an account has to be a map with an accessKey"));
    };
    if let Some((key, member)) = members.iter().find(|(key, _)| !ACCOUNT_KEYS.contains(&&**key)) {
        let known = ACCOUNT_KEYS.join(", ");
        let text = format!("{key} is not known; an account has {known}");
        return Err(Problem::new(member.line, text));
    }
    let word = |name: &str| text(node.member(name), name);
    let access_key = word(ACCESS_KEY)?.unwrap_or_default();
    let secret_key = word(SECRET_KEY)?.unwrap_or_default();
    check_keys(node.line, &access_key, &secret_key)?;
    let white_remote_address = word(WHITE_ADDR)?;
    if let Some(text) = &white_remote_address {
        address(node.member(WHITE_ADDR).map_or(node.line, |member| member.line), text)?;
    }
    let perms = |name| -> Result<Option<Vec<(usize, String)>>, Problem> {
        node.member(name).map(|member| texts(Some(member), name)).transpose()
    };
    let (topic_perms, group_perms) = (perms(TOPIC_PERMS)?, perms(GROUP_PERMS)?);
    let mut denied = |line, text: &str, word: &str| {
        if permission::named(word).is_none() {
            warnings.push(Problem::new(
                line,
                format!("{text} stands for DENY: the words are PUB, SUB, PUB|SUB and DENY"),
            ));
        }
    };
    for (line, text) in topic_perms.iter().chain(&group_perms).flatten() {
        let Some((_, word)) = permission::split(text) else {
            return Err(Problem::new(*line, format!("{text:?} has to be name=PERMISSION")));
        };
        denied(*line, text, word);
    }
    let (default_topic_perm, default_group_perm) =
        (word(DEFAULT_TOPIC_PERM)?, word(DEFAULT_GROUP_PERM)?);
    for word in [&default_topic_perm, &default_group_perm].into_iter().flatten() {
        denied(node.line, word, word);
    }
    let only = |perms: Option<Vec<(usize, String)>>| -> Option<Vec<String>> {
        perms.map(|perms| perms.into_iter().map(|(_, text)| text).collect())
    };
    Ok(PlainAccessConfig {
        access_key,
        secret_key,
        white_remote_address,
        admin: truth(node.member(ADMIN), ADMIN)?,
        default_topic_perm,
        default_group_perm,
        topic_perms: only(topic_perms),
        group_perms: only(group_perms),
    })
}

/// Java's words, without the secret key that it repeats.
fn check_keys(line: usize, access_key: &str, secret_key: &str) -> Result<(), Problem> {
    if access_key.len() > KEY_BYTES_MIN && secret_key.len() > KEY_BYTES_MIN {
        return Ok(());
    }
    let text = format!(
        "The accessKey={access_key} and secretKey=*** cannot be null and length should longer \
         than {KEY_BYTES_MIN}"
    );
    Err(Problem::new(line, text))
}

fn address(line: usize, text: &str) -> Result<AddressRule, Problem> {
    AddressRule::parse(text).map_err(|error| Problem::new(line, error.to_string()))
}

fn version(root: &Node) -> DataVersion {
    let first = match root.member(DATA_VERSION).map(|node| &node.value) {
        Some(Value::List(items)) => items.first(),
        _ => None,
    };
    let number = |name| text_of(first?.member(name))?.parse().ok();
    DataVersion {
        timestamp: number(TIMESTAMP).unwrap_or(0),
        counter: number(COUNTER).unwrap_or(0),
        ..DataVersion::default()
    }
}

fn text_of(node: Option<&Node>) -> Option<&str> {
    match &node?.value {
        Value::Text { text, .. } => Some(text),
        _ => None,
    }
}

/// A text that may be missing.
fn text(node: Option<&Node>, name: &str) -> Result<Option<String>, Problem> {
    match node.map(|node| (&node.value, node.line)) {
        None | Some((Value::Null, _)) => Ok(None),
        Some((Value::Text { text, .. }, _)) => Ok(Some(text.clone())),
        Some((_, line)) => Err(Problem::new(line, format!("{name} has to be one word"))),
    }
}

fn truth(node: Option<&Node>, name: &str) -> Result<bool, Problem> {
    let Some(word) = text(node, name)? else { return Ok(false) };
    match word.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => Ok(true),
        "false" | "no" | "off" => Ok(false),
        _ => {
            let line = node.map_or(0, |node| node.line);
            Err(Problem::new(line, format!("{name} has to be true or false")))
        }
    }
}

fn items<'a>(node: Option<&'a Node>, name: &str) -> Result<&'a [Node], Problem> {
    match node.map(|node| (&node.value, node.line)) {
        None | Some((Value::Null, _)) => Ok(&[]),
        Some((Value::List(items), _)) => Ok(items),
        Some((_, line)) => Err(Problem::new(line, format!("{name} has to be a list"))),
    }
}

/// A list of texts with their lines; nulls in it do not count.
fn texts(node: Option<&Node>, name: &str) -> Result<Vec<(usize, String)>, Problem> {
    let mut all = Vec::new();
    for item in items(node, name)? {
        all.extend(text(Some(item), name)?.map(|text| (item.line, text)));
    }
    Ok(all)
}

#[cfg(test)]
mod tests;
