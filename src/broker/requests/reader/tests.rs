//! D6: a panic while a request is decoded or checked costs that request; one in the midst of an
//! append ends the process, since nobody knows what the log holds.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
};

use ringmq_io::sim::{Sim, SimRuntime};
use ringmq_remoting::codes::response;

use super::*;
use crate::testing::Client;
use crate::testing::cluster::{Broker, TOPIC};

/// Runs a test with the requests of a shard that serves.
fn with_requests(test: impl AsyncFnOnce(SimRuntime, Rc<Requests<SimRuntime>>)) {
    Sim::new(1).run(async |runtime| {
        let broker = Broker::start(&runtime, 1, &[]);
        let mut client = Client::connect(&runtime).await;
        assert_eq!(client.make_topic(TOPIC).await.code, response::SUCCESS);
        let requests = Requests::new(broker.shard(0), None);
        test(runtime, requests).await;
        let sent = client.send_to(TOPIC, 0, false, "", b"behind").await;
        assert_eq!(sent.code, response::SUCCESS, "others are served as before");
    });
}

#[test]
fn a_panic_in_decoding_or_checking_ends_the_connection_only() {
    with_requests(async |_, requests| {
        let outcome = guarded(&requests, || -> Result<(), Malformed> { panic!("decoding") });
        assert!(matches!(outcome, Err(Malformed::Panicked)));
        // Appends that went well before it change nothing.
        let outcome = guarded(&requests, || -> Result<(), Malformed> {
            requests.shard.append(|| ());
            panic!("checking")
        });
        assert!(matches!(outcome, Err(Malformed::Panicked)));
    });
}

/// Failed at 47eced1: the guard caught it, and the shard went on with the log.
#[test]
fn a_panic_in_an_append_goes_on_and_ends_the_process() {
    with_requests(async |_, requests| {
        let append = || -> Result<(), Malformed> {
            requests.shard.append(|| panic!("in the midst of an append"))
        };
        let caught = catch_unwind(AssertUnwindSafe(|| guarded(&requests, append)));
        let cause = caught.expect_err("it goes through the guard");
        assert_eq!(cause.downcast_ref::<&str>(), Some(&"in the midst of an append"));
        // Whatever catches it later: this shard is not to be trusted any more.
        assert!(requests.shard.is_appending());
    });
}
