//! Every limit of RingMQ, with the reason beside it.

/// Largest frame on the wire, length field included.
/// Source: `com.rocketmq.remoting.frameMaxLength`.
pub const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Largest message body by default. Source: `maxMessageSize` of the Java broker.
pub const MESSAGE_BODY_BYTES_DEFAULT: usize = 4 * 1024 * 1024;

/// What a record may have beyond its body: properties (at most 32,767) and the fixed fields.
pub const MESSAGE_OVERHEAD_BYTES_MAX: usize = 64 * 1024;

/// Longest property string: its length is a Java `short`.
pub const PROPERTIES_BYTES_MAX: usize = 32_767;

/// Longest topic or group name of a send. Source: `Validators.TOPIC_MAX_LENGTH`.
pub const TOPIC_BYTES_MAX: usize = 127;

/// Messages of one batch that `batchMessagesMax` may allow at most: the answer names each one's id.
pub const BATCH_MESSAGES_LIMIT: i64 = 262_144;

/// Unit of direct I/O: offset, length and memory of every operation are multiples of it.
pub const BLOCK_BYTES: usize = 4096;

const _: () = assert!(BLOCK_BYTES.is_power_of_two());
const _: () = assert!(MESSAGE_BODY_BYTES_DEFAULT + MESSAGE_OVERHEAD_BYTES_MAX < FRAME_BYTES_MAX);
