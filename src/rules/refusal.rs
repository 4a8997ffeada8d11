//! Why a request is not done, as the client reads it.

pub use ringmq_remoting::codes::response as code;
use ringmq_remoting::{fastjson::BodyError, field_limits::FieldTooLong, headers::HeaderFieldError};

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
        Refusal { code, remark: remark.into() }
    }

    /// To requests that come while the broker ends.
    #[cold]
    pub fn stopping() -> Refusal {
        let remark = "service not available now. the broker is stopping";
        Refusal::new(code::SERVICE_NOT_AVAILABLE, remark)
    }

    #[cold]
    pub fn system_error(remark: impl Into<String>) -> Refusal {
        Refusal::new(code::SYSTEM_ERROR, remark)
    }
}

impl From<HeaderFieldError> for Refusal {
    fn from(error: HeaderFieldError) -> Refusal {
        Refusal::system_error(error.to_string())
    }
}

impl From<FieldTooLong> for Refusal {
    fn from(error: FieldTooLong) -> Refusal {
        Refusal::system_error(error.to_string())
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Refusal {
        Refusal::system_error(error.to_string())
    }
}

/// What Java's `FAQUrl.suggestTodo` appends.
pub const FAQ: &str = "\nSee http://rocketmq.apache.org/docs/faq/ for further details.";
