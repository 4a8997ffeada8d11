//! Answers and requests that fit no frame.

use std::sync::Arc;

use ringmq_io::{
    Clock as _,
    mailbox::{Receiver, mailbox},
    sim::{Sim, SimRuntime},
};
use ringmq_remoting::{
    command::Header,
    encode::Value,
    frame::{Frame, HEADER_BYTES_MAX, Serialization},
};

use super::*;
use crate::{
    messages::Asked,
    shard::{
        router::{Lanes, Router},
        settings::BrokerSettings,
        view_version::Published,
    },
    sizes::Sizes,
    testing::config,
};

type OwnShard = Shard<SimRuntime>;

/// Shard 0 of two, and what it sends to shard 1: requests and replies.
struct Alone {
    shard: std::rc::Rc<OwnShard>,
    requests: Receiver<Message<OwnShard>>,
    replies: Receiver<Message<OwnShard>>,
}

fn alone(runtime: &SimRuntime) -> Alone {
    let settings = BrokerSettings::new(config(&[]), 2, runtime.now_ms()).expect("sound settings");
    let (own, _) = mailbox(8);
    let (own_replies, _) = mailbox(8);
    let (to_requests, requests) = mailbox(8);
    let (to_replies, replies) = mailbox(8);
    let lanes = vec![Lanes::new(own, own_replies), Lanes::new(to_requests, to_replies)];
    let router = Router::new(ShardId(0), lanes, &Sizes::default());
    let shard = Shard::new(runtime.clone(), Arc::new(settings), router, Published::default());
    Alone { shard, requests, replies }
}

fn reply_to(serialization: Serialization) -> ReplyTo {
    let connection = ConnectionId { shard: 1, slot: 3, generation: 1 };
    ReplyTo {
        connection,
        opaque: 7,
        serialization,
        oneway: false,
        room: Room::default(),
        asked: Asked::default(),
    }
}

#[test]
fn an_answer_that_fits_no_frame_is_replaced_by_what_is_wrong() {
    Sim::new(1).run(async |runtime| {
        let mut alone = alone(&runtime);
        let long = "x".repeat(HEADER_BYTES_MAX);
        for serialization in [Serialization::Json, Serialization::RocketMq] {
            alone.shard.write_reply(&reply_to(serialization), |out| {
                let fields = [("field", Value::Str(&long))];
                encode::response(out, serialization, 7, 0, None, &fields, b"")
            });
            alone.shard.flush();
            let Some(Message::Replies(batch)) = alone.replies.try_recv() else {
                panic!("every request is answered");
            };
            assert_eq!((batch.replies.len(), batch.replies[0].answers), (1, 1));
            let frame = Frame::parse(&batch.bytes).expect("a frame");
            let header = Header::decode(&frame).expect("a header");
            assert_eq!((header.code, header.opaque), (response::SYSTEM_ERROR, 7));
            let remark = header.remark.as_deref().unwrap_or_default();
            assert!(remark.contains("its answer was not sent: the header"), "{remark}");
        }
        assert!(alone.requests.try_recv().is_none(), "the connection stays open");
    });
}

#[test]
fn a_request_to_a_client_that_fits_no_frame_is_an_error() {
    Sim::new(2).run(async |runtime| {
        let mut alone = alone(&runtime);
        let reply_to = reply_to(Serialization::Json);
        let sent = alone.shard.write_frame(reply_to.connection, |out| {
            let body = vec![0; 16 << 20];
            encode::request(out, Serialization::Json, 326, 1, false, &[], &body)
        });
        assert!(matches!(sent, Err(EncodeError::Frame { .. })), "{sent:?}");
        alone.shard.flush();
        assert!(alone.replies.try_recv().is_none(), "nothing of it is sent");
    });
}
