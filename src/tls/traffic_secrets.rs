//! Secrets that the keys of TLS 1.3 are made of: caught when a handshake makes them, because rustls
//! gives the keys of a connection away and not what the next ones follow from.

use std::cell::RefCell;

use ringmq_io::kernel_tls::{Cipher, Keys, Version};
use rustls::{
    KeyLog, Tls13CipherSuite,
    crypto::tls13::{HkdfExpander, OkmBlock, OutputLengthError},
};

const OF_CLIENT: &str = "CLIENT_TRAFFIC_SECRET_0";
const OF_SERVER: &str = "SERVER_TRAFFIC_SECRET_0";
/// The longest hash.
const HASH_BYTES_MAX: usize = 64;

/// The first secrets of both sides of a connection with TLS 1.3. They are gone with this.
#[derive(Default)]
pub struct Caught {
    pub client: Option<OkmBlock>,
    pub server: Option<OkmBlock>,
}

impl Caught {
    /// Adds what was caught later.
    pub fn add(&mut self, later: Caught) {
        self.client = later.client.or_else(|| self.client.take());
        self.server = later.server.or_else(|| self.server.take());
    }
}

thread_local! {
    static CAUGHT: RefCell<Caught> = RefCell::default();
}

/// What connections do on this thread from here on is caught, and nothing of before.
pub fn begin() {
    drop(take());
}

/// What was caught on this thread.
pub fn take() -> Caught {
    CAUGHT.take()
}

/// Keeps secrets for whoever has a step of a handshake done on this thread; they go nowhere else.
#[derive(Debug)]
pub struct Catcher;

impl KeyLog for Catcher {
    fn log(&self, label: &str, _: &[u8], secret: &[u8]) {
        if secret.len() > HASH_BYTES_MAX {
            return;
        }
        CAUGHT.with_borrow_mut(|caught| match label {
            OF_CLIENT => caught.client = Some(OkmBlock::new(secret)),
            OF_SERVER => caught.server = Some(OkmBlock::new(secret)),
            _ => {}
        });
    }

    fn will_log(&self, label: &str) -> bool {
        [OF_CLIENT, OF_SERVER].contains(&label)
    }
}

/// The secret of one direction, as RFC 8446, 7.2 and 7.3 has it go on.
pub struct Secret {
    suite: &'static Tls13CipherSuite,
    secret: OkmBlock,
}

impl Secret {
    pub fn new(suite: &'static Tls13CipherSuite, secret: OkmBlock) -> Secret {
        Secret { suite, secret }
    }

    /// The keys that follow from it, for records from `sequence` on.
    pub fn keys(&self, cipher: Cipher, sequence: u64) -> Option<Keys> {
        let expander = self.suite.hkdf_provider.expander_for_okm(&self.secret);
        let mut key = [0; 32];
        let (key, _) = key.split_at_mut(cipher.key_bytes());
        let mut iv = [0; 12];
        expand(&*expander, b"key", key).ok()?;
        expand(&*expander, b"iv", &mut iv).ok()?;
        let keys = Keys::new((Version::Tls13, cipher), key, iv, sequence);
        zeroize::Zeroize::zeroize(key);
        keys
    }

    /// The secret after a change of keys.
    pub fn next(&self) -> Option<Secret> {
        let expander = self.suite.hkdf_provider.expander_for_okm(&self.secret);
        let mut next = [0; HASH_BYTES_MAX];
        let (next, _) = next.split_at_mut_checked(expander.hash_len())?;
        expand(&*expander, b"traffic upd", next).ok()?;
        let secret = OkmBlock::new(next);
        zeroize::Zeroize::zeroize(next);
        Some(Secret { suite: self.suite, secret })
    }
}

/// HKDF-Expand-Label without a context.
fn expand(
    expander: &dyn HkdfExpander,
    label: &[u8],
    output: &mut [u8],
) -> Result<(), OutputLengthError> {
    const PREFIX: &[u8] = b"tls13 ";
    let bytes = u16::try_from(output.len()).map_err(|_| OutputLengthError)?.to_be_bytes();
    let label_bytes = u8::try_from(PREFIX.len() + label.len()).map_err(|_| OutputLengthError)?;
    expander.expand_slice(&[&bytes, &[label_bytes], PREFIX, label, &[0]], output)
}
