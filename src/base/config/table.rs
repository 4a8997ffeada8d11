//! The macro that makes a configuration of one table: every key is one row, and struct, defaults,
//! parser, limits and printed list come from it.

use super::value::Limits;

/// One row of a configuration table.
#[derive(Debug)]
pub struct Key {
    /// The name in the file, as RocketMQ spells it.
    pub name: &'static str,
    pub section: &'static str,
    /// What values look like: `a whole number`.
    pub kind: &'static str,
    /// Empty, or what one of the number is: `ms`, `bytes`.
    pub unit: &'static str,
    pub limits: Limits,
    /// The default, printed. Empty: found out at the start.
    pub default: fn() -> String,
    /// May be changed while the server runs (allow list of codes 25 and 318).
    pub live: bool,
    /// Counts when the configuration is read again: what is live, and what only the file may
    /// change.
    pub reloads: bool,
    pub doc: &'static str,
}

/// Why a value was not taken. `Display` is the half sentence behind the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    #[error("there is no key of this name")]
    UnknownKey,
    #[error("{problem}; expected {kind}{unit}, {limits}")]
    Bad { problem: String, kind: &'static str, unit: String, limits: Limits },
}

/// A configuration made by `config_table!`.
pub trait Table: Clone + Default {
    const KEYS: &'static [Key];

    /// Sets one key from text; blanks around it do not count. If it was taken as something else,
    /// because Java takes what this program cannot keep, a half sentence that says so.
    fn set(&mut self, name: &str, text: &str) -> Result<Option<String>, ValueError>;

    /// The value of a key, printed as [`Table::set`] reads it.
    fn get(&self, name: &str) -> Option<String>;

    /// Whether a key has another value than there.
    fn differs(&self, other: &Self, name: &str) -> bool;

    fn key(name: &str) -> Option<&'static Key> {
        Self::KEYS.iter().find(|key| key.name == name)
    }

    /// All keys and values as a .properties text, one a line, in the order of the table.
    fn to_properties(&self) -> String {
        let all: Vec<&str> = Self::KEYS.iter().map(|key| key.name).collect();
        self.lines(&all)
    }

    /// These keys with their values as a .properties text, one a line.
    fn lines(&self, keys: &[&str]) -> String {
        let line = |key: &&str| super::properties::line(key, &self.get(key).unwrap_or_default());
        keys.iter().map(line).collect()
    }
}

/// Used by the macro: parses, checks and assigns one value.
pub fn assign<T: super::value::Value>(
    field: &mut T,
    key: &Key,
    text: &str,
) -> Result<Option<String>, ValueError> {
    let bad = |problem: String| ValueError::Bad {
        problem,
        kind: key.kind,
        unit: if key.unit.is_empty() { String::new() } else { format!(" ({})", key.unit) },
        limits: key.limits,
    };
    let (value, note) = T::read(text.trim(), key.limits).map_err(bad)?;
    *field = value;
    Ok(note)
}

/// The rows of a section: `field: type = default, "key", "unit", limits, live|file|fixed, "doc";`.
macro_rules! config_table {
    (@live live) => { true };
    (@live file) => { false };
    (@live fixed) => { false };
    (@reloads fixed) => { false };
    (@reloads $other:ident) => { true };
    ($(#[$head:meta])* pub struct $name:ident {
        $($section:literal {
            $($field:ident: $type:ty = $default:expr,
              $key:literal, $unit:literal, $limits:expr, $live:ident, $doc:literal;)*
        })*
    }) => {
        $(#[$head])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $($(
                #[doc = $doc]
                #[doc = concat!("\n\nKey `", $key, "`. Unit: ", $unit, ".")]
                pub $field: $type,
            )*)*
        }

        impl Default for $name {
            fn default() -> Self {
                $name { $($($field: $default,)*)* }
            }
        }

        impl $crate::config::table::Table for $name {
            const KEYS: &'static [$crate::config::table::Key] = &[
                $($($crate::config::table::Key {
                    name: $key,
                    section: $section,
                    kind: <$type as $crate::config::value::Value>::KIND,
                    unit: $unit,
                    limits: $limits,
                    default: || <$type as $crate::config::value::Value>::print(&$default),
                    live: config_table!(@live $live),
                    reloads: config_table!(@reloads $live),
                    doc: $doc,
                },)*)*
            ];

            fn set(
                &mut self,
                name: &str,
                text: &str,
            ) -> Result<Option<String>, $crate::config::table::ValueError> {
                let key = Self::key(name).ok_or($crate::config::table::ValueError::UnknownKey)?;
                match name {
                    $($($key => $crate::config::table::assign(&mut self.$field, key, text),)*)*
                    _ => Err($crate::config::table::ValueError::UnknownKey),
                }
            }

            fn get(&self, name: &str) -> Option<String> {
                match name {
                    $($($key => Some($crate::config::value::Value::print(&self.$field)),)*)*
                    _ => None,
                }
            }

            fn differs(&self, other: &Self, name: &str) -> bool {
                match name {
                    $($($key => self.$field != other.$field,)*)*
                    _ => false,
                }
            }
        }
    };
}

pub(crate) use config_table;
