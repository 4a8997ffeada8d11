//! What a request needs of the account that sends it: columns of the broker's table of requests.

use ringmq_remoting::{
    body::{HeartbeatData, LockBatchRequestBody},
    command::Header,
    fastjson::{self, BodyError},
};
use serde::de::DeserializeOwned;

use crate::{
    acl::permission::{PUB, SUB},
    limits::{BODY_MEMORY_FREE, BODY_MEMORY_PER_BYTE},
    topic::RETRY_PREFIX,
};

/// What a request is about, by the fields that name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// No topic and no group that permissions are looked at for.
    Nothing,
    /// The topic in `topic`.
    Topic,
    /// The topic in `b`, the short form of `topic`.
    ShortTopic,
    /// The group in `group`.
    Group,
    /// The group in `consumerGroup`.
    ConsumerGroup,
    /// Both `topic` and `consumerGroup`.
    TopicAndConsumerGroup,
    /// All groups and topics that a heartbeat subscribes to.
    Subscriptions,
    /// The group of a request for locks.
    LockGroup,
}

/// What it does with that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Any account may do it.
    Ask,
    Publish,
    Subscribe,
    /// Only an account with `admin: true` may do it.
    Administer,
}

/// Both together, for a request code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    pub resource: Resource,
    pub action: Action,
}

/// A permission that a request needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// One of the bits of [`super::permission`] for a topic.
    Topic(String, u8),
    /// SUB for a group.
    Group(String),
}

impl Need {
    fn topic(topic: &str, permission: u8) -> Need {
        // The retry topic of a group stands for the group, and whoever sends to it consumes.
        match topic.strip_prefix(RETRY_PREFIX) {
            Some(group) => Need::Group(group.to_owned()),
            None => Need::Topic(topic.to_owned(), permission),
        }
    }
}

impl Needs {
    /// Whether the body says what the request is about, so that it has to be read for the check.
    pub fn are_in_body(&self) -> bool {
        matches!(self.resource, Resource::Subscriptions | Resource::LockGroup)
    }

    /// The permissions that a request needs; as in Java none for what it does not name.
    ///
    /// # Errors
    /// If its body says nothing of what it has to.
    pub fn of(&self, header: &Header<'_>, body: &[u8]) -> Result<Vec<Need>, BodyError> {
        let permission = match self.action {
            Action::Publish => PUB,
            Action::Ask | Action::Subscribe | Action::Administer => SUB,
        };
        let mut needs = Vec::new();
        let topic =
            |name: &str| header.fields.get(name).map(|topic| Need::topic(topic, permission));
        let group = |name: &str| header.fields.get(name).map(|group| Need::Group(group.to_owned()));
        match self.resource {
            Resource::Nothing => {}
            Resource::Topic => needs.extend(topic("topic")),
            Resource::ShortTopic => needs.extend(topic("b")),
            Resource::Group => needs.extend(group("group")),
            Resource::ConsumerGroup => needs.extend(group("consumerGroup")),
            Resource::TopicAndConsumerGroup => {
                needs.extend(topic("topic"));
                needs.extend(group("consumerGroup"));
            }
            Resource::Subscriptions => {
                for consumer in read::<HeartbeatData>(body)?.consumer_data_set {
                    let topics = consumer.subscription_data_set.iter();
                    needs.extend(topics.map(|data| Need::topic(&data.topic, permission)));
                    needs.push(Need::Group(consumer.group_name));
                }
            }
            Resource::LockGroup => {
                needs.push(Need::Group(read::<LockBatchRequestBody>(body)?.consumer_group));
            }
        }
        Ok(needs)
    }
}

/// As the handlers read it.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, BodyError> {
    fastjson::from_slice_within(body, BODY_MEMORY_FREE + BODY_MEMORY_PER_BYTE * body.len())
}
