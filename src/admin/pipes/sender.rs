//! Sending with many requests under way.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use ringmq_client::{Answer, CallError, Client, Lane};
use ringmq_remoting::batch::{self, BatchMessage};
use ringmq_remoting::codes::topic::RETRY_PREFIX;
use ringmq_remoting::codes::{property, request, response};

use super::interrupt::Interrupt;
use crate::questions::messages::Queue;
use crate::questions::sends::unique_id;

/// The group by which tools send.
const GROUP: &str = "TOOLS_PRODUCER";
const DEFAULT_TOPIC: &str = "TBW102";
/// Requests under way to one broker.
const UNDER_WAY: usize = 32;
/// A broker that is busy is asked again so often, each time after twice as long.
const TRIES: u32 = 8;
const PAUSE: Duration = Duration::from_millis(20);
/// How long one look for answers may take.
const NAP: Duration = Duration::from_millis(100);

/// A message to be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parcel {
    pub body: Vec<u8>,
    pub properties: Vec<(String, String)>,
}

/// A request that is under way, to send it again if its broker is busy.
struct Request {
    queue: Queue,
    properties: String,
    body: Vec<u8>,
    is_batch: bool,
    /// Messages in it, and what whoever sent it calls the first one.
    messages: u64,
    number: u64,
    tries: u32,
}

/// Sends to several brokers.
pub struct Sender {
    lanes: Vec<(Lane, HashMap<i32, Request>)>,
    ids: Ids,
    /// Messages that are stored.
    pub stored: u64,
}

impl Sender {
    pub fn new() -> Sender {
        Sender { lanes: Vec::new(), ids: Ids::new(), stored: 0 }
    }

    /// Sends messages to a queue: several as a batch. Waits while too many are under way. `number`
    /// is named if they are refused.
    ///
    /// # Errors
    /// If these or some before were refused, or a connection is lost.
    pub fn send(
        &mut self,
        client: &Client,
        queue: &Queue,
        parcels: &[Parcel],
        number: u64,
    ) -> anyhow::Result<()> {
        let is_batch = parcels.len() > 1;
        let (properties, body) = match parcels {
            [one] => (self.properties(one)?, one.body.clone()),
            all => (String::new(), self.batch(all, number)?),
        };
        let (queue, messages, tries) = (queue.clone(), parcels.len() as u64, 0);
        let request = Request { queue, properties, body, is_batch, messages, number, tries };
        let at = self.lane(client, &request.queue.address)?;
        while self.under_way(at) >= UNDER_WAY {
            self.receive(at, NAP)?;
        }
        self.dispatch(at, request)
    }

    /// Takes the answers that have come.
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub fn look(&mut self) -> anyhow::Result<()> {
        (0..self.lanes.len()).try_for_each(|at| self.receive(at, Duration::ZERO))
    }

    /// Waits for all answers.
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub fn finish(&mut self) -> anyhow::Result<()> {
        for at in 0..self.lanes.len() {
            while self.under_way(at) > 0 {
                self.receive(at, NAP)?;
            }
        }
        Ok(())
    }

    /// After a failure: takes what is still under way, as far as it comes, to know what is stored.
    pub fn settle(&mut self, interrupt: &Interrupt) {
        for at in 0..self.lanes.len() {
            while self.under_way(at) > 0 && !interrupt.has_come() {
                let before = self.under_way(at);
                if self.receive(at, NAP).is_err() && self.under_way(at) == before {
                    break;
                }
            }
        }
    }

    fn under_way(&self, at: usize) -> usize {
        self.lanes.get(at).map_or(0, |(_, under_way)| under_way.len())
    }

    fn lane(&mut self, client: &Client, address: &str) -> anyhow::Result<usize> {
        let found = self.lanes.iter().position(|(lane, _)| lane.address() == address);
        Ok(match found {
            Some(at) => at,
            None => {
                self.lanes.push((client.lane(address)?, HashMap::new()));
                self.lanes.len() - 1
            }
        })
    }

    fn dispatch(&mut self, at: usize, sent: Request) -> anyhow::Result<()> {
        let (lane, under_way) = self.lanes.get_mut(at).context("the lane is there")?;
        let code = match sent.is_batch {
            true => request::SEND_BATCH_MESSAGE,
            false => request::SEND_MESSAGE_V2,
        };
        let born = jiff::Timestamp::now().as_millisecond().to_string();
        let id = sent.queue.id.to_string();
        let mut fields = vec![
            ("a", GROUP),
            ("b", sent.queue.topic.as_str()),
            ("c", DEFAULT_TOPIC),
            ("d", "4"),
            ("e", id.as_str()),
            ("f", "0"),
            ("g", &born),
            ("h", "0"),
            ("i", &sent.properties),
            ("j", "0"),
            ("k", "false"),
            ("m", if sent.is_batch { "true" } else { "false" }),
        ];
        if sent.queue.topic.starts_with(RETRY_PREFIX) {
            // one delivery at least, also of groups without retries: what they are sent is a dead
            // letter at once
            fields.push(("l", "1"));
        }
        let opaque = lane.send(code, &fields, &sent.body)?;
        under_way.insert(opaque, sent);
        Ok(())
    }

    /// Takes an answer if there is one within the time.
    fn receive(&mut self, at: usize, wait: Duration) -> anyhow::Result<()> {
        let Some((lane, under_way)) = self.lanes.get_mut(at) else { return Ok(()) };
        if under_way.is_empty() {
            return Ok(());
        }
        let mut wait = wait;
        while let Some((opaque, answer)) = lane.receive(wait)? {
            if let Some(sent) = under_way.remove(&opaque) {
                return self.answered(at, sent, answer);
            }
            wait = Duration::ZERO;
        }
        Ok(())
    }

    fn answered(&mut self, at: usize, mut sent: Request, answer: Answer) -> anyhow::Result<()> {
        match answer.code {
            // stored, but not as safely as was asked for
            response::SUCCESS
            | response::FLUSH_DISK_TIMEOUT
            | response::FLUSH_SLAVE_TIMEOUT
            | response::SLAVE_NOT_AVAILABLE => {
                self.stored += sent.messages;
                Ok(())
            }
            response::SYSTEM_BUSY if sent.tries < TRIES => {
                crate::session::pause(PAUSE * 2_u32.pow(sent.tries));
                sent.tries += 1;
                self.dispatch(at, sent)
            }
            code => {
                let (address, remark) = (sent.queue.address.clone(), answer.remark);
                let refused = CallError::Refused { address, code, remark };
                let what = match sent.messages {
                    1 => format!("message {}", sent.number),
                    count => format!("messages {} to {}", sent.number, sent.number + count - 1),
                };
                Err(anyhow::Error::from(refused).context(what))
            }
        }
    }

    fn batch(&mut self, parcels: &[Parcel], number: u64) -> anyhow::Result<Vec<u8>> {
        let mut body = Vec::new();
        for (place, parcel) in (number..).zip(parcels) {
            let properties = self.properties(parcel)?;
            let message =
                BatchMessage { flag: 0, body: &parcel.body, properties: properties.as_bytes() };
            batch::append(&mut body, &message).with_context(|| format!("message {place}"))?;
        }
        Ok(body)
    }

    /// The properties of a message as they are sent; one without an id is given one.
    fn properties(&mut self, parcel: &Parcel) -> anyhow::Result<String> {
        let mut text = pairs_text(&parcel.properties)?;
        if !parcel.properties.iter().any(|(key, _)| key == property::UNIQ_KEY) {
            text += property::UNIQ_KEY;
            text.push('\u{1}');
            text += &self.ids.next();
            text.push('\u{2}');
        }
        Ok(text)
    }
}

/// Properties as they are sent.
///
/// # Errors
/// If one has a character in it that stands between properties.
pub fn pairs_text(pairs: &[(String, String)]) -> anyhow::Result<String> {
    let mut text = String::new();
    for (key, value) in pairs {
        let is_sound = |text: &String| !text.contains(['\u{1}', '\u{2}']);
        ensure!(
            is_sound(key) && is_sound(value) && !key.is_empty(),
            "property {key:?} is empty, or it or its value has a byte 1 or 2 in it, which stand \
             between properties"
        );
        text += &format!("{key}\u{1}{value}\u{2}");
    }
    Ok(text)
}

/// Ids that begin like those of [`unique_id`] and go up by one.
struct Ids {
    begin: String,
    count: u64,
}

impl Ids {
    fn new() -> Ids {
        let id = unique_id();
        let (begin, count) = id.split_at_checked(20).unwrap_or((&id, ""));
        Ids { begin: begin.to_owned(), count: u64::from_str_radix(count, 16).unwrap_or(0) }
    }

    fn next(&mut self) -> String {
        self.count += 1;
        format!("{}{:012X}", self.begin, self.count & 0xFFFF_FFFF_FFFF)
    }
}

/// What a producer gave a message, without what brokers and consumers have added.
pub fn own_properties(all: &[(String, String)]) -> Vec<(String, String)> {
    const OTHERS: [&str; 21] = [
        property::WAIT,
        property::DELAY_TIME_LEVEL,
        property::RETRY_TOPIC,
        property::REAL_TOPIC,
        property::REAL_QUEUE_ID,
        property::PRODUCER_GROUP,
        property::MIN_OFFSET,
        property::MAX_OFFSET,
        property::ORIGIN_MESSAGE_ID,
        property::RECONSUME_TIME,
        property::MAX_RECONSUME_TIMES,
        property::MSG_REGION,
        property::TRACE_SWITCH,
        property::CONSUME_START_TIMESTAMP,
        property::CLUSTER,
        property::POP_CK,
        property::POP_CK_OFFSET,
        property::FIRST_POP_TIME,
        property::CRC32,
        property::DLQ_ORIGIN_TOPIC,
        property::DLQ_ORIGIN_MESSAGE_ID,
    ];
    let is_own = |name: &str| {
        !OTHERS.contains(&name)
            && !name.starts_with("TIMER_")
            && !name.starts_with("TRAN")
            && name != property::TRANSACTION_ID
    };
    all.iter().filter(|(name, _)| is_own(name)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_go_up_and_own_properties_stay() {
        let mut ids = Ids::new();
        let (one, two) = (ids.next(), ids.next());
        assert_eq!((one.len(), two.len()), (32, 32));
        assert!(one < two || two.ends_with("000000000000"), "{one} {two}");
        let pair = |name: &str| (name.to_owned(), "x".to_owned());
        let all = ["TAGS", "KEYS", "UNIQ_KEY", "RETRY_TOPIC", "REAL_QID", "own", "TIMER_OUT_MS"];
        let own = own_properties(&all.map(pair));
        assert_eq!(own, ["TAGS", "KEYS", "UNIQ_KEY", "own"].map(pair));
        assert!(pairs_text(&[("a".to_owned(), "b\u{1}".to_owned())]).is_err());
        assert_eq!(pairs_text(&[pair("a")]).expect("sound"), "a\u{1}x\u{2}");
    }
}
