//! Reads everything that a broker has and has the model judge it.

use std::{rc::Rc, time::Duration};

use ringmq_base::record::Record;
use ringmq_io::Clock as _;
use ringmq_remoting::{
    body::{SubscriptionGroupWrapper, TopicConfigSerializeWrapper},
    codes::response,
    fastjson,
};

use super::{
    client::{Client, World},
    model::{Known, Queue},
    plan::Plan,
    requests::Request,
    resets, sent_back, transactions, workload,
};

/// Tries of a read that the broker is too busy for.
const TRIES: u32 = 200;

/// Reads all that should be there; `crashed`: since the last time a process was killed.
pub async fn read_all(world: &Rc<World>, plan: &Plan, crashed: bool) {
    let Some(client) = world.connect(u32::MAX, false).await else {
        return;
    };
    things(world, &client).await;
    let topics: Vec<_> = {
        let model = world.model.borrow();
        let there = model.topics.iter().filter(|(_, thing)| thing.known == Known::There);
        there.map(|(name, thing)| (name.clone(), thing.queues)).collect()
    };
    for (topic, queues) in topics {
        for id in 0..queues {
            queue(world, &client, &(topic.clone(), id), crashed).await;
        }
    }
    given_up(world, &client, plan).await;
    world.model.borrow_mut().judge_times();
    given_back(world, &client).await;
    let keys: Vec<_> = {
        let model = world.model.borrow();
        let of_reset = model.resets.keys().map(|queue| (resets::GROUP.into(), queue.clone()));
        model.commits.keys().cloned().chain(of_reset).collect()
    };
    for (group, queue) in keys {
        patiently(world, &client, || Request::QueryOffset {
            group: group.clone(),
            queue: queue.clone(),
        })
        .await;
    }
    client.end();
}

/// Reads the messages of transactions that were given up, in a queue of each log.
async fn given_up(world: &Rc<World>, client: &Rc<Client>, plan: &Plan) {
    world.model.borrow_mut().read_given_up();
    for id in 0..i32::from(plan.logs) {
        internal(world, client, &(transactions::GIVEN_UP.into(), id)).await;
    }
    world.model.borrow_mut().judge_given_up();
}

/// Reads what comes again and what is in dead letter topics.
async fn given_back(world: &Rc<World>, client: &Rc<Client>) {
    world.model.borrow_mut().read_back();
    for topic in sent_back::topics() {
        internal(world, client, &(topic, 0)).await;
    }
    world.model.borrow_mut().judge_back();
}

/// Reads a queue of a topic that the broker makes when it needs it.
async fn internal(world: &Rc<World>, client: &Rc<Client>, queue: &Queue) {
    let mut offset = 0;
    loop {
        let pull = || Request::Pull {
            group: workload::READER.into(),
            queue: queue.clone(),
            offset,
            wait: Duration::ZERO,
        };
        let answer = patiently(world, client, pull).await;
        match answer.as_ref().and_then(|answer| answer.find_number("nextBeginOffset")) {
            Some(next) if answer.is_some_and(|is| is.code == response::SUCCESS) => offset = next,
            _ => return,
        }
    }
}

/// Calls until the broker is not busy.
async fn patiently(
    world: &Rc<World>,
    client: &Rc<Client>,
    request: impl Fn() -> Request,
) -> Option<ringmq_test_client::Answer> {
    for _ in 0..TRIES {
        let answer = client.call(request()).await?;
        if answer.code != response::SYSTEM_BUSY {
            return Some(answer);
        }
        world.runtime.sleep(Duration::from_millis(5)).await;
    }
    world.wrong(format!("{:?} finds the broker busy for a second", request()));
    None
}

/// Topics and groups are there or not, as they were acknowledged.
async fn things(world: &Rc<World>, client: &Rc<Client>) {
    let Some(answer) = patiently(world, client, || Request::Topics).await else {
        return;
    };
    let topics = fastjson::from_slice::<TopicConfigSerializeWrapper>(&answer.body);
    let Some(answer) = patiently(world, client, || Request::Groups).await else {
        return;
    };
    let groups = fastjson::from_slice::<SubscriptionGroupWrapper>(&answer.body);
    let (Ok(topics), Ok(groups)) = (topics, groups) else {
        return world.wrong("the tables of topics and groups cannot be read".to_owned());
    };
    let mut model = world.model.borrow_mut();
    let mut problems = Vec::new();
    // What a failing disk did not take is in the tables until the process ends.
    let failing = model.excuses.failing;
    for (name, thing) in &mut model.topics {
        let found = topics.topic_config_table.get(&**name);
        let is = if found.is_some() { Known::There } else { Known::Gone };
        match thing.known {
            Known::Unsure if failing => {}
            Known::Unsure => thing.known = is,
            known if known != is => problems.push(format!("topic {name} is {is:?}, not {known:?}")),
            _ => {}
        }
        if let Some(found) = found {
            thing.queues = found.read_queue_nums;
        }
    }
    for (name, thing) in &mut model.groups {
        let found = groups.subscription_group_table.contains_key(&**name);
        let is = if found { Known::There } else { Known::Gone };
        match thing.known {
            Known::Unsure if failing => {}
            Known::Unsure => thing.known = is,
            known if known != is => problems.push(format!("group {name} is {is:?}, not {known:?}")),
            _ => {}
        }
    }
    problems.into_iter().for_each(|text| model.wrong(text));
}

async fn bound(
    world: &Rc<World>,
    client: &Rc<Client>,
    request: impl Fn() -> Request,
) -> Option<i64> {
    patiently(world, client, request).await?.find_number("offset")
}

async fn queue(world: &Rc<World>, client: &Rc<Client>, queue: &Queue, crashed: bool) {
    let min = bound(world, client, || Request::MinOffset { queue: queue.clone() }).await;
    let max = bound(world, client, || Request::MaxOffset { queue: queue.clone() }).await;
    let (Some(min), Some(max)) = (min, max) else {
        return;
    };
    let mut found = Vec::new();
    let mut offset = min;
    while offset < max {
        let pull = || Request::Pull {
            group: workload::READER.into(),
            queue: queue.clone(),
            offset,
            wait: Duration::ZERO,
        };
        let Some(answer) = patiently(world, client, pull).await else {
            return;
        };
        let before = offset;
        let mut rest = answer.body.as_slice();
        while let Ok(record) = Record::decode(rest) {
            let number = record.body.first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
            let known = number.filter(|id| *id < world.model.borrow().messages());
            found.extend(known.map(|id| (record.queue_offset, id)));
            offset = record.queue_offset + 1;
            rest = rest.get(record.size..).unwrap_or_default();
        }
        if offset == before {
            let code = answer.code;
            let text = format!("{queue:?} is {min}..{max}, a pull at {offset} brings {code}");
            return world.wrong(text);
        }
    }
    world.model.borrow_mut().judge_queue(queue, &found, crashed);
}
