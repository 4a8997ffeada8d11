//! The numbers and names that RocketMQ gives to things: request and response codes, flag bits,
//! message properties, system topics and groups.

/// Declares code constants together with `name`, which tells a code's name.
macro_rules! codes {
    ($($name:ident = $value:literal,)*) => {
        $(pub const $name: i32 = $value;)*

        /// RocketMQ's name of a code.
        pub fn name(code: i32) -> Option<&'static str> {
            match code {
                $($value => Some(stringify!($name)),)*
                _ => None,
            }
        }
    };
}
pub mod group;
pub mod property;
pub mod request;
pub mod response;
pub mod topic;
pub mod version;

/// Bits of a message's system flag (`MessageSysFlag`).
pub mod sys_flag {
    pub const COMPRESSED: i32 = 0x1;
    pub const MULTI_TAGS: i32 = 0x2;
    pub const TRANSACTION_NOT_TYPE: i32 = 0;
    pub const TRANSACTION_PREPARED_TYPE: i32 = 0x4;
    pub const TRANSACTION_COMMIT_TYPE: i32 = 0x8;
    pub const TRANSACTION_ROLLBACK_TYPE: i32 = 0xC;
    /// Which bits tell the transaction type.
    pub const TRANSACTION_MASK: i32 = 0xC;
    pub const BORN_HOST_V6: i32 = 0x10;
    pub const STORE_HOST_V6: i32 = 0x20;
    pub const NEED_UNWRAP: i32 = 0x40;
    pub const INNER_BATCH: i32 = 0x80;
    /// Which bits tell the compression: 0 is zlib as well.
    pub const COMPRESSION_MASK: i32 = 0x700;
    pub const COMPRESSION_LZ4: i32 = 0x100;
    pub const COMPRESSION_ZSTD: i32 = 0x200;
    pub const COMPRESSION_ZLIB: i32 = 0x300;

    /// The transaction bits of a system flag.
    pub fn transaction_value(flag: i32) -> i32 {
        flag & TRANSACTION_MASK
    }

    /// A system flag with its transaction bits set to `value`.
    pub fn with_transaction_value(flag: i32, value: i32) -> i32 {
        (flag & !TRANSACTION_MASK) | value
    }
}

/// Bits of a pull request's system flag (`PullSysFlag`).
pub mod pull_flag {
    /// The request carries an offset to commit.
    pub const COMMIT_OFFSET: i32 = 0x1;
    /// The request may wait for messages.
    pub const SUSPEND: i32 = 0x2;
    /// The request carries its subscription.
    pub const SUBSCRIPTION: i32 = 0x4;
    pub const CLASS_FILTER: i32 = 0x8;
    pub const LITE_PULL: i32 = 0x10;
}

/// Bits of a topic's permission (`PermName`).
pub mod perm {
    pub const INHERIT: i32 = 0x1;
    pub const WRITE: i32 = 0x2;
    pub const READ: i32 = 0x4;
    pub const PRIORITY: i32 = 0x8;

    pub fn is_readable(perm: i32) -> bool {
        perm & READ != 0
    }

    pub fn is_writeable(perm: i32) -> bool {
        perm & WRITE != 0
    }

    pub fn is_inherited(perm: i32) -> bool {
        perm & INHERIT != 0
    }

    /// As Java prints a permission: `RWX`, with `-` for each bit that is not set.
    pub fn text(perm: i32) -> String {
        let letter = |set: bool, letter: char| if set { letter } else { '-' };
        [
            letter(is_readable(perm), 'R'),
            letter(is_writeable(perm), 'W'),
            letter(is_inherited(perm), 'X'),
        ]
        .iter()
        .collect()
    }
}

/// Names of header fields that go with any request or reply.
pub mod field {
    pub const MSG_REGION: &str = "MSG_REGION";
    pub const TRACE_ON: &str = "TRACE_ON";
    pub const UNIQUE_KEY_QUERY: &str = "_UNIQUE_KEY_QUERY";
    pub const ACCESS_KEY: &str = "AccessKey";
    pub const SIGNATURE: &str = "Signature";
    pub const SECURITY_TOKEN: &str = "SecurityToken";
    /// The region that a broker names when none is configured.
    pub const DEFAULT_REGION: &str = "DefaultRegion";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_names_of_java() {
        assert_eq!(request::name(310), Some("SEND_MESSAGE_V2"));
        assert_eq!(request::name(200_050), Some("POP_MESSAGE"));
        assert_eq!(request::name(-5), None);
        assert_eq!(response::name(17), Some("TOPIC_NOT_EXIST"));
        assert_eq!(request::UPDATE_AND_CREATE_ACL_CONFIG, 50);
    }

    #[test]
    fn permissions_print_as_in_java() {
        assert_eq!(perm::text(6), "RW-");
        assert_eq!(perm::text(1), "--X");
    }
}
