//! The name server on its machine, and what it says.

use std::{collections::BTreeMap, future::Future, io, net::SocketAddr, time::Duration};

use futures_lite::future::or;
use ringmq_io::{
    Clock as _, Net as _, Runtime as _, Shares, Spawn as _, Stream as _,
    sim::{Node, SimRuntime, SimStream},
};
use ringmq_remoting::{
    body::{BrokerData, ClusterInfo, TopicRouteData},
    codes::{request, response},
    encode::{self, Value},
    fastjson,
    frame::{self, Scan, Serialization},
};
use ringmq_test_client::Answer;
use ringmq_tls::Acceptor;

use super::plan::{ClusterPlan, server_address};

/// How long clients wait, for an answer and for a connection.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// Starts the name server on its node.
pub fn serve(node: &Node, plan: &ClusterPlan) {
    let (runtime, config) = (node.boot(), plan.server_config());
    let own = runtime.clone();
    runtime.spawn(Shares::Foreground, "name server", async move {
        let any = SocketAddr::from(([0, 0, 0, 0], server_address().port()));
        let listener = own.net().listen(any).expect("nobody else is on this machine");
        let tls = Acceptor::default();
        let served = ringmq_namesrv::serve(own, config, &tls, listener, std::future::pending());
        served.await.expect("nothing is wrong with its disk");
    });
}

/// The output of a future, unless it takes longer.
pub async fn within<T>(
    runtime: &SimRuntime,
    limit: Duration,
    future: impl Future<Output = T>,
) -> Option<T> {
    let late = async {
        runtime.sleep(limit).await;
        None
    };
    or(async { Some(future.await) }, late).await
}

/// Masters by the names of their brokers.
pub type Masters = BTreeMap<String, String>;

/// Where the topic is; `None` if the name server does not say.
pub async fn of_topic(runtime: &SimRuntime, topic: &str) -> Option<Masters> {
    let code = request::GET_ROUTEINFO_BY_TOPIC;
    let fields = [("topic", Value::Str(topic))];
    let answer = within(runtime, PATIENCE, ask(runtime, code, &fields)).await?.ok()?;
    match answer.code {
        response::SUCCESS => {
            let route = fastjson::from_slice::<TopicRouteData>(&answer.body).ok()?;
            let masters =
                route.broker_datas.into_iter().map(|data| (data.broker_name.clone(), data));
            Some(masters_of(masters))
        }
        response::TOPIC_NOT_EXIST => Some(Masters::new()),
        _ => None,
    }
}

/// All brokers; `None` if the name server does not say.
pub async fn of_cluster(runtime: &SimRuntime) -> Option<Masters> {
    let code = request::GET_BROKER_CLUSTER_INFO;
    let answer = within(runtime, PATIENCE, ask(runtime, code, &[])).await?.ok()?;
    let info = fastjson::from_slice::<ClusterInfo>(&answer.body).ok()?;
    Some(masters_of(info.broker_addr_table))
}

fn masters_of(data: impl IntoIterator<Item = (String, BrokerData)>) -> Masters {
    let master = |(name, data): (String, BrokerData)| {
        data.broker_addrs.get(&0).map(|address| (name, address.clone()))
    };
    data.into_iter().filter_map(master).collect()
}

async fn ask(runtime: &SimRuntime, code: i32, fields: &[(&str, Value<'_>)]) -> io::Result<Answer> {
    let stream = runtime.net().connect(server_address()).await?;
    let mut bytes = Vec::new();
    encode::request_values(&mut bytes, Serialization::Json, code, 1, false, fields, b"")
        .expect("a small request fits into a frame");
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let count = stream.write(rest).await?;
        rest = &rest[count..];
    }
    read_frame(&stream).await
}

async fn read_frame(stream: &SimStream) -> io::Result<Answer> {
    let mut bytes = Vec::new();
    let mut room = [0; 4096];
    loop {
        if let Ok(Scan::Complete { length }) = frame::scan(&bytes) {
            return Answer::decode(&bytes[..length]).map_err(io::Error::other);
        }
        match stream.read(&mut room).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => bytes.extend_from_slice(&room[..count]),
        }
    }
}
