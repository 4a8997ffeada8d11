//! TLS in the kernel (`TCP_ULP` "tls"): what it is told of a connection, and whether there is any.
//!
//! The kernel knows records and nothing else of TLS: whoever has shaken hands gives it the keys,
//! and says later when others count.

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::fd::AsFd,
};

use nix::{
    errno::Errno,
    sys::socket::{
        SetSockOpt, setsockopt,
        sockopt::{TcpTlsRx, TcpTlsTx, TcpUlp, TlsCryptoInfo},
    },
};
use zeroize::Zeroize;

const KEY_BYTES_MAX: usize = 32;
const IV_BYTES: usize = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Tls12,
    Tls13,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cipher {
    Aes128Gcm,
    Aes256Gcm,
    Chacha20Poly1305,
}

impl Cipher {
    pub const fn key_bytes(self) -> usize {
        match self {
            Cipher::Aes128Gcm => 16,
            Cipher::Aes256Gcm | Cipher::Chacha20Poly1305 => KEY_BYTES_MAX,
        }
    }
}

/// Of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Send,
    Receive,
}

/// What records of one direction are sealed with.
pub struct Keys {
    version: Version,
    cipher: Cipher,
    /// As many bytes of it as the cipher has.
    key: [u8; KEY_BYTES_MAX],
    iv: [u8; IV_BYTES],
    /// Number of the next record.
    sequence: u64,
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.key.zeroize();
        self.iv.zeroize();
    }
}

impl Keys {
    /// `None` if the key has not the length of those of the cipher.
    pub fn new(
        (version, cipher): (Version, Cipher),
        key: &[u8],
        iv: [u8; IV_BYTES],
        sequence: u64,
    ) -> Option<Keys> {
        let mut keys = Keys { version, cipher, key: [0; KEY_BYTES_MAX], iv, sequence };
        let (own, _) = keys.key.split_at_mut(cipher.key_bytes());
        (own.len() == key.len()).then(|| own.copy_from_slice(key))?;
        Some(keys)
    }

    /// For whom they are, the key, and what a nonce is made of.
    pub fn parts(&self) -> ((Version, Cipher), &[u8], [u8; IV_BYTES], u64) {
        let (key, _) = self.key.split_at(self.cipher.key_bytes());
        ((self.version, self.cipher), key, self.iv, self.sequence)
    }

    /// The nonce of TLS 1.2 with GCM is written into each record. rustls has it begin at `iv` and
    /// counts by exclusive or with the number of the record; the kernel begins at what it is given
    /// and adds one for each. Under one key no nonce may come twice, so the kernel begins where the
    /// other way of counting never comes: half of all numbers away.
    fn kernel_iv(&self) -> ([u8; 4], [u8; 8]) {
        let [salt @ .., a, b, c, d, e, f, g, h] = self.iv;
        let mut explicit = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        if self.version == Version::Tls12 {
            explicit ^= 1 << 63;
        }
        (salt, explicit.to_be_bytes())
    }

    fn info(&self) -> TlsCryptoInfo {
        let version = match self.version {
            Version::Tls12 => libc::TLS_1_2_VERSION,
            Version::Tls13 => libc::TLS_1_3_VERSION,
        };
        let info = |cipher_type| libc::tls_crypto_info { version, cipher_type };
        let (salt, iv) = self.kernel_iv();
        let rec_seq = self.sequence.to_be_bytes();
        match self.cipher {
            Cipher::Aes128Gcm => {
                let key = std::array::from_fn(|place| self.key[place]);
                let info = info(libc::TLS_CIPHER_AES_GCM_128);
                let all = libc::tls12_crypto_info_aes_gcm_128 { info, iv, key, salt, rec_seq };
                TlsCryptoInfo::Aes128Gcm(all)
            }
            Cipher::Aes256Gcm => {
                let (key, info) = (self.key, info(libc::TLS_CIPHER_AES_GCM_256));
                let all = libc::tls12_crypto_info_aes_gcm_256 { info, iv, key, salt, rec_seq };
                TlsCryptoInfo::Aes256Gcm(all)
            }
            Cipher::Chacha20Poly1305 => {
                let info = info(libc::TLS_CIPHER_CHACHA20_POLY1305);
                let (key, iv, salt) = (self.key, self.iv, []);
                let all =
                    libc::tls12_crypto_info_chacha20_poly1305 { info, iv, key, salt, rec_seq };
                TlsCryptoInfo::Chacha20Poly1305(all)
            }
        }
    }
}

/// Readies a connection that is established. Until it has keys nothing changes.
pub(crate) fn ready(socket: &impl AsFd) -> io::Result<()> {
    Ok(setsockopt(socket, TcpUlp::default(), b"tls")?)
}

/// From the next record on.
pub(crate) fn set(socket: &impl AsFd, direction: Direction, keys: &Keys) -> io::Result<()> {
    let info = keys.info();
    match direction {
        Direction::Send => TcpTlsTx.set(socket, &info)?,
        Direction::Receive => TcpTlsRx.set(socket, &info)?,
    }
    Ok(())
}

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRecord {
    /// It was not sealed with the keys, or was changed on its way.
    Sealed,
    Long,
    Shape,
}

/// What an error of reading says of a record, if it is of one.
pub fn of_record(error: &io::Error) -> Option<BadRecord> {
    match error.raw_os_error()? {
        libc::EBADMSG => Some(BadRecord::Sealed),
        libc::EMSGSIZE => Some(BadRecord::Long),
        libc::EINVAL => Some(BadRecord::Shape),
        _ => None,
    }
}

/// What this kernel can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// A bit a suite.
    suites: u8,
    /// Keys of TLS 1.3 can be changed (Linux 6.14).
    pub changes_keys: bool,
}

const SUITES: [(Version, Cipher); 6] = [
    (Version::Tls13, Cipher::Aes128Gcm),
    (Version::Tls13, Cipher::Aes256Gcm),
    (Version::Tls13, Cipher::Chacha20Poly1305),
    (Version::Tls12, Cipher::Aes128Gcm),
    (Version::Tls12, Cipher::Aes256Gcm),
    (Version::Tls12, Cipher::Chacha20Poly1305),
];

impl Offer {
    /// All that there may be: for what stands for a kernel in tests.
    pub const ALL: Offer = Offer { suites: (1 << SUITES.len()) - 1, changes_keys: true };

    /// As of a kernel before Linux 6.14.
    pub const fn taking_keys_once(self) -> Offer {
        Offer { changes_keys: false, ..self }
    }

    pub fn has(&self, suite: (Version, Cipher)) -> bool {
        let place = SUITES.iter().position(|known| *known == suite);
        place.is_some_and(|place| self.suites & (1 << place) != 0)
    }
}

impl fmt::Display for Offer {
    /// What it has, and lacks.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has = self.suites.count_ones();
        write!(formatter, "{has} of {} suites, ", SUITES.len())?;
        formatter.write_str(match self.changes_keys {
            true => "changes of keys",
            false => "no changes of keys before Linux 6.14",
        })
    }
}

/// Why there is no TLS in this kernel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lacking {
    #[error("this kernel has no TLS (CONFIG_TLS), or its module is not loaded (modprobe tls)")]
    NotInKernel,
    #[error("this kernel's TLS knows none of the ciphers that are used (error {errno})")]
    NoCipher { errno: i32 },
    #[error("this kernel's TLS could not be tried on a connection over loopback: {reason}")]
    NotTried { reason: String },
}

/// Finds out by connections over loopback, each of which is gone when this returns. The kernel
/// loads its module, if it has one and this process is privileged.
///
/// # Errors
/// If there is none.
pub fn probe() -> Result<Offer, Lacking> {
    let mut offer = Offer { suites: 0, changes_keys: false };
    let mut errno = 0;
    for (place, suite) in SUITES.into_iter().enumerate() {
        let (socket, _peer) = pair().map_err(|error| not_tried(&error))?;
        match setsockopt(&socket, TcpUlp::default(), b"tls") {
            Ok(()) => {}
            Err(Errno::ENOENT | Errno::ENOPROTOOPT | Errno::EOPNOTSUPP) => {
                return Err(Lacking::NotInKernel);
            }
            Err(error) => return Err(not_tried(&error.into())),
        }
        let key = [7; KEY_BYTES_MAX];
        let (key, _) = key.split_at(suite.1.key_bytes());
        let Some(keys) = Keys::new(suite, key, [7; IV_BYTES], 0) else { continue };
        let both = set(&socket, Direction::Send, &keys)
            .and_then(|()| set(&socket, Direction::Receive, &keys));
        match both {
            Ok(()) => offer.suites |= 1 << place,
            Err(error) => errno = error.raw_os_error().unwrap_or(0),
        }
        // TLS 1.2 has no changes of keys.
        if suite.0 == Version::Tls13 && offer.has(suite) {
            offer.changes_keys |= set(&socket, Direction::Send, &keys).is_ok();
        }
    }
    if offer.suites == 0 { Err(Lacking::NoCipher { errno }) } else { Ok(offer) }
}

fn not_tried(error: &io::Error) -> Lacking {
    Lacking::NotTried { reason: error.to_string() }
}

/// Both ends of a connection.
fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let own = TcpStream::connect(listener.local_addr()?)?;
    loop {
        // Anybody may connect to a port.
        let (peer, address) = listener.accept()?;
        if address == own.local_addr()? {
            return Ok((own, peer));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// As rustls and then the kernel count.
    #[test]
    fn no_nonce_comes_twice_with_tls_1_2() {
        for explicit in [0, 1, 7, u64::MAX, 1 << 63, (1 << 63) - 1, 0x0123_4567_89ab_cdef] {
            for handed_over in [1, 2, 5, 100] {
                let mut iv = [0; IV_BYTES];
                iv[4..].copy_from_slice(&u64::to_be_bytes(explicit));
                let suite = (Version::Tls12, Cipher::Aes128Gcm);
                let keys = Keys::new(suite, &[1; 16], iv, handed_over).expect("sound");
                let (_, first) = keys.kernel_iv();
                let first = u64::from_be_bytes(first);
                let mut seen: BTreeSet<u64> = (0..handed_over).map(|n| explicit ^ n).collect();
                assert!((0..1000).all(|count| seen.insert(first.wrapping_add(count))));
            }
        }
    }

    #[test]
    fn keys_have_the_length_of_their_cipher_and_stand_where_the_kernel_looks() {
        let suite = (Version::Tls13, Cipher::Aes256Gcm);
        assert!(Keys::new(suite, &[1; 16], [0; 12], 0).is_none());
        let iv = std::array::from_fn(|place| place as u8);
        let keys = Keys::new(suite, &[1; 32], iv, 0x0102).expect("sound");
        let TlsCryptoInfo::Aes256Gcm(info) = keys.info() else { panic!("{:?}", keys.info()) };
        assert_eq!((info.salt, info.iv), ([0, 1, 2, 3], [4, 5, 6, 7, 8, 9, 10, 11]));
        assert_eq!(info.rec_seq, [0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!((info.info.version, info.info.cipher_type), (0x0304, 52));
        let suite = (Version::Tls12, Cipher::Chacha20Poly1305);
        let keys = Keys::new(suite, &[1; 32], iv, 3).expect("sound");
        let TlsCryptoInfo::Chacha20Poly1305(info) = keys.info() else {
            panic!("{:?}", keys.info())
        };
        assert_eq!((info.iv, info.info.version, info.info.cipher_type), (iv, 0x0303, 54));
    }

    /// Whatever this machine has.
    #[test]
    fn a_kernel_is_tried_without_harm() {
        match probe() {
            Ok(offer) => assert!(SUITES.iter().any(|suite| offer.has(*suite)), "{offer}"),
            Err(lacking) => assert!(lacking.to_string().starts_with("this kernel"), "{lacking}"),
        }
        assert!(SUITES.iter().all(|suite| Offer::ALL.has(*suite)));
    }
}
