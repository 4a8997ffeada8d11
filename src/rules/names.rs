//! Names that clients give to topics, groups and themselves.
//!
//! They end up in property texts, header fields, registrations and log lines, so a control
//! character in one is refused wherever a name comes in. The Java broker looks at the names of
//! topics only, and leaves those of groups to Java's client; other characters that it takes are
//! taken here too.

use super::{
    limits::{BROKER_NAME_BYTES_MAX, CLIENT_ID_BYTES_MAX, GROUP_BYTES_MAX, TOPIC_NAME_BYTES_MAX},
    refusal::Refusal,
};

/// Bytes of a name that a refusal quotes.
const QUOTED_BYTES_MAX: usize = 64;

/// What a name is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// Of a topic that is referred to; what may be made is narrower, see [`super::topic`].
    Topic,
    Group,
    ClientId,
    Broker,
}

impl Name {
    const fn text(self) -> &'static str {
        match self {
            Name::Topic => "topic name",
            Name::Group => "group name",
            Name::ClientId => "client id",
            Name::Broker => "broker name",
        }
    }

    const fn bytes_max(self) -> usize {
        match self {
            Name::Topic => TOPIC_NAME_BYTES_MAX,
            Name::Group => GROUP_BYTES_MAX,
            Name::ClientId => CLIENT_ID_BYTES_MAX,
            Name::Broker => BROKER_NAME_BYTES_MAX,
        }
    }

    /// Checks a name that a client gave.
    ///
    /// # Errors
    /// SYSTEM_ERROR if it is too long or has a control character.
    pub fn check(self, name: &str) -> Result<(), Refusal> {
        if name.len() > self.bytes_max() {
            return Err(self.too_long(name));
        }
        match name.char_indices().find(|(_, character)| character.is_control()) {
            None => Ok(()),
            Some((at, character)) => Err(self.has_control(name, at, character)),
        }
    }

    #[cold]
    fn too_long(self, name: &str) -> Refusal {
        Refusal::system_error(format!(
            "the {} {:?} has {} bytes, the limit is {}: use a shorter one",
            self.text(),
            quoted(name),
            name.len(),
            self.bytes_max()
        ))
    }

    #[cold]
    fn has_control(self, name: &str, at: usize, character: char) -> Refusal {
        Refusal::system_error(format!(
            "the {} {:?} has the control character U+{:04X} at byte {at}: use letters, digits and \
             any of -_%|",
            self.text(),
            quoted(name),
            u32::from(character)
        ))
    }
}

/// The beginning of a name.
fn quoted(name: &str) -> &str {
    let mut end = name.len().min(QUOTED_BYTES_MAX);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_clients_use_are_taken() {
        for name in ["g", "%RETRY%g", "a.b/c d", "\u{4e2d}\u{6587}", "10.0.0.1@17#9", ""] {
            assert_eq!(Name::Group.check(name), Ok(()), "{name}");
            assert_eq!(Name::Topic.check(name), Ok(()), "{name}");
            assert_eq!(Name::ClientId.check(name), Ok(()), "{name}");
        }
        assert_eq!(Name::Group.check(&"g".repeat(GROUP_BYTES_MAX)), Ok(()));
        let retry = ["%RETRY%", &"g".repeat(GROUP_BYTES_MAX)].concat();
        assert_eq!(Name::Topic.check(&retry), Ok(()));
    }

    #[test]
    fn control_characters_are_refused_with_what_and_where() {
        let refusal = Name::Group.check("e\u{2}REAL_TOPIC\u{1}x").expect_err("control characters");
        assert_eq!(refusal.code, 1);
        assert_eq!(
            refusal.remark,
            "the group name \"e\\u{2}REAL_TOPIC\\u{1}x\" has the control character U+0002 at byte \
             1: use letters, digits and any of -_%|"
        );
        for character in ['\0', '\n', '\t', '\u{1f}', '\u{7f}', '\u{9f}'] {
            for kind in [Name::Topic, Name::Group, Name::ClientId, Name::Broker] {
                let name = format!("name{character}");
                let refusal = kind.check(&name).expect_err("a control character");
                assert!(refusal.remark.contains("at byte 4"), "{}", refusal.remark);
                assert!(!refusal.remark.contains(character), "{}", refusal.remark);
            }
        }
    }

    #[test]
    fn long_names_are_refused_with_the_limit_and_quoted_in_part() {
        for (kind, limit) in
            [(Name::Topic, 262), (Name::Group, 255), (Name::ClientId, 1024), (Name::Broker, 255)]
        {
            assert_eq!(kind.check(&"n".repeat(limit)), Ok(()));
            let refusal = kind.check(&"\u{e9}".repeat(1 << 20)).expect_err("too long");
            assert!(refusal.remark.contains("2097152 bytes"), "{}", refusal.remark);
            assert!(refusal.remark.contains(&format!("limit is {limit}")), "{}", refusal.remark);
            assert!(refusal.remark.len() < 300);
        }
    }
}
