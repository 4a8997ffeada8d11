//! Accounts and addresses ready to check requests against: an immutable value that all shards
//! share. Source: `PlainPermissionManager`, whose words refusals have.

use std::{net::IpAddr, sync::Arc};

use ahash::AHashMap;
use ringmq_remoting::command::Header;

use super::{
    accounts::{AclFile, PlainAccessConfig, Problem},
    address::AddressRule,
    needs::{Action, Need, Needs},
    permission,
    signature::{ACCESS_KEY, SecretKey},
};
use crate::{
    meta::DataVersion,
    refusal::Refusal,
    topic::{RETRY_PREFIX, TRACE_TOPIC},
};

/// What Java names its exceptions, which begin every remark.
const EXCEPTION: &str = "org.apache.rocketmq.acl.common.AclException: ";

struct Account {
    secret_key: SecretKey,
    white_address: AddressRule,
    admin: bool,
    default_topic: u8,
    default_group: u8,
    topics: AHashMap<String, u8>,
    groups: AHashMap<String, u8>,
}

/// The rules of all files.
#[derive(Default)]
pub struct AccessRules {
    white_addresses: Vec<AddressRule>,
    accounts: AHashMap<String, Account>,
    /// Of each file, by its path.
    pub versions: Vec<(Arc<str>, DataVersion)>,
}

/// Numbers only: secret keys are not printed.
impl std::fmt::Debug for AccessRules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (accounts, addresses) = (self.accounts.len(), self.white_addresses.len());
        write!(f, "AccessRules({accounts} accounts, {addresses} addresses)")
    }
}

/// A request that is to be checked.
pub struct Asked<'a> {
    pub header: &'a Header<'a>,
    pub body: &'a [u8],
    /// Where it comes from.
    pub address: IpAddr,
}

impl AccessRules {
    /// Adds what a file says. Of an account that another file has too the first counts, as in
    /// Java; those that do not count are returned with their lines.
    pub fn add(&mut self, path: &str, file: &AclFile) -> Vec<Problem> {
        self.versions.push((path.into(), file.version));
        self.white_addresses
            .extend(file.global_white_addresses.iter().map(|(_, rule)| rule.clone()));
        let mut repeated = Vec::new();
        for (line, config) in &file.accounts {
            if self.accounts.contains_key(&config.access_key) {
                let text = format!(
                    "the account {} is there already, and this one does not count: take one out",
                    config.access_key
                );
                repeated.push(Problem::new(*line, text));
                continue;
            }
            self.accounts.insert(config.access_key.clone(), Account::new(config));
        }
        repeated
    }

    pub fn accounts(&self) -> usize {
        self.accounts.len()
    }

    /// Whether requests of any account, or any address, can be taken at all.
    pub fn are_empty(&self) -> bool {
        self.accounts.is_empty() && self.white_addresses.is_empty()
    }

    /// Whether a request may be handled.
    ///
    /// # Errors
    /// The answer to it if not: as Java gives it, but for the place in Java's source.
    pub fn check(&self, asked: &Asked<'_>, needs: Needs) -> Result<(), Refusal> {
        if self.white_addresses.iter().any(|rule| rule.matches(asked.address)) {
            return Ok(());
        }
        let Some(access_key) = asked.header.fields.get(ACCESS_KEY) else {
            return Err(denied("No accessKey is configured"));
        };
        let Some(account) = self.accounts.get(access_key) else {
            return Err(denied(&format!("No acl config for {access_key}")));
        };
        if account.white_address.matches(asked.address) {
            return Ok(());
        }
        if !account.secret_key.has_signed(asked.header, asked.body) {
            return Err(denied(&format!("Check signature failed for accessKey={access_key}")));
        }
        account.check(access_key, asked, needs)
    }
}

#[cold]
fn denied(why: &str) -> Refusal {
    Refusal::system_error([EXCEPTION, why].concat())
}

impl Account {
    fn new(config: &PlainAccessConfig) -> Account {
        // Neither is looked at before the file was checked: what cannot be read denies.
        let white_address = config.white_remote_address.as_deref().unwrap_or_default();
        let default =
            |word: &Option<String>| permission::of_word(word.as_deref().unwrap_or("DENY"));
        let split = |perms: &Option<Vec<String>>| -> Vec<(String, u8)> {
            let perms = perms.iter().flatten().filter_map(|text| permission::split(text));
            perms.map(|(name, word)| (name.to_owned(), permission::of_word(word))).collect()
        };
        let mut groups: AHashMap<String, u8> = split(&config.group_perms).into_iter().collect();
        let mut topics = AHashMap::new();
        for (topic, owned) in split(&config.topic_perms) {
            // The retry topic of a group stands for the group.
            match topic.strip_prefix(RETRY_PREFIX) {
                Some(group) => groups.insert(group.to_owned(), owned),
                None => topics.insert(topic, owned),
            };
        }
        Account {
            secret_key: SecretKey::new(&config.secret_key),
            white_address: AddressRule::parse(white_address).unwrap_or(AddressRule::Nobody),
            admin: config.admin,
            default_topic: default(&config.default_topic_perm),
            default_group: default(&config.default_group_perm),
            topics,
            groups,
        }
    }

    fn check(&self, access_key: &str, asked: &Asked<'_>, needs: Needs) -> Result<(), Refusal> {
        let code = asked.header.code;
        if needs.action == Action::Administer && !self.admin {
            return Err(denied(&format!(
                "Need admin permission for request code={code}, but accessKey={access_key} is not"
            )));
        }
        let needed =
            needs.of(asked.header, asked.body).map_err(|error| denied(&error.to_string()))?;
        // Whoever has an account may tell what became of its messages.
        let traces = Need::Topic(TRACE_TOPIC.to_owned(), permission::PUB);
        if needed.contains(&traces) {
            return Ok(());
        }
        // An admin may do everything, unless the account has permissions of its own.
        if self.admin && self.topics.is_empty() && self.groups.is_empty() {
            return Ok(());
        }
        needed.iter().try_for_each(|need| self.allow(need))
    }

    fn allow(&self, need: &Need) -> Result<(), Refusal> {
        let (kind, name, owned, needed) = match need {
            Need::Topic(topic, needed) => {
                ("topic", topic, self.topics.get(topic).unwrap_or(&self.default_topic), *needed)
            }
            Need::Group(group) => {
                let owned = self.groups.get(group).unwrap_or(&self.default_group);
                ("group", group, owned, permission::SUB)
            }
        };
        if permission::allows(*owned, needed) {
            return Ok(());
        }
        Err(denied(&format!("No default permission for {kind}:{name}")))
    }
}

#[cfg(test)]
mod tests;
