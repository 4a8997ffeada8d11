//! The signature of a request: HMAC-SHA1 over the values of its fields, sorted by their names, and
//! its body, in base64. Source: `AclClientRPCHook`, `AclUtils.combineRequestContent`, `AclSigner`.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use ringmq_remoting::command::Header;
use sha1::Sha1;

pub const ACCESS_KEY: &str = "AccessKey";
pub const SIGNATURE: &str = "Signature";

/// Says that a query looks for a unique id. Clients add it before they sign or after it, by their
/// version.
const UNIQUE_KEY_QUERY: &str = "_UNIQUE_KEY_QUERY";

/// The last version of clients that do not sign [`UNIQUE_KEY_QUERY`]: V4_9_3.
const UNSIGNED_QUERY_VERSION: i32 = 399;

/// A secret key, ready to sign. It cannot be printed.
#[derive(Clone)]
pub struct SecretKey(Hmac<Sha1>);

impl SecretKey {
    pub fn new(key: &str) -> SecretKey {
        SecretKey(Hmac::new_from_slice(key.as_bytes()).expect("keys have any length"))
    }

    /// Whether the request carries the signature that this key makes of it. Takes as long for any
    /// signature of the right length.
    pub fn has_signed(&self, header: &Header<'_>, body: &[u8]) -> bool {
        let Some(signature) = header.fields.get(SIGNATURE) else {
            return false;
        };
        let Ok(signature) = STANDARD.decode(signature) else {
            return false;
        };
        let fields = signed_fields(header);
        let flagged = fields.iter().any(|(name, _)| *name == UNIQUE_KEY_QUERY);
        let with_flag = header.version > UNSIGNED_QUERY_VERSION;
        let matches = |with_flag| {
            let mut mac = self.0.clone();
            for (_, value) in
                fields.iter().filter(|(name, _)| with_flag || *name != UNIQUE_KEY_QUERY)
            {
                mac.update(value.as_bytes());
            }
            mac.update(body);
            mac.verify_slice(&signature).is_ok()
        };
        matches(with_flag) || (flagged && matches(!with_flag))
    }
}

/// Fields by their names; of several with one name the last, which is the one that counts.
fn signed_fields<'a>(header: &'a Header<'_>) -> Vec<(&'a str, &'a str)> {
    let mut fields: Vec<_> = header.fields.iter().filter(|(name, _)| *name != SIGNATURE).collect();
    fields.reverse();
    fields.sort_by_key(|(name, _)| *name);
    fields.dedup_by_key(|(name, _)| *name);
    fields
}

/// The signature of fields and body by a client with this key.
pub fn sign(key: &str, fields: &[(&str, &str)], body: &[u8]) -> String {
    let header = Header { fields: fields.iter().copied().collect(), ..Header::default() };
    let mut mac = SecretKey::new(key).0;
    for (_, value) in signed_fields(&header) {
        mac.update(value.as_bytes());
    }
    mac.update(body);
    STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests;
