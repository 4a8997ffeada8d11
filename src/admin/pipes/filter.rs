//! Which messages are meant.

use memchr::memmem;

use super::when::when;
use crate::questions::messages::Message;

/// Options that choose messages; all that are given must be so.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Filter {
    /// Only messages with one of these tags, separated by ||.
    #[arg(long, value_name = "TAGS")]
    pub tags: Option<String>,
    /// Only messages with this key.
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Only messages with one of these ids, separated by commas; ids of any kind.
    #[arg(long, value_name = "IDS")]
    pub id: Option<String>,
    /// Only messages with this text in their body.
    #[arg(long, value_name = "TEXT")]
    pub body: Option<String>,
    /// Only messages of this original topic.
    #[arg(long, value_name = "TOPIC")]
    pub origin: Option<String>,
    /// Only messages stored then or later: milliseconds since 1970, yyyy-MM-dd#HH:mm:ss, or how
    /// long ago, such as -2h.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub begin: Option<String>,
    /// Only messages stored before.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub end: Option<String>,
}

impl Filter {
    /// When the messages begin and end, if it was said: milliseconds since 1970.
    ///
    /// # Errors
    /// If it is no time.
    pub fn times(&self) -> anyhow::Result<(Option<i64>, Option<i64>)> {
        let time = |text: &Option<String>| text.as_deref().map(when).transpose();
        Ok((time(&self.begin)?, time(&self.end)?))
    }

    /// Whether a message is meant, but for its time and tags, which readers look at. `origin` and
    /// `origin_id`: the topic and the id that it had before.
    pub fn takes(&self, message: &Message, origin: Option<&str>, origin_id: Option<&str>) -> bool {
        let is_of_id = |ids: &String| {
            let mut ids = ids.split(',').map(str::trim);
            ids.any(|id| id == message.id() || id == message.offset_id() || Some(id) == origin_id)
        };
        let key = |key: &String| {
            message.keys().is_some_and(|keys| keys.split(' ').any(|one| one == key.as_str()))
        };
        let body = |text: &String| memmem::find(&message.body, text.as_bytes()).is_some();
        self.key.as_ref().is_none_or(key)
            && self.id.as_ref().is_none_or(is_of_id)
            && self.body.as_ref().is_none_or(body)
            && self.origin.as_deref().is_none_or(|topic| origin == Some(topic))
    }
}
