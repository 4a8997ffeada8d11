//! Accounts of a broker that checks them (`aclEnable`), and the fields that make a request theirs:
//! right ones, those of somebody else, and what is no signature at all.

use fastrand::Rng;
use ringmq_rules::acl::signature::{self, ACCESS_KEY, SIGNATURE};

/// Of a request: names and values.
pub type Fields = Vec<(&'static str, String)>;

/// An access key and its secret key.
type Account = (&'static str, &'static str);

const ADMIN: Account = ("fuzz-admin", "fuzz-secret-1");
const LIMITED: Account = ("fuzz-limited", "fuzz-secret-2");
const UNKNOWN: Account = ("fuzz-unknown", "fuzz-secret-3");

/// What `plain_acl.yml` says.
pub const FILE: &str = "
accounts:
  - accessKey: fuzz-admin
    secretKey: fuzz-secret-1
    admin: true
  - accessKey: fuzz-limited
    secretKey: fuzz-secret-2
    defaultTopicPerm: DENY
    defaultGroupPerm: SUB
    topicPerms: [fuzz0=PUB|SUB, fuzz1=PUB, fuzz2=SUB]
";

/// Makes a request that of the administrator.
pub fn sign_as_admin(fields: &mut Fields, body: &[u8]) {
    sign(ADMIN, fields, body);
}

fn sign((access_key, secret_key): Account, fields: &mut Fields, body: &[u8]) {
    fields.push((ACCESS_KEY, access_key.to_owned()));
    let texts: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let signature = signature::sign(secret_key, &texts, body);
    fields.push((SIGNATURE, signature));
}

/// Signs a request in some way: mostly rightly and for somebody who may ask, if that is `checked`.
pub fn sign_somehow(fields: &mut Fields, body: &[u8], checked: bool, random: &mut Rng) {
    if !checked && random.u8(..16) > 0 {
        return;
    }
    match random.u8(..20) {
        0..=11 => sign(ADMIN, fields, body),
        12..=14 => sign(LIMITED, fields, body),
        15 => sign(UNKNOWN, fields, body),
        16 => sign((ADMIN.0, LIMITED.1), fields, body),
        17 => fields.push((ACCESS_KEY, ADMIN.0.to_owned())),
        18 => {
            sign(ADMIN, fields, body);
            let last = fields.last_mut().expect("it was signed");
            last.1 = damaged(&last.1, random);
        }
        _ => {}
    }
}

/// A signature that is none any more.
fn damaged(signature: &str, random: &mut Rng) -> String {
    match random.u8(..6) {
        0 => String::new(),
        1 => "=".repeat(random.usize(..100)),
        2 => "\u{1}\u{0}\u{4e2d}".to_owned(),
        3 => signature[..random.usize(..signature.len())].to_owned(),
        4 => signature.repeat(random.usize(2..2_000)),
        _ => signature.to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_signed_by_everybody_and_nobody() {
        let mut random = Rng::with_seed(1);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..500 {
            let mut fields = Vec::new();
            sign_somehow(&mut fields, b"body", true, &mut random);
            let key = fields.first().map(|(_, key)| key.clone());
            seen.insert((key, fields.len()));
        }
        let mut of = |key: Option<Account>, fields| {
            assert!(seen.remove(&(key.map(|(key, _)| key.to_owned()), fields)), "{key:?} {fields}");
        };
        of(Some(ADMIN), 2);
        of(Some(ADMIN), 1);
        of(Some(LIMITED), 2);
        of(Some(UNKNOWN), 2);
        of(None, 0);
        assert!(seen.is_empty(), "{seen:?}");
    }
}
