//! One process of the broker: starts, is read, works under its trouble, heals, is read again, and
//! ends in some way.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    rc::Rc,
    time::Duration,
};

use futures_lite::future::or;
use ringmq_broker::simulation::{self, Held, Simulated};
use ringmq_io::{
    Clock as _, Disk as _, Shares, Spawn as _,
    sim::{Fault, FaultRule, OperationKind, Random, Sim, SimDisk, SimRuntime},
};

use super::{
    client::{World, local_door},
    model::Model,
    plan::{BODY_BYTES_MAX, End, Plan, Process, Trouble},
    process_seed, readback, timers, transactions,
    workload::{self, Worker},
};

/// Virtual time after which a process hangs.
const TIME_LIMIT: Duration = Duration::from_secs(600);
const START_WITHIN: Duration = Duration::from_secs(30);
const CONNECTED_WITHIN: Duration = Duration::from_secs(1);
/// Every script ends within this time, even behind slow disks.
const WORK_WITHIN: Duration = Duration::from_secs(40);
/// Every request is answered within this time after the last was sent and all faults are over.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);
const STOPPED_WITHIN: Duration = Duration::from_secs(9);
/// How much later than the interval consumer offsets may become durable.
const OFFSET_SLACK: Duration = Duration::from_millis(1500);
const ENOUGH: u64 = 1 << 40;

#[derive(Clone, Copy, Debug)]
pub struct ProcessRun {
    pub number: usize,
    pub process: Process,
    /// A process before this one was killed.
    pub crashed: bool,
    pub is_last: bool,
}

/// Runs a process on the disk to its end. Problems are in the model; the error says why it hangs.
pub fn run_process(
    disk: &SimDisk,
    plan: &Rc<Plan>,
    model: &Rc<RefCell<Model>>,
    run: &ProcessRun,
) -> Result<(), String> {
    let sim = Sim::with_disk(process_seed(plan.seed, run.number), disk);
    sim.set_time_limit(TIME_LIMIT);
    sim.set_socket_bytes(plan.socket_bytes);
    model.borrow_mut().excuses = Default::default();
    model.borrow_mut().full_until = Duration::ZERO;
    let outcome = sim.try_run(async |runtime| {
        let chance = process_seed(plan.seed, run.number) >> 7;
        sim.jump_wall_clock(model.borrow().clock.jump(runtime.now_ms(), chance));
        let door = local_door(runtime.clone());
        let world = Rc::new(World::new(runtime, model.clone(), door, CONNECTED_WITHIN));
        let stage =
            Stage { world: world.clone(), disk: disk.clone(), plan: plan.clone(), run: *run };
        stage.run().await;
        // They know the world, and it knows them: neither would be given back.
        world.clients.borrow_mut().clear();
    });
    disk.clear_faults();
    disk.set_capacity(ENOUGH);
    sim.crash();
    outcome.map_err(|stopped| stopped.to_string())
}

struct Stage {
    world: Rc<World>,
    disk: SimDisk,
    plan: Rc<Plan>,
    run: ProcessRun,
}

impl Stage {
    fn runtime(&self) -> &SimRuntime {
        &self.world.runtime
    }

    /// The output of a future, unless it takes longer.
    async fn within<T>(&self, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        let timeout = async {
            self.runtime().sleep(limit).await;
            None
        };
        or(async { Some(future.await) }, timeout).await
    }

    async fn run(&self) {
        let now_ms = self.runtime().now_ms();
        let settings = self.plan.settings(now_ms, &self.run.process);
        let broker = Rc::new(simulation::start(self.runtime(), settings, self.run.process.shards));
        match self.within(START_WITHIN, broker.ready(self.runtime())).await {
            Some(Ok(())) => {}
            Some(Err(error)) => return self.world.wrong(format!("it does not start: {error}")),
            None => return self.world.wrong("it does not start in time".to_owned()),
        }
        self.watch_memory(&broker);
        let mut random = self.runtime().random();
        let killed = self.run.process.end != End::Clean && random.chance(2, 3);
        if killed {
            let early = Duration::from_millis(20 + random.below(400));
            let killed = async {
                self.runtime().sleep(early).await;
            };
            or(killed, self.work(&mut random)).await;
        } else {
            self.work(&mut random).await;
            self.see_all_taken(&broker).await;
        }
        self.end(&broker).await;
    }

    async fn work(&self, random: &mut Random) {
        readback::read_all(&self.world, &self.plan, self.run.crashed).await;
        if !self.world.model.borrow().problems.is_empty() {
            return;
        }
        if self.run.is_last {
            timers::await_all(&self.world).await;
            transactions::end_all(&self.world).await;
            return readback::read_all(&self.world, &self.plan, self.run.crashed).await;
        }
        if self.run.number == 0 {
            workload::set_up(&self.world, &self.plan).await;
        }
        let over = Rc::new(Cell::new(false));
        self.trouble(random, &over);
        let running = Rc::new(Cell::new(0));
        for number in 1..=self.plan.clients {
            let number = number + 10_000 * self.run.number as u32;
            let worker = Worker::new(&self.world, &self.plan, number);
            self.spawn(&running, worker.work());
        }
        self.spawn(&running, workload::administrate(self.world.clone(), self.plan.clone()));
        if let Trouble::SlowLog { log, .. } = self.run.process.trouble {
            self.spawn(&running, workload::look_on(self.world.clone(), log, over.clone()));
        }
        self.finish(&running, &over).await;
    }

    fn spawn(&self, running: &Rc<Cell<u32>>, task: impl Future<Output = ()> + 'static) {
        running.set(running.get() + 1);
        let running = running.clone();
        self.runtime().spawn(Shares::Foreground, "script", async move {
            task.await;
            running.set(running.get() - 1);
        });
    }

    /// Waits for the scripts, for the end of all trouble and for all answers, and looks at what
    /// came of it.
    async fn finish(&self, running: &Cell<u32>, over: &Cell<bool>) {
        let began = self.world.now();
        let pause = Duration::from_millis(20);
        while running.get() > 0 && self.world.now() < began + WORK_WITHIN {
            self.runtime().sleep(pause).await;
            if self.world.now() > began + Duration::from_secs(3) {
                self.world.hurry.set(true);
            }
        }
        self.world.hurry.set(true);
        while !over.get() {
            self.runtime().sleep(pause).await;
        }
        let began = self.world.now();
        let mut unanswered = self.world.unanswered();
        while !unanswered.is_empty() && self.world.now() < began + ANSWERED_WITHIN {
            self.runtime().sleep(pause).await;
            unanswered = self.world.unanswered();
        }
        if let Some(first) = unanswered.first() {
            let count = unanswered.len();
            return self.world.wrong(format!("{count} requests are never answered: {first}"));
        }
        if !matches!(self.run.process.trouble, Trouble::Errors { .. }) {
            workload::see_it_healed(&self.world, &self.plan).await;
        }
        let failed = matches!(self.run.process.trouble, Trouble::Errors { .. });
        readback::read_all(&self.world, &self.plan, self.run.crashed || failed).await;
    }

    /// Orders what goes wrong, and its end.
    fn trouble(&self, random: &mut Random, over: &Rc<Cell<bool>>) {
        let trouble = self.run.process.trouble;
        let (world, disk, over) = (self.world.clone(), self.disk.clone(), over.clone());
        let skip = random.below(30);
        let runtime = self.runtime().clone();
        self.runtime().spawn(Shares::Foreground, "trouble", async move {
            match trouble {
                Trouble::None => {}
                Trouble::Full { from, until, left } => {
                    runtime.sleep(from).await;
                    if let Ok((free, total)) = disk_space(&runtime).await {
                        disk.set_capacity(total - free + left);
                    }
                    world.model.borrow_mut().excuses.full = true;
                    runtime.sleep(until - from).await;
                    disk.set_capacity(ENOUGH);
                    runtime.sleep(super::SPACE_SEEN_AFTER).await;
                    {
                        let mut model = world.model.borrow_mut();
                        model.excuses.full = false;
                        model.full_until = world.now();
                    }
                    runtime.sleep(super::HEALED_AFTER - super::SPACE_SEEN_AFTER).await;
                }
                Trouble::SlowLog { log, from, each, writes } => {
                    runtime.sleep(from).await;
                    let rule = FaultRule::every(Some(OperationKind::Write), Fault::Stall(each));
                    let path = format!("log-{log:03}");
                    disk.add_fault(rule.where_path_contains(&path).times(writes));
                    let all = each * u32::try_from(writes).expect("few");
                    runtime.sleep(all).await;
                    disk.clear_faults();
                    runtime.sleep(each).await;
                }
                Trouble::SlowMeta { from, each } => {
                    runtime.sleep(from).await;
                    let rule = FaultRule::every(Some(OperationKind::Write), Fault::Stall(each));
                    disk.add_fault(rule.where_path_contains("meta").times(2));
                    runtime.sleep(each * 2).await;
                    disk.clear_faults();
                    runtime.sleep(each).await;
                }
                Trouble::Errors { from, times } => {
                    runtime.sleep(from).await;
                    world.model.borrow_mut().excuses.failing = true;
                    let kinds = [OperationKind::Write, OperationKind::Sync];
                    let kind = kinds[usize::try_from(times % 2).expect("small")];
                    let rule = FaultRule::every(Some(kind), Fault::InputOutput);
                    disk.add_fault(rule.after(skip).times(times));
                    runtime.sleep(Duration::from_millis(500)).await;
                    disk.clear_faults();
                }
            }
            over.set(true);
        });
    }

    async fn end(&self, broker: &Simulated<SimRuntime>) {
        let (process, now) = (self.run.process, self.world.now());
        let trouble = process.trouble;
        let failed = matches!(trouble, Trouble::Errors { .. });
        let calm = match trouble {
            Trouble::None => Duration::ZERO,
            Trouble::Full { until, .. } => until + super::HEALED_AFTER + Duration::from_secs(1),
            Trouble::SlowMeta { .. } | Trouble::SlowLog { .. } | Trouble::Errors { .. } => {
                Duration::MAX
            }
        };
        let firm = now.checked_sub(self.plan.offset_interval + OFFSET_SLACK);
        let firm = firm.filter(|firm| *firm >= calm);
        let clean = process.end == End::Clean;
        if clean {
            self.world.model.borrow_mut().excuses.stopping = true;
            broker.shut_down();
            if self.within(STOPPED_WITHIN, broker.ended()).await.is_none() {
                self.world.wrong("it does not stop in time".to_owned());
            }
        }
        // What was delivered before a kill was due by then.
        self.world.model.borrow_mut().see_clock(self.runtime().now_ms());
        self.world.model.borrow_mut().process_ended(clean && !failed, firm, now);
    }

    /// All answers are taken: nothing is set aside for any.
    async fn see_all_taken(&self, broker: &Simulated<SimRuntime>) {
        let began = self.world.now();
        loop {
            let held = broker.held();
            let promised: usize = held.iter().map(|held| held.promised_bytes).sum();
            let waiting: usize = held.iter().map(|held| held.pulls_without_room).sum();
            if promised + waiting == 0 || !self.world.model.borrow().problems.is_empty() {
                return;
            }
            if self.world.now() > began + Duration::from_secs(1) {
                let text = "bytes are set aside and pulls wait for room, all is answered";
                return self.world.wrong(format!("{promised} and {waiting} {text}"));
            }
            self.runtime().sleep(Duration::from_millis(10)).await;
        }
    }

    /// Samples what the shards hold for others.
    fn watch_memory(&self, broker: &Rc<Simulated<SimRuntime>>) {
        let (world, plan, broker) = (self.world.clone(), self.plan.clone(), broker.clone());
        let process = self.run.process;
        self.runtime().spawn(Shares::Foreground, "memory", async move {
            loop {
                world.runtime.sleep(Duration::from_millis(5)).await;
                for held in broker.held() {
                    if let Some(text) = too_much(&plan, &process, &held) {
                        return world.wrong(text);
                    }
                }
            }
        });
    }
}

/// Free and all bytes.
async fn disk_space(runtime: &SimRuntime) -> ringmq_io::disk::Result<(u64, u64)> {
    use ringmq_io::Runtime as _;
    runtime.disk().space(std::path::Path::new("store")).await
}

/// Most bytes of an answer that carries no message: to a batch of a hundred.
const SMALL_ANSWER: usize = 4 << 10;
/// Most bytes of messages that one pull brings, if they are several.
const PULL_BYTES_MAX: usize = 256 << 10;

/// What a shard may hold at most: the limits, and what was admitted just below them.
fn too_much(plan: &Plan, process: &Process, held: &Held) -> Option<String> {
    let (shards, budget) = (process.shards, plan.output_budget(process));
    let sizes = plan.sizes();
    let message = usize::try_from(BODY_BYTES_MAX).expect("small") + 64 * 1024;
    let clients = plan.clients as usize + 4;
    let open = clients * plan.requests_max.min(400) as usize;
    // Requests up to the limit, what one flush sends at once, and what clients have asked for that
    // is never refused: calls and the ends of connections.
    let messages = sizes.backlog_messages_max + 3 + 2 * clients;
    // A connection's own shard makes answers up to its limit, or one; so do others, up to a part.
    let answer = message.max(PULL_BYTES_MAX);
    let own = plan.output_bytes_max.max(answer);
    let of_others = (shards - 1) * (plan.output_bytes_max / shards).max(answer);
    // Answers without messages count when they are there.
    let small = open * SMALL_ANSWER;
    let batch = sizes.batch_bytes_max + message;
    let limits = [
        ("messages before a full lane", held.backlog_messages, messages),
        ("bytes for other shards", held.router_bytes, batch * (messages + open + 4)),
        ("bytes of answers of a connection", held.output_bytes, own + of_others + small),
        ("bytes of answers", held.answer_bytes, budget + answer + small),
        ("bytes set aside for answers", held.promised_bytes, budget + answer),
        ("bytes of requests that arrive", held.input_bytes, plan.input_bytes_max),
        ("bytes of waiting sends", held.waiting_send_bytes, plan.backlog_bytes_max),
        ("bytes of appended messages", held.log_bytes, plan.backlog_bytes_max + message),
    ];
    let (what, is, most) = limits.into_iter().find(|(_, is, most)| is > most)?;
    Some(format!("a shard holds {is} {what}, the limit is {most}"))
}
