//! Brokers coming, going and showing that they are there.

use ringmq_base::checksum::BodyCrc;
use ringmq_io::Disk;
use ringmq_remoting::{
    body::register::{INCREMENTAL, Part, RegisterBodyReader, RegisterError, TopicQueues},
    codes::response,
};

use super::NameServer;
use crate::{
    answer::{Answer, Body, Request},
    body, json,
    kv::ORDER_TOPIC_NAMESPACE,
    route::{
        DataVersion,
        register::{Announced, Intake, Registered},
    },
    work::{NotMade, Work, in_pieces},
};

/// 3.0.11: from here on a registration is more than the table of topics.
const FILTER_SERVER_VERSION: i32 = 37;

/// Of a registration, what is read, and kept, in one go: some 200 us.
const SLICE_BYTES: usize = 16 * 1024;
const SLICE_PARTS: usize = 128;
/// The same of its checksum.
const SLICE_CRC_BYTES: usize = 1024 * 1024;

/// What reading a body that is deflated takes.
const READER_BYTES: usize = 96 * 1024;

/// How many left-out topics are named.
const LEFT_OUT_MAX: usize = 4;

/// Topics that were left out.
#[derive(Default)]
struct LeftOut {
    count: usize,
    /// The first few, with the reason.
    named: Vec<String>,
}

impl<D: Disk> NameServer<D> {
    /// Reads the body twice: to see that it is sound, and for its version, which may stand last;
    /// and to take its topics. So it needs no memory besides the table's.
    pub(super) async fn register_broker(
        &self,
        request: &Request<'_>,
        work: &impl Work,
    ) -> Result<Answer, Answer> {
        check_crc(request, work).await?;
        work.holds(READER_BYTES);
        let (version, topics) = look_through(request, work).await?;
        let timeout = request.number("heartbeatTimeoutMillis");
        let announced = Announced {
            cluster: request.required("clusterName")?.to_owned(),
            broker_name: request.required("brokerName")?.to_owned(),
            address: request.required("brokerAddr")?.to_owned(),
            broker_id: broker_id(request)?,
            ha_server: request.field("haServerAddr").unwrap_or_default().to_owned(),
            zone_name: request.field("__ZONE_NAME").map(str::to_owned),
            heartbeat_timeout_ms: timeout.and_then(|ms| u64::try_from(ms).ok()),
            enable_acting_master: request.boolean("enableActingMaster"),
            version,
            topics,
            incremental: request.boolean(INCREMENTAL).unwrap_or(false),
            connection: request.peer.connection,
        };
        let registered = self.table().borrow_mut().begin(&announced, request.now_ms);
        let registered = registered.map_err(|error| {
            tracing::warn!(peer = %request.peer.address, "registration refused: {error}");
            refuse(error.to_string())
        })?;
        let taken = match &registered.intake {
            Some(intake) => self.take_topics(request, intake, work).await,
            None => Ok(LeftOut::default()),
        };
        let left_out = taken.inspect_err(|_| self.table().borrow_mut().give_up(&registered))?;
        self.table().borrow_mut().finish(&announced, &registered);
        self.to_clear.set();
        report(request, &announced, &registered, &left_out);
        self.answer_registration(registered, work).await
    }

    async fn take_topics(
        &self,
        request: &Request<'_>,
        intake: &Intake,
        work: &impl Work,
    ) -> Result<LeftOut, Answer> {
        let mut left_out = LeftOut::default();
        let mut take = |topic: &TopicQueues| {
            let name = &topic.topic_name;
            if let Err(error) = self.table().borrow_mut().take(intake, name, topic.into()) {
                left_out.count += 1;
                if left_out.named.len() < LEFT_OUT_MAX {
                    let shown: String = name.chars().take(64).collect();
                    left_out.named.push(format!("{shown:?}: {error}"));
                }
            }
        };
        read(request, work, |part| {
            if let Part::Topic(topic) = part {
                take(&topic);
            }
        })
        .await?;
        Ok(left_out)
    }

    async fn answer_registration(
        &self,
        registered: Registered,
        work: &impl Work,
    ) -> Result<Answer, Answer> {
        let mut answer = Answer::success();
        if let Some(address) = registered.ha_server {
            answer = answer.with_field("haServerAddr", address);
        }
        if let Some(address) = registered.master_address {
            answer = answer.with_field("masterAddr", address);
        }
        answer.body = self.order_topics(work).await?;
        Ok(answer)
    }

    /// The ORDER_TOPIC_CONFIG entries, if brokers are told of them and there are any.
    async fn order_topics(&self, work: &impl Work) -> Result<Body, Answer> {
        let told = self.config().return_order_topic_config_to_broker;
        if !told || self.kv.table().namespace(ORDER_TOPIC_NAMESPACE).is_none() {
            return Ok(Body::default());
        }
        let mut table = json::KvTableWriter::default();
        let write = |out: &mut String| table.write(&self.kv.table(), ORDER_TOPIC_NAMESPACE, out);
        match in_pieces(work, write).await {
            Ok(body) => Ok(body),
            Err(NotMade::Long { limit }) => {
                // The broker is registered all the same.
                tracing::warn!(
                    "brokers are not told the entries of {ORDER_TOPIC_NAMESPACE}: they have more \
                     than the {limit} bytes of an answer; delete some"
                );
                Ok(Body::default())
            }
            Err(why) => Err(why.into()),
        }
    }

    pub(super) fn unregister_broker(&self, request: &Request<'_>) -> Result<Answer, Answer> {
        // Of what names no broker there is nothing to undo.
        let field = |name| request.field(name).unwrap_or_default();
        let (cluster, name) = (field("clusterName"), field("brokerName"));
        let address = field("brokerAddr");
        let connection = request.peer.connection;
        if self.table().borrow_mut().withdraw(cluster, name, address, connection) {
            tracing::info!(
                peer = %request.peer.address,
                "broker {name} {address} of cluster {cluster} has unregistered"
            );
            self.to_clear.set();
        }
        Ok(Answer::success())
    }

    pub(super) fn query_data_version(&self, request: &Request<'_>) -> Result<Answer, Answer> {
        let cluster = request.field("clusterName").unwrap_or_default();
        let address = request.field("brokerAddr").unwrap_or_default();
        let version = body::data_version(request.body);
        let mut table = self.table().borrow_mut();
        table.heard(cluster, address, request.now_ms);
        let known = table.data_version(cluster, address);
        let mut answer = Answer::success().with_field("changed", known != Some(version));
        if let Some(known) = known {
            answer.body = json::data_version(known).into();
        }
        Ok(answer)
    }

    pub(super) fn heartbeat(&self, request: &Request<'_>) -> Result<Answer, Answer> {
        let cluster = request.required("clusterName")?;
        let address = request.required("brokerAddr")?;
        self.table().borrow_mut().heard(cluster, address, request.now_ms);
        Ok(Answer::success())
    }
}

fn refuse(problem: String) -> Answer {
    Answer::refuse(response::SYSTEM_ERROR, problem)
}

async fn check_crc(request: &Request<'_>, work: &impl Work) -> Result<(), Answer> {
    let announced = request.number("bodyCrc32").unwrap_or(0);
    if announced == 0 {
        return Ok(());
    }
    let mut crc = BodyCrc::default();
    for (number, piece) in request.body.chunks(SLICE_CRC_BYTES).enumerate() {
        if number > 0 {
            work.pause().await?;
        }
        crc.add(piece);
    }
    if announced == i64::from(crc.value()) { Ok(()) } else { Err(refuse("crc32 not match".into())) }
}

/// The version of a registration, and how many topics it has.
async fn look_through(
    request: &Request<'_>,
    work: &impl Work,
) -> Result<(DataVersion, usize), Answer> {
    let (mut version, mut topics) = (DataVersion::default(), 0);
    read(request, work, |part| match part {
        Part::Version(found) => version = (&found).into(),
        Part::Topic(_) => topics += 1,
        Part::Other | Part::End => {}
    })
    .await?;
    Ok((version, topics))
}

async fn read(
    request: &Request<'_>,
    work: &impl Work,
    mut take: impl FnMut(Part),
) -> Result<(), Answer> {
    let compressed = request.boolean("compressed").unwrap_or(false);
    let bare = request.header.version < FILTER_SERVER_VERSION;
    let mut reader = body::registration(request.body, compressed, bare);
    while read_slice(&mut reader, &mut take)
        .map_err(|error| refuse(format!("Failed to decode RegisterBrokerBody: {error}")))?
    {
        work.pause().await?;
    }
    Ok(())
}

/// False: that was the end.
fn read_slice(
    reader: &mut RegisterBodyReader<'_>,
    take: &mut impl FnMut(Part),
) -> Result<bool, RegisterError> {
    let mut bytes = 0;
    for _ in 0..SLICE_PARTS {
        match reader.next(&mut bytes)? {
            Part::End => return Ok(false),
            part => take(part),
        }
        if bytes >= SLICE_BYTES {
            break;
        }
    }
    Ok(true)
}

fn broker_id(request: &Request<'_>) -> Result<i64, Answer> {
    let text = request.required("brokerId")?;
    text.trim().parse().map_err(|_| {
        let remark = format!("the header field brokerId is {text:?}; it must be a whole number");
        Answer::refuse(response::SYSTEM_ERROR, remark)
    })
}

fn report(
    request: &Request<'_>,
    announced: &Announced,
    registered: &Registered,
    left_out: &LeftOut,
) {
    let Announced { cluster, broker_name, address, broker_id, topics, .. } = announced;
    let peer = request.peer.address;
    if registered.outdated {
        tracing::warn!(
            %peer,
            "broker {broker_name} id {broker_id} at {address} of cluster {cluster} is ignored: \
             another address holds that id with a later state"
        );
    } else if registered.first {
        tracing::info!(
            %peer,
            "broker {broker_name} id {broker_id} at {address} of cluster {cluster} has \
             registered, {topics} topics"
        );
    }
    if left_out.count > 0 {
        tracing::warn!(
            %peer,
            "broker {broker_name} at {address}: {} topics left out: {}",
            left_out.count,
            left_out.named.join("; ")
        );
    }
}
