//! A broker of the cluster with its machine, its clients and the model that judges it.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    time::Duration,
};

use ringmq_broker::simulation::{self, Simulated};
use ringmq_io::{
    Clock as _, Net as _, Runtime as _, Shares, Spawn as _,
    sim::{Node, Sim, SimDisk, SimRuntime, SimStream},
};

use super::{
    plan::{BrokerPlan, ClockPlan, broker_ip, client_ip},
    routes::{self, within},
};
use crate::broker::{
    client::World,
    model::{Known, Model},
    plan::{End, Plan, Process, Trouble},
    readback,
    workload::{self, TOPIC, Worker},
};

const START_WITHIN: Duration = Duration::from_secs(30);
const STOPPED_WITHIN: Duration = Duration::from_secs(15);
/// How long clients look for their broker: longer than the longest trouble and its aftermath.
const FOUND_WITHIN: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Every script of a round ends within this time after the trouble is over.
const WORK_WITHIN: Duration = Duration::from_secs(120);
/// How much later than the interval consumer offsets may become durable.
const OFFSET_SLACK: Duration = Duration::from_millis(1500);
/// Numbers of clients of a round.
const NUMBERS: u32 = 1_000_000;

pub struct Member {
    pub name: String,
    /// The machine of the broker, and that of its clients.
    pub node: Node,
    pub client: Node,
    pub model: Rc<RefCell<Model>>,
    host: SimRuntime,
    plan: Rc<Plan>,
    world: Rc<World>,
    broker: RefCell<Option<Simulated<SimRuntime>>>,
    /// Scripts that run.
    running: Rc<Cell<u32>>,
    crashed: Cell<bool>,
    /// Operations of disks that are no more.
    operations: Cell<u64>,
    pub processes: Cell<u64>,
}

pub fn set_clock(node: &Node, clock: ClockPlan) {
    node.set_drift(clock.drift);
    node.jump_wall_clock(clock.wall_ms);
}

impl Member {
    pub fn new(sim: &Sim, number: usize, broker: &BrokerPlan) -> Member {
        let seed = broker.plan.seed;
        let node = sim.add_node(broker_ip(number), &SimDisk::new(seed));
        set_clock(&node, broker.clock);
        let client = sim.add_node(client_ip(number), &SimDisk::new(seed));
        let plan = Rc::new(broker.plan.clone());
        let mut model = Model::new(plan.auto_create, plan.legal_body());
        model.one_clock = true;
        let model = Rc::new(RefCell::new(model));
        let runtime = client.boot();
        let find = Finder {
            runtime: runtime.clone(),
            name: broker.name.clone(),
            address: SocketAddr::new(broker_ip(number), 10_911).to_string(),
            model: model.clone(),
        };
        let door = move || -> Pin<Box<dyn Future<Output = Option<SimStream>>>> {
            let find = find.clone();
            Box::pin(async move { find.connect().await })
        };
        let world = Rc::new(World::new(runtime, model.clone(), Box::new(door), FOUND_WITHIN));
        Member {
            name: broker.name.clone(),
            node,
            client,
            model,
            host: sim.runtime(),
            plan,
            world,
            broker: RefCell::default(),
            running: Rc::default(),
            crashed: Cell::new(false),
            operations: Cell::new(0),
            processes: Cell::new(0),
        }
    }

    /// Starts a process, and waits until it serves. No script of before goes on with it: they would
    /// send while everything is read.
    pub async fn start(&self, shards: usize) {
        while self.running.get() > 0 {
            self.host.sleep(LOOK_AGAIN).await;
        }
        let process = Process { shards, trouble: Trouble::None, end: End::Clean };
        let runtime = self.node.boot();
        let settings = self.plan.settings(runtime.now_ms(), &process);
        let broker = simulation::start(&runtime, settings, shards);
        self.processes.set(self.processes.get() + 1);
        match within(&self.host, START_WITHIN, broker.ready(&self.host)).await {
            Some(Ok(())) => {}
            Some(Err(error)) => self.world.wrong(format!("it does not start: {error}")),
            None => self.world.wrong("it does not start in time".to_owned()),
        }
        *self.broker.borrow_mut() = Some(broker);
        self.world.gone.set(false);
    }

    pub async fn set_up(&self) {
        workload::set_up(&self.world, &self.plan).await;
    }

    /// Has clients work; see [`Member::finish`].
    pub fn work(&self, round: u32) {
        for number in 1..=self.plan.clients {
            let worker = Worker::new(&self.world, &self.plan, number + NUMBERS * round);
            self.running.set(self.running.get() + 1);
            let running = self.running.clone();
            self.world.runtime.spawn(Shares::Foreground, "script", async move {
                worker.work().await;
                running.set(running.get() - 1);
            });
        }
    }

    /// Connections may break from now on, or no longer.
    pub fn tear(&self, torn: bool) {
        self.world.torn.set(torn);
    }

    /// Its process, or its machine, dies.
    pub fn die(&self, power_cut: bool, calm: bool) {
        self.world.gone.set(true);
        self.count_operations();
        if power_cut {
            self.node.power_cut();
        } else {
            self.node.kill();
        }
        *self.broker.borrow_mut() = None;
        self.crashed.set(true);
        let now = self.world.now();
        // The clock that the interval goes by may be slow.
        let interval = self.plan.offset_interval * 11 / 10 + OFFSET_SLACK;
        let firm = now.checked_sub(interval).filter(|_| calm);
        self.process_ended(false, firm);
    }

    /// It is told to stop, and does.
    pub async fn stop(&self) {
        self.model.borrow_mut().excuses.stopping = true;
        let broker = self.broker.borrow_mut().take().expect("it runs");
        broker.shut_down();
        if within(&self.host, STOPPED_WITHIN, broker.ended()).await.is_none() {
            self.world.wrong("it does not stop in time".to_owned());
        }
        self.world.gone.set(true);
        self.count_operations();
        self.node.kill();
        self.process_ended(true, None);
    }

    fn process_ended(&self, clean: bool, firm: Option<Duration>) {
        self.end_clients();
        let mut model = self.model.borrow_mut();
        model.process_ended(clean, firm, self.world.now());
        model.excuses = Default::default();
    }

    /// Ends all connections of clients, and forgets them: they and the world know each other.
    pub fn end_clients(&self) {
        let clients = std::mem::take(&mut *self.world.clients.borrow_mut());
        clients.iter().for_each(|client| client.end());
    }

    fn count_operations(&self) {
        self.operations.set(self.operations.get() + self.node.disk().operations());
    }

    /// Operations of its disks.
    pub fn operations(&self) -> u64 {
        self.operations.get() + self.node.disk().operations()
    }

    /// Waits for the scripts and all answers: everything works, or will in time.
    pub async fn finish(&self) {
        let began = self.world.now();
        let pause = Duration::from_millis(20);
        self.world.hurry.set(true);
        loop {
            let unanswered = self.world.unanswered();
            if self.running.get() == 0 && unanswered.is_empty() {
                break;
            }
            if self.world.now() > began + WORK_WITHIN {
                let (scripts, count) = (self.running.get(), unanswered.len());
                let first = unanswered.first().cloned().unwrap_or_default();
                let text = "scripts do not end, and so many requests are never answered";
                return self.world.wrong(format!("{scripts} {text}: {count}, {first}"));
            }
            self.host.sleep(pause).await;
        }
        self.world.hurry.set(false);
        self.end_clients();
    }

    /// Nothing is in the way of anybody any more.
    pub async fn see_it_healed(&self) {
        workload::see_it_healed(&self.world, &self.plan).await;
        self.end_clients();
    }

    /// Reads everything and has the model judge it.
    pub async fn read_all(&self) {
        readback::read_all(&self.world, &self.plan, self.crashed.get()).await;
        self.end_clients();
    }

    /// What was found wrong, for a report.
    pub fn problems(&self) -> Vec<String> {
        let problems = std::mem::take(&mut self.model.borrow_mut().problems);
        problems.into_iter().map(|text| format!("{}: {text}", self.name)).collect()
    }
}

/// Finds the broker as clients do.
#[derive(Clone)]
struct Finder {
    runtime: SimRuntime,
    name: String,
    address: String,
    model: Rc<RefCell<Model>>,
}

impl Finder {
    /// One attempt; pauses before it has failed.
    async fn connect(&self) -> Option<SimStream> {
        let known = self.model.borrow().topics.get(TOPIC).map(|topic| topic.known);
        let found = match known {
            Some(Known::There) => routes::of_topic(&self.runtime, TOPIC).await,
            _ => routes::of_cluster(&self.runtime).await,
        };
        let told = found.and_then(|mut found| found.remove(&self.name));
        if let Some(address) = &told
            && *address != self.address
        {
            let text = format!("clients are told {address}, it is at {}", self.address);
            self.model.borrow_mut().wrong(text);
        }
        if let Some(address) = told.and_then(|address| address.parse().ok()) {
            let connect = self.runtime.net().connect(address);
            if let Some(Ok(stream)) = within(&self.runtime, routes::PATIENCE, connect).await {
                return Some(stream);
            }
        }
        self.runtime.sleep(LOOK_AGAIN).await;
        None
    }
}
