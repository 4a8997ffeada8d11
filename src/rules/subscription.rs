//! What consumers say of themselves in heartbeats.

use std::sync::Arc;

use super::filter::Filter;

macro_rules! names {
    ($(#[$doc:meta])* $name:ident { $($variant:ident $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($variant,)*
        }

        impl $name {
            /// The name in JSON bodies.
            pub const fn name(self) -> &'static str {
                match self {
                    $($name::$variant => $text,)*
                }
            }

            /// By its name, or by its number in the order above, as C++ clients say it.
            pub fn from_name(name: &str) -> Option<$name> {
                const ALL: &[$name] = &[$($name::$variant),*];
                match name {
                    $($text => Some($name::$variant),)*
                    _ => ALL.get(name.parse::<usize>().ok()?).copied(),
                }
            }
        }
    };
}

names!(
    /// Whether the application pulls itself.
    ConsumeType {
        Actively "CONSUME_ACTIVELY",
        Passively "CONSUME_PASSIVELY",
        Pop "CONSUME_POP",
    }
);
names!(
    /// Whether every member gets every message.
    MessageModel {
        Broadcasting "BROADCASTING",
        Clustering "CLUSTERING",
    }
);
names!(
    /// Where a group without an offset begins; the clients act on it.
    ConsumeFromWhere {
        LastOffset "CONSUME_FROM_LAST_OFFSET",
        LastOffsetAndFromMinWhenBootFirst "CONSUME_FROM_LAST_OFFSET_AND_FROM_MIN_WHEN_BOOT_FIRST",
        MinOffset "CONSUME_FROM_MIN_OFFSET",
        MaxOffset "CONSUME_FROM_MAX_OFFSET",
        FirstOffset "CONSUME_FROM_FIRST_OFFSET",
        Timestamp "CONSUME_FROM_TIMESTAMP",
    }
);

impl ConsumeType {
    /// As a label of metrics has it.
    pub const fn mode(self) -> &'static str {
        match self {
            ConsumeType::Actively => "pull",
            ConsumeType::Passively => "push",
            ConsumeType::Pop => "pop",
        }
    }
}

/// A group's interest in a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    pub topic: Arc<str>,
    /// The expression as the client wrote it.
    pub text: String,
    pub tags: Vec<String>,
    pub codes: Vec<i32>,
    /// Grows with every change of the expression.
    pub version: i64,
    pub expression_type: String,
    pub class_filter_mode: bool,
    pub filter: Filter,
}

impl Subscription {
    /// A subscription as a heartbeat has it; the filter is made of it.
    pub fn new(
        topic: &str,
        text: &str,
        tags: Vec<String>,
        codes: Vec<i32>,
        version: i64,
        expression_type: &str,
    ) -> Subscription {
        Subscription {
            topic: Arc::from(topic),
            text: text.to_owned(),
            filter: Filter::of_heartbeat(text, expression_type, &codes),
            tags,
            codes,
            version,
            expression_type: expression_type.to_owned(),
            class_filter_mode: false,
        }
    }
}

/// What the online members of a group want, as the last heartbeat of any of them says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSubscriptions {
    pub consume_type: ConsumeType,
    pub message_model: MessageModel,
    pub consume_from_where: ConsumeFromWhere,
    pub topics: Topics,
}

/// Subscriptions by topic, in as little memory as they need: there may be very many groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topics(Box<[Subscription]>);

impl Topics {
    pub fn get(&self, topic: &str) -> Option<&Subscription> {
        let place = self.0.binary_search_by(|one| (*one.topic).cmp(topic)).ok()?;
        self.0.get(place)
    }

    /// Sorted by topic.
    pub fn values(&self) -> impl Iterator<Item = &Subscription> {
        self.0.iter()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<Subscription>> for Topics {
    /// Sorted by topic, each topic once.
    fn from(topics: Vec<Subscription>) -> Topics {
        debug_assert!(topics.is_sorted_by(|one, next| one.topic < next.topic));
        Topics(topics.into_boxed_slice())
    }
}

impl From<Topics> for Vec<Subscription> {
    fn from(topics: Topics) -> Vec<Subscription> {
        topics.0.into_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_known_by_name_and_by_number() {
        assert_eq!(ConsumeType::from_name("CONSUME_PASSIVELY"), Some(ConsumeType::Passively));
        assert_eq!(ConsumeType::from_name("1"), Some(ConsumeType::Passively));
        assert_eq!(MessageModel::from_name("0"), Some(MessageModel::Broadcasting));
        assert_eq!(ConsumeFromWhere::from_name("4"), Some(ConsumeFromWhere::FirstOffset));
        for unknown in ["", "6", "-1", "NOTHING"] {
            assert_eq!(ConsumeFromWhere::from_name(unknown), None);
        }
    }
}
