//! By which account requests are signed.

use std::fmt;
use std::path::Path;

use anyhow::{Context, bail};
use ringmq_rules::acl::signature::{ACCESS_KEY, SIGNATURE, sign};

/// An account of brokers that check accounts (`aclEnable=true`).
#[derive(Clone)]
pub struct Account {
    access_key: String,
    secret_key: String,
}

impl fmt::Debug for Account {
    /// Without the secret.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Account({})", self.access_key)
    }
}

impl Account {
    pub fn new(access_key: &str, secret_key: &str) -> Account {
        Account { access_key: access_key.to_owned(), secret_key: secret_key.to_owned() }
    }

    /// The account in a file like RocketMQ's `conf/tools.yml`: lines `accessKey: KEY` and
    /// `secretKey: KEY`. `None` if it names neither.
    ///
    /// # Errors
    /// If the file cannot be read, or names only one of them.
    pub fn read(path: &Path) -> anyhow::Result<Option<Account>> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("the account of {}", path.display()))?;
        match (value(&text, "accessKey"), value(&text, "secretKey")) {
            (Some(access_key), Some(secret_key)) => Ok(Some(Account { access_key, secret_key })),
            (None, None) => Ok(None),
            (access_key, _) => {
                let missing = if access_key.is_some() { "secretKey" } else { "accessKey" };
                bail!("{} has no {missing}: add it, or leave both out", path.display())
            }
        }
    }

    /// Adds the access key and the signature to the fields of a request.
    pub(crate) fn sign<'a>(
        &'a self,
        fields: &[(&'a str, &'a str)],
        body: &[u8],
    ) -> (Vec<(&'a str, &'a str)>, String) {
        let mut all = fields.to_vec();
        all.push((ACCESS_KEY, &self.access_key));
        let signature = sign(&self.secret_key, &all, body);
        (all, signature)
    }

    pub(crate) const SIGNATURE: &'static str = SIGNATURE;
}

/// What stands behind `key:` at the start of a line, without quotes and comments.
fn value(text: &str, key: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix(key))?;
    let value = line.trim_start().strip_prefix(':')?.trim();
    let value = match value.chars().next() {
        Some(quote @ ('"' | '\'')) => value.get(1..)?.split(quote).next()?,
        _ => value.split(" #").next()?.trim(),
    };
    (!value.is_empty()).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_people_write_them() {
        let text = "# accounts\naccessKey: rocketmq2\nsecretKey: \"12 # 34\"  # secret\n";
        assert_eq!(value(text, "accessKey").as_deref(), Some("rocketmq2"));
        assert_eq!(value(text, "secretKey").as_deref(), Some("12 # 34"));
        assert_eq!(value("#accessKey: a\n", "accessKey"), None);
        assert_eq!(value("accessKey: plain # why\n", "accessKey").as_deref(), Some("plain"));
        assert_eq!(value("accessKeys: a\n", "accessKey"), None);
    }

    #[test]
    fn half_an_account_is_refused() {
        let path = std::env::temp_dir().join(format!("tools-{}.yml", std::process::id()));
        std::fs::write(&path, "accessKey: a\n").expect("written");
        let why = Account::read(&path).expect_err("no secret").to_string();
        assert!(why.contains("has no secretKey"), "{why}");
        std::fs::write(&path, "#accessKey: a\n").expect("written");
        assert!(Account::read(&path).expect("read").is_none());
        std::fs::remove_file(&path).expect("ours");
    }
}
