//! What a configuration value can be: how it is read from text, printed, and limited.

use std::{
    fmt,
    net::{IpAddr, ToSocketAddrs},
    path::{Path, PathBuf},
};

/// A type that a configuration key can have.
pub trait Value: Sized {
    /// What to write in an error: `a whole number`.
    const KIND: &'static str;

    /// Reads the text of a file; blanks around it are gone already. The error is a half sentence
    /// such as `is not a whole number`.
    fn parse(text: &str) -> Result<Self, String>;

    /// The text that [`Value::parse`] reads back.
    fn print(&self) -> String;

    /// What [`Limits`] measure: the number itself, or the length of a text in bytes.
    fn measure(&self) -> Option<i64>;

    /// Reads a value within `limits`. What Java takes and this program cannot keep to the letter
    /// becomes the nearest that it can, with a half sentence that says so.
    fn read(text: &str, limits: Limits) -> Result<(Self, Option<String>), String> {
        let value = Self::parse(text)?;
        if !limits.allow(value.measure()) {
            return Err("is out of range".to_owned());
        }
        Ok((value, None))
    }
}

/// Smallest and largest allowed measure of a value, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limits {
    Any,
    /// A number outside is an error.
    Number(i64, i64),
    /// A number outside becomes the nearest inside: Java starts with it.
    Clamp(i64, i64),
    /// Bytes of the text.
    Length(i64, i64),
}

impl Limits {
    pub fn allow(self, measure: Option<i64>) -> bool {
        match (self, measure) {
            (Limits::Any, _) | (_, None) => true,
            (
                Limits::Number(low, high) | Limits::Clamp(low, high) | Limits::Length(low, high),
                Some(measure),
            ) => (low..=high).contains(&measure),
        }
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Limits::Any => f.write_str("any"),
            Limits::Number(low, i64::MAX) | Limits::Clamp(low, i64::MAX) => {
                write!(f, "at least {low}")
            }
            Limits::Number(low, high) | Limits::Clamp(low, high) => write!(f, "{low} to {high}"),
            Limits::Length(low, high) => write!(f, "{low} to {high} bytes of text"),
        }
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Value for $number {
            const KIND: &'static str = "a whole number";

            fn parse(text: &str) -> Result<Self, String> {
                // As `Long.parseLong`: an optional sign and decimal digits.
                let number: i64 = text.parse().map_err(|_| "is not a whole number".to_owned())?;
                <$number>::try_from(number).map_err(|_| "is out of range".to_owned())
            }

            fn print(&self) -> String {
                self.to_string()
            }

            fn measure(&self) -> Option<i64> {
                Some(i64::try_from(*self).unwrap_or(i64::MAX))
            }

            fn read(text: &str, limits: Limits) -> Result<(Self, Option<String>), String> {
                if let (Limits::Clamp(low, high), Ok(number)) = (limits, text.parse::<i64>()) {
                    let taken = number.clamp(low, high);
                    let changed = taken != number;
                    let note = changed.then(|| format!("is out of range, {limits}: it is {taken}"));
                    let value = Self::try_from(taken).map_err(|_| "is out of range".to_owned())?;
                    return Ok((value, note));
                }
                let value = Self::parse(text)?;
                if !limits.allow(value.measure()) {
                    return Err("is out of range".to_owned());
                }
                Ok((value, None))
            }
        }
    )*};
}

numbers!(u16, u32, u64, i32, i64, usize);

impl Value for bool {
    const KIND: &'static str = "true or false";

    /// As `Boolean.parseBoolean`: capitals do not matter, and all that is not true is false.
    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.eq_ignore_ascii_case("true"))
    }

    fn print(&self) -> String {
        self.to_string()
    }

    fn measure(&self) -> Option<i64> {
        None
    }

    fn read(text: &str, _: Limits) -> Result<(Self, Option<String>), String> {
        let value = Self::parse(text)?;
        let known = value || text.eq_ignore_ascii_case("false");
        let note = "is neither true nor false: it is false, as RocketMQ takes it";
        Ok((value, (!known).then(|| note.to_owned())))
    }
}

impl Value for String {
    const KIND: &'static str = "text";

    fn parse(text: &str) -> Result<Self, String> {
        match text.chars().find(|c| c.is_control()) {
            Some(_) => Err("contains a control character".to_owned()),
            None => Ok(text.to_owned()),
        }
    }

    fn print(&self) -> String {
        self.clone()
    }

    fn measure(&self) -> Option<i64> {
        i64::try_from(self.len()).ok()
    }
}

/// A text that is shown nowhere.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.print())
    }
}

impl Value for Secret {
    const KIND: &'static str = "text that is not shown";

    fn parse(text: &str) -> Result<Self, String> {
        String::parse(text).map(Secret)
    }

    /// Only whether there is one.
    fn print(&self) -> String {
        if self.0.is_empty() { String::new() } else { "(not shown)".to_owned() }
    }

    fn measure(&self) -> Option<i64> {
        self.0.measure()
    }
}

impl Value for PathBuf {
    const KIND: &'static str = "a path";

    /// `~`, `${user.home}` and `${HOME}` at the start stand for the home directory.
    fn parse(text: &str) -> Result<Self, String> {
        let text = String::parse(text)?;
        Ok(expand_home(&text, std::env::var_os("HOME").map(PathBuf::from).as_deref()))
    }

    fn print(&self) -> String {
        self.display().to_string()
    }

    fn measure(&self) -> Option<i64> {
        i64::try_from(self.as_os_str().len()).ok()
    }
}

/// What stands for the home directory at the start of a path.
const HOMES: [&str; 4] = ["${user.home}", "${HOME}", "$HOME", "~"];

/// A placeholder in a value, `${...}`, that nothing stands for.
pub(super) fn placeholder(text: &str) -> Option<&str> {
    let text = text.trim();
    let home = HOMES.into_iter().find_map(|home| text.strip_prefix(home));
    let rest = home.filter(|rest| rest.is_empty() || rest.starts_with('/')).unwrap_or(text);
    let from = rest.get(rest.find("${")?..)?;
    from.get(..=from.find('}')?)
}

/// Replaces a leading `~`, `${user.home}` or `${HOME}` by `home`, if that is known.
pub fn expand_home(text: &str, home: Option<&Path>) -> PathBuf {
    let rest = HOMES
        .into_iter()
        .find_map(|name| text.strip_prefix(name))
        .filter(|rest| rest.is_empty() || rest.starts_with('/'));
    match (rest, home) {
        (Some(rest), Some(home)) => home.join(rest.trim_start_matches('/')),
        _ => PathBuf::from(text),
    }
}

impl Value for IpAddr {
    const KIND: &'static str = "an IP address, or a name that stands for one";

    /// A name is looked up here and now: a server listens once. An IPv6 address may be in brackets.
    fn parse(text: &str) -> Result<Self, String> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse() {
            return Ok(address);
        }
        let found = (text, 0).to_socket_addrs().ok().and_then(|mut found| found.next());
        let address = found.map(|found| found.ip());
        address.ok_or_else(|| "is no IP address and no name that is known here".to_owned())
    }

    fn print(&self) -> String {
        self.to_string()
    }

    fn measure(&self) -> Option<i64> {
        None
    }
}

/// `host:port;host:port`: name servers. A host may be a name; it is resolved when used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressList(pub Vec<String>);

impl Value for AddressList {
    const KIND: &'static str = "host:port, several separated by ;";

    fn parse(text: &str) -> Result<Self, String> {
        let entries = text.split([';', ',']).map(str::trim).filter(|entry| !entry.is_empty());
        entries
            .map(|entry| {
                let entry = entry.strip_prefix("http://").unwrap_or(entry);
                let (host, port) = entry
                    .rsplit_once(':')
                    .ok_or_else(|| format!("has no port in {entry:?}; write host:port"))?;
                let number: u16 =
                    port.parse().map_err(|_| format!("has a bad port in {entry:?}"))?;
                if host.is_empty() || number == 0 {
                    return Err(format!("has no host or port 0 in {entry:?}"));
                }
                Ok(entry.to_owned())
            })
            .collect::<Result<_, _>>()
            .map(AddressList)
    }

    fn print(&self) -> String {
        self.0.join(";")
    }

    fn measure(&self) -> Option<i64> {
        i64::try_from(self.0.len()).ok()
    }
}

/// A part of a URL, such as a host or a name in its path: as it is written there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UrlPart(pub String);

impl Value for UrlPart {
    const KIND: &'static str = "a part of a URL";

    fn parse(text: &str) -> Result<Self, String> {
        let is_sound =
            |letter: &char| letter.is_ascii_alphanumeric() || "-._~%:[]".contains(*letter);
        match text.chars().find(|letter| !is_sound(letter)) {
            Some(odd) => Err(format!("has {odd:?}, which is no letter, digit or one of -._~%:[]")),
            None => Ok(UrlPart(text.to_owned())),
        }
    }

    fn print(&self) -> String {
        self.0.clone()
    }

    fn measure(&self) -> Option<i64> {
        self.0.measure()
    }
}

/// CPU numbers such as `0,1` or `0-3,6`; empty means all that this process may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CoreList(pub Vec<usize>);

/// Highest CPU number that a [`CoreList`] takes: the size of the kernel's `cpu_set_t`.
const CORE_MAX: usize = 1023;

impl Value for CoreList {
    const KIND: &'static str = "CPU numbers such as 0,1 or 0-3; empty for all allowed";

    fn parse(text: &str) -> Result<Self, String> {
        let mut cores = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number =
                |text: &str| text.trim().parse::<usize>().ok().filter(|core| *core <= CORE_MAX);
            let (Some(first), Some(last)) = (number(first), number(last)) else {
                return Err(format!("has {part:?}, which is no CPU number up to {CORE_MAX}"));
            };
            if first > last {
                return Err(format!("has the range {part:?} backwards"));
            }
            for core in first..=last {
                if cores.contains(&core) {
                    return Err(format!("names CPU {core} twice"));
                }
                cores.push(core);
            }
        }
        Ok(CoreList(cores))
    }

    fn print(&self) -> String {
        self.0.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
    }

    fn measure(&self) -> Option<i64> {
        None
    }
}

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident {
        $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl Value for $name {
            const KIND: &'static str = concat!("one of:" $(, " ", $text)*);

            fn parse(text: &str) -> Result<Self, String> {
                $(if text.eq_ignore_ascii_case($text) {
                    return Ok($name::$variant);
                })*
                Err("is not among the choices".to_owned())
            }

            fn print(&self) -> String {
                match self {
                    $($name::$variant => $text.to_owned(),)*
                }
            }

            fn measure(&self) -> Option<i64> {
                None
            }
        }
    };
}

choice!(
    /// When a send is acknowledged.
    FlushDiskType {
        /// After the message is on stable storage.
        SyncFlush = "SYNC_FLUSH",
        /// After the device has accepted the write: survives the process, not a power cut.
        AsyncFlush = "ASYNC_FLUSH",
    }
);

choice!(
    /// Part that a broker plays within its name.
    BrokerRole {
        /// Acknowledges before slaves have the message.
        AsyncMaster = "ASYNC_MASTER",
        /// Acknowledges after a slave has the message.
        SyncMaster = "SYNC_MASTER",
        /// Copies a master; `brokerId` is above 0.
        Slave = "SLAVE",
    }
);

choice!(
    /// What a server does about TLS. A client decides with the first byte of its connection.
    TlsMode {
        /// Connections with TLS are closed.
        Disabled = "disabled",
        /// Both are served.
        Permissive = "permissive",
        /// Connections without TLS are closed.
        Enforcing = "enforcing",
    }
);

choice!(
    /// Who seals and opens the records of TLS once the hands are shaken.
    TlsKernel {
        /// The kernel, where it can.
        Auto = "auto",
        /// This process.
        Off = "off",
    }
);

choice!(
    /// Whether clients that come with TLS show a certificate.
    ClientAuth {
        /// They are not asked.
        None = "none",
        /// They are asked, and may have none.
        Optional = "optional",
        /// Without one they are closed.
        Require = "require",
    }
);

choice!(
    /// From where a server without accounts takes what changes its configuration, permissions or
    /// access.
    AdminAccess {
        /// From loopback addresses only.
        Loopback = "loopback",
        /// From everywhere.
        Any = "any",
    }
);

choice!(
    /// Where metrics go.
    MetricsExporterType {
        /// Nowhere.
        Disable = "DISABLE",
        /// An HTTP port that Prometheus scrapes.
        Prom = "PROM",
    }
);

#[cfg(test)]
mod tests;
