//! Why a request is not done, as the client reads it.

/// A response code other than SUCCESS with its remark.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("response code {code}: {remark}")]
pub struct Refusal {
    pub code: i32,
    pub remark: String,
}

impl Refusal {
    #[cold]
    pub fn new(code: i32, remark: impl Into<String>) -> Refusal {
        Refusal {
            code,
            remark: remark.into(),
        }
    }

    #[cold]
    pub fn system_error(remark: impl Into<String>) -> Refusal {
        Refusal::new(code::SYSTEM_ERROR, remark)
    }
}

/// What Java's `FAQUrl.suggestTodo` appends.
pub const FAQ: &str = "\nSee http://rocketmq.apache.org/docs/faq/ for further details.";

/// The response codes that the features answer with.
pub mod code {
    pub const SUCCESS: i32 = 0;
    pub const SYSTEM_ERROR: i32 = 1;
    pub const MESSAGE_ILLEGAL: i32 = 13;
    pub const SERVICE_NOT_AVAILABLE: i32 = 14;
    pub const NO_PERMISSION: i32 = 16;
    pub const TOPIC_NOT_EXIST: i32 = 17;
    pub const PULL_NOT_FOUND: i32 = 19;
    pub const PULL_RETRY_IMMEDIATELY: i32 = 20;
    pub const PULL_OFFSET_MOVED: i32 = 21;
    pub const QUERY_NOT_FOUND: i32 = 22;
    pub const SUBSCRIPTION_PARSE_FAILED: i32 = 23;
    pub const SUBSCRIPTION_NOT_EXIST: i32 = 24;
    pub const SUBSCRIPTION_NOT_LATEST: i32 = 25;
    pub const SUBSCRIPTION_GROUP_NOT_EXIST: i32 = 26;
}
