//! What the simulated clients do.

use std::{cell::Cell, rc::Rc, time::Duration};

use ringmq_io::{Clock as _, sim::Random};
use ringmq_remoting::codes::response;

use super::{
    client::{Client, World},
    model::{Known, PROPERTY_BYTES_ILLEGAL, Queue},
    plan::{BODY_BYTES_MAX, Part, Plan},
    requests::Request,
    resets, timers, transactions,
};

/// The topic that is always there.
pub const TOPIC: &str = "Topic";
/// The group that reads everything.
pub const READER: &str = "reader";
/// The topic that is deleted and made again.
pub const AGAIN: &str = "Again";

/// A client that sends, pulls and commits, over one connection after the other.
pub struct Worker {
    pub world: Rc<World>,
    pub number: u32,
    pub plan: Rc<Plan>,
    pub random: Random,
    committed: i64,
}

impl Worker {
    pub fn new(world: &Rc<World>, plan: &Rc<Plan>, number: u32) -> Worker {
        let random = world.runtime.random();
        let committed = 1000 * world.model.borrow().process as i64;
        Worker { world: world.clone(), number, plan: plan.clone(), random, committed }
    }

    pub async fn work(mut self) {
        let slow = self.plan.slow_readers && self.number.is_multiple_of(2);
        let Some(mut client) = self.world.connect(self.number, slow).await else {
            return;
        };
        for step in 0..self.plan.steps {
            if self.plan.huge_name && self.number % 10_000 == 1 && step == self.plan.steps / 2 {
                let queue = self.fixed_queue();
                client.call(Request::HugeCommit { queue }).await;
            }
            if client.is_closed() || self.random.chance(1, 30) {
                // What the old connection has under way must not come behind what the new one
                // brings: the order of a producer is that of a connection.
                client.end();
                self.number += 1000;
                match self.world.connect(self.number, slow).await {
                    Some(next) => client = next,
                    None => return,
                }
            }
            self.step(&client).await;
        }
        if self.random.chance(1, 8) {
            client.end();
        }
        client.all_answered().await;
    }

    fn queue(&mut self) -> Queue {
        let again = !self.plan.auto_create && self.random.chance(1, 2);
        let made = self.plan.auto_create && self.random.chance(1, 4);
        let id = self.random.below(self.plan.queues as u64) as i32;
        match (again, made) {
            (true, _) => (AGAIN.into(), id % 2),
            (_, true) => (format!("Made-{}", self.random.below(4)).into(), id % 2),
            _ => (TOPIC.into(), id),
        }
    }

    async fn step(&mut self, client: &Rc<Client>) {
        match self.random.below(31) {
            0..=4 => {
                let most = if self.random.chance(1, 8) { 80 } else { 8 };
                let count = 1 + self.random.below(most);
                let sends: Vec<_> = (0..count).map(|_| self.one()).collect();
                if self.random.chance(1, 2) {
                    return client.issue_all(sends).await;
                }
                for send in sends {
                    client.issue(send).await;
                }
            }
            5..=8 if self.plan.has(Part::Batches) => {
                let batch = self.batch();
                client.issue(batch).await;
            }
            9 | 10 => self.pull(client).await,
            11..=13 => self.commit(client).await,
            14 => {
                let (client_number, queue) = (self.number, self.fixed_queue());
                client.call(Request::Lock { client: client_number, queue }).await;
            }
            15 => {
                let (client_number, queue) = (self.number, self.fixed_queue());
                client.call(Request::Unlock { client: client_number, queue }).await;
            }
            16 => {
                let group = format!("beat-{}", self.random.below(3)).into();
                client.issue(Request::Heartbeat { client: self.number, group }).await;
            }
            17 => client.all_answered().await,
            20..=22 if self.plan.has(Part::Transactions) => self.transact(client).await,
            23..=25 if self.plan.has(Part::Timers) => self.keep_back(client).await,
            26..=28 if self.plan.has(Part::Retries) => self.give_back(client).await,
            29 | 30 if self.plan.has(Part::Resets) => self.reset(client).await,
            _ => {
                let pause = Duration::from_micros(self.random.below(150_000));
                self.world.runtime.sleep(pause).await;
            }
        }
    }

    pub fn fixed_queue(&mut self) -> Queue {
        (TOPIC.into(), self.random.below(2) as i32)
    }

    fn one(&mut self) -> Request {
        let queue = self.queue();
        let body = match self.random.below(60) {
            0 | 1 => self.random.below(20_000),
            2 => BODY_BYTES_MAX - 8000,
            _ => 8 + self.random.below(300),
        };
        self.send(&queue, &[(body as usize, 40)], false)
    }

    fn batch(&mut self) -> Request {
        let queue = self.queue();
        let count = match self.random.below(4) {
            0 => 1 + self.random.below(3),
            1 => 30 + self.random.below(60),
            _ => 2 + self.random.below(12),
        };
        let most = match self.random.below(6) {
            0 => (BODY_BYTES_MAX - 8000) / count,
            _ => 200,
        };
        let mut sizes: Vec<_> = (0..count)
            .map(|_| (8 + self.random.below(most.saturating_sub(150).max(1)) as usize, 40))
            .collect();
        if self.random.chance(1, 6) {
            let index = self.random.index(sizes.len());
            sizes[index] = match self.random.chance(1, 2) {
                true => (20, PROPERTY_BYTES_ILLEGAL),
                false => (72_000, 40),
            };
        }
        self.send(&queue, &sizes, true)
    }

    fn send(&mut self, queue: &Queue, sizes: &[(usize, usize)], batch: bool) -> Request {
        let number = self.number;
        // Between these it depends on the broker's own overhead whether a segment takes it.
        let sizes: Vec<_> = sizes
            .iter()
            .map(|(body, properties)| match body {
                50_001..70_000 => (50_000, *properties),
                body => (*body, *properties),
            })
            .collect();
        let ids = self.world.model.borrow_mut().new_messages(queue, number, &sizes, batch);
        Request::Send { queue: queue.clone(), ids, batch }
    }

    async fn pull(&mut self, client: &Rc<Client>) {
        let queue = self.queue();
        let known = self.world.model.borrow().of_queue(&queue).len() as u64;
        let offset = self.random.below(known + 2) as i64;
        let wait = match self.random.below(3) {
            0 => Duration::from_millis(self.random.below(400)),
            _ => Duration::ZERO,
        };
        let group = format!("group-{}", self.random.below(3)).into();
        let pull = Request::Pull { group, queue, offset, wait };
        client.issue(pull).await;
    }

    async fn commit(&mut self, client: &Rc<Client>) {
        let (group, queue) = (format!("own-{}", self.number).into(), self.fixed_queue());
        self.committed += 1 + self.random.below(5) as i64;
        let offset = self.committed;
        client.call(Request::Commit { group, queue, offset }).await;
    }
}

/// Makes the topics that the others use.
pub async fn set_up(world: &Rc<World>, plan: &Plan) {
    let Some(client) = world.connect(0, false).await else {
        return;
    };
    let topics = [
        (TOPIC, plan.queues),
        (AGAIN, 2),
        (transactions::TOPIC, plan.queues),
        (timers::TOPIC, plan.queues),
    ];
    for (topic, queues) in topics {
        let make = || Request::MakeTopic { topic: topic.into(), queues };
        let answer = client.call(make()).await;
        if answer.is_none_or(|answer| answer.code != response::SUCCESS) {
            world.wrong(format!("the topic {topic} cannot be made"));
        }
    }
    client.call(Request::MakeGroup { group: resets::GROUP.into() }).await;
    // The group that reads everything is there before anything fails.
    let (queue, wait) = ((TOPIC.into(), 0), Duration::ZERO);
    client.call(Request::Pull { group: READER.into(), queue, offset: 0, wait }).await;
    client.end();
}

/// Deletes a topic and makes it again, and makes and deletes groups.
pub async fn administrate(world: Rc<World>, plan: Rc<Plan>) {
    let mut random = world.runtime.random();
    let Some(client) = world.connect(500_000, false).await else {
        return;
    };
    for round in 0..1 + plan.steps / 4 {
        world.runtime.sleep(Duration::from_micros(random.below(30_000))).await;
        if !plan.auto_create && plan.has(Part::Deletions) {
            client.call(Request::DeleteTopic { topic: AGAIN.into() }).await;
            world.runtime.sleep(Duration::from_micros(random.below(2000))).await;
            client.call(Request::MakeTopic { topic: AGAIN.into(), queues: 2 }).await;
        }
        let group: Rc<str> = format!("made-{}", random.below(3)).into();
        client.call(Request::MakeGroup { group: group.clone() }).await;
        if round % 2 == 0 {
            client.call(Request::DeleteGroup { group }).await;
        }
    }
}

/// Asks for what a slow log has nothing to do with, and wants prompt answers.
pub async fn look_on(world: Rc<World>, slow_log: u16, until: Rc<Cell<bool>>) {
    let Some(client) = world.connect(600_000, false).await else {
        return;
    };
    client.patience.set(Some(super::PATIENCE));
    let mut round = 0_usize;
    while !until.get() && !client.is_closed() {
        world.runtime.sleep(Duration::from_millis(20)).await;
        let queues = world.model.borrow().queues_beside(slow_log);
        let Some(queue) = queues.get(round % queues.len().max(1)) else {
            continue;
        };
        round += 1;
        let queue = queue.clone();
        match round % 3 {
            0 => {
                let group = "onlooker".into();
                client.issue(Request::Pull { group, queue, offset: 0, wait: Duration::ZERO }).await
            }
            1 => client.issue(Request::MaxOffset { queue }).await,
            _ => client.issue(Request::QueryOffset { group: "onlooker".into(), queue }).await,
        };
        client.fewer_than(20).await;
    }
    client.all_answered().await;
}

/// Everything that troubled the disk is over for two seconds: all of this has to work.
pub async fn see_it_healed(world: &Rc<World>, plan: &Plan) {
    let Some(client) = world.connect(700_000, false).await else {
        return;
    };
    let process = world.model.borrow().process;
    let topic: Rc<str> = format!("Probe-{process}").into();
    let group: Rc<str> = format!("probe-{process}").into();
    let probe = || Request::MakeTopic { topic: topic.clone(), queues: 1 };
    works(world, &client, probe).await;
    works(world, &client, || Request::MakeGroup { group: group.clone() }).await;
    works(world, &client, || Request::Heartbeat { client: 7, group: group.clone() }).await;
    let mut queues: Vec<Queue> = (0..plan.queues).map(|id| (TOPIC.into(), id)).collect();
    match plan.auto_create {
        true => queues.extend((0..4).map(|number| (format!("Made-{number}").into(), 0))),
        false => {
            works(world, &client, || Request::MakeTopic { topic: AGAIN.into(), queues: 2 }).await;
            queues.extend((0..2).map(|id| (AGAIN.into(), id)));
        }
    }
    for number in 0..3 {
        let group: Rc<str> = format!("beat-{number}").into();
        works(world, &client, || Request::Heartbeat { client: 7, group: group.clone() }).await;
    }
    for queue in queues {
        let send = || {
            let ids = world.model.borrow_mut().new_messages(&queue, 700_000, &[(40, 40)], false);
            Request::Send { queue: queue.clone(), ids, batch: false }
        };
        works(world, &client, send).await;
    }
    client.end();
}

async fn works(world: &Rc<World>, client: &Rc<Client>, request: impl Fn() -> Request) {
    let began = world.now();
    loop {
        let request = request();
        let shown = format!("{request:?}");
        let Some(answer) = client.call(request).await else {
            return;
        };
        if answer.code == response::SUCCESS {
            return;
        }
        if world.now() > began + super::HEALED_AFTER {
            let (code, remark) = (answer.code, &answer.remark);
            return world.wrong(format!("does not heal: {shown} is refused, {code}: {remark}"));
        }
        world.runtime.sleep(Duration::from_millis(50)).await;
    }
}

impl super::model::Model {
    /// Queues of the lasting topic that are known to be in another log.
    fn queues_beside(&self, log: u16) -> Vec<Queue> {
        let mut found = Vec::new();
        if self.topics.get(TOPIC).is_none_or(|thing| thing.known != Known::There) {
            return found;
        }
        for id in 0..8 {
            let queue: Queue = (TOPIC.into(), id);
            let place = self.of_queue(&queue).iter().find_map(|id| self.message(*id).name);
            if place.is_some_and(|(_, physical)| super::checker::log_of(physical) != Some(log)) {
                found.push(queue);
            }
        }
        found
    }
}
