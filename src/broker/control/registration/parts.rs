//! What a registration says: the topics of the table, in as many requests as it takes.

use std::{ops::Bound, rc::Rc, sync::Arc};

use ringmq_base::limits::FRAME_BYTES_MAX;
use ringmq_io::Runtime;
use ringmq_remoting::body::{
    DataVersion, TopicConfigRef,
    register::{Added, Form, RegisterBodyWriter},
};
use ringmq_rules::topics::{Topic, TopicTable};

use crate::{control::Control, shard::settings::BrokerSettings};

/// Largest body of a request, as much as a frame carries behind its header.
pub const BODY_BYTES_MAX: usize = FRAME_BYTES_MAX - 64 * 1024;
/// Smallest limit for a name server that takes less than others: many topics still.
pub const BODY_BYTES_MIN: usize = 256 * 1024;
/// Topics between two looks at whether other tasks are to run.
const CHUNK_TOPICS: usize = 256;

/// How requests are written for this broker, to a name server that takes bodies of `bytes_max`.
pub fn form(settings: &BrokerSettings, bytes_max: usize) -> Form {
    let config = &settings.config;
    let split = config.enable_split_registration.then_some(config.split_registration_size);
    let topics_max = split.map_or(usize::MAX, |size| size as usize);
    Form { compressed: config.compressed_register, bytes_max, topics_max }
}

/// The topics of one request.
#[derive(Debug, Default)]
pub struct Part {
    pub body: Vec<u8>,
    pub topics: usize,
    /// Names of the first and the last one.
    pub range: Option<(Arc<str>, Arc<str>)>,
    pub version: DataVersion,
    /// Bytes of the body before it was deflated.
    pub content_bytes: usize,
    /// Topics that no request can carry, with the reason; the first one only.
    pub left_out: Option<(Arc<str>, String)>,
    /// Nothing comes behind it.
    pub last: bool,
}

/// Which topics are still to be said.
#[derive(Clone, Debug)]
pub enum Pending {
    /// All behind this name.
    All { after: Option<Arc<str>> },
    /// These from a place on.
    These { names: Rc<[Arc<str>]>, from: usize },
}

impl Pending {
    pub fn is_all(&self) -> bool {
        matches!(self, Pending::All { .. })
    }

    pub fn is_empty(&self) -> bool {
        matches!(self, Pending::These { names, from } if *from >= names.len())
    }

    fn chunk(&self, table: &TopicTable) -> Vec<Arc<Topic>> {
        match self {
            Pending::All { after } => {
                let after = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
                table.iter_from(after).take(CHUNK_TOPICS).cloned().collect()
            }
            Pending::These { names, from } => {
                let names = names.get(*from..).unwrap_or_default();
                let topics = names.iter().filter_map(|name| table.get(name).cloned());
                topics.take(CHUNK_TOPICS).collect()
            }
        }
    }

    /// `topic` is said.
    fn passed(&mut self, topic: &Arc<str>) {
        match self {
            Pending::All { after } => *after = Some(topic.clone()),
            Pending::These { names, from } => {
                let mut rest = names.iter().skip(*from);
                *from += rest.position(|name| name == topic).map_or(0, |index| index + 1);
            }
        }
    }
}

/// The next request. `version`: what its body tells, chosen when its topics are known.
pub async fn next_part<R: Runtime>(
    control: &Control<R>,
    form: Form,
    pending: &mut Pending,
    version: impl FnOnce(&Part) -> DataVersion,
) -> Part {
    let mut writer = RegisterBodyWriter::new(form);
    let mut part = Part::default();
    'filling: loop {
        let (chunk, permission) = {
            let tables = control.tables.borrow();
            (
                pending.chunk(&tables.topics),
                control.shard.view.borrow().live.config.broker_permission,
            )
        };
        if chunk.is_empty() {
            part.last = true;
            break;
        }
        for topic in &chunk {
            if !control.is_durable(&topic.name) {
                pending.passed(&topic.name);
                continue;
            }
            match writer.add(&topic_config(topic, permission)) {
                Added::Taken => {
                    let first =
                        part.range.take().map_or_else(|| topic.name.clone(), |(first, _)| first);
                    part.range = Some((first, topic.name.clone()));
                }
                Added::Full => break 'filling,
                Added::Never(why) => {
                    part.left_out.get_or_insert_with(|| (topic.name.clone(), why));
                }
            }
            pending.passed(&topic.name);
        }
        control.shard.runtime.yield_if_needed().await;
    }
    part.topics = writer.topics();
    part.content_bytes = writer.bytes();
    part.version = version(&part);
    let mut finishing = writer.finish(&part.version);
    part.body = loop {
        match finishing.step() {
            Some(body) => break body,
            None => control.shard.runtime.yield_if_needed().await,
        }
    };
    part
}

/// brokerPermission takes bits away from all topics, as Java does when it registers.
fn topic_config(topic: &Topic, permission: i32) -> TopicConfigRef<'_> {
    TopicConfigRef {
        perm: if permission == 6 { topic.perm } else { topic.perm & permission },
        ..topic.config()
    }
}
