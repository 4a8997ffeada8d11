//! Has a cluster live through the rounds of its plan.

use std::{rc::Rc, sync::Arc, time::Duration};

use ringmq_io::{
    Clock as _,
    sim::{Links, Node, Sim, SimDisk, SimRuntime},
};

use super::{
    member::{Member, set_clock},
    plan::{ClusterPlan, Fault, Others, Round, Way, observer_ip, server_ip},
    routes::{self, Masters, within},
    watch::{LOOK_EVERY, Watch},
};
use crate::{broker::workload::TOPIC, meter::Meter};

/// Virtual time after which a story hangs.
const TIME_LIMIT: Duration = Duration::from_secs(3600);
/// When the name server has heard of the end of a connection, and said so.
const CLOSED_WITHIN: Duration = Duration::from_secs(1);

/// What came of a story.
pub struct Told {
    pub problems: Vec<String>,
    pub trace: u64,
}

pub fn run(meter: &Arc<Meter>, plan: &ClusterPlan) -> Told {
    let sim = Sim::new(plan.seed);
    sim.set_time_limit(TIME_LIMIT);
    let server = sim.add_node(server_ip(), &SimDisk::new(plan.seed));
    set_clock(&server, plan.server_clock);
    let observer = sim.add_node(observer_ip(), &SimDisk::new(plan.seed));
    let members =
        plan.brokers.iter().enumerate().map(|(number, broker)| Member::new(&sim, number, broker));
    let members: Vec<Member> = members.collect();
    let brokers = members.iter().map(|member| (member.name.clone(), member.node.clone()));
    let director = Director {
        plan,
        host: sim.runtime(),
        links: sim.links(),
        observer: observer.boot(),
        watch: Rc::new(Watch::new(sim.links(), &server, brokers)),
        server,
        members,
    };
    let outcome = sim.try_run(async |_| director.play().await);
    for member in &director.members {
        member.end_clients();
        meter.run(member.operations());
        for _ in 1..member.processes.get() {
            meter.run(0);
        }
    }
    let mut problems = director.problems();
    problems.extend(director.watch.missed());
    match outcome {
        Ok(Err(problem)) => problems.insert(0, problem),
        Err(stopped) => problems.insert(0, stopped.to_string()),
        Ok(Ok(())) => {}
    }
    let trace = sim.trace_hash();
    sim.crash();
    Told { problems, trace }
}

struct Director<'a> {
    plan: &'a ClusterPlan,
    host: SimRuntime,
    links: Links,
    /// A client that asks the name server only.
    observer: SimRuntime,
    server: Node,
    members: Vec<Member>,
    watch: Rc<Watch>,
}

/// The sentence what is wrong.
type Outcome = Result<(), String>;

impl Director<'_> {
    fn problems(&self) -> Vec<String> {
        self.members.iter().flat_map(Member::problems).collect()
    }

    /// What was found first, if anything is wrong.
    fn found_wrong(&self) -> Option<String> {
        let of_member = |member: &Member| {
            let first = member.model.borrow().problems.first().cloned()?;
            Some(format!("{}: {first}", member.name))
        };
        self.members.iter().find_map(of_member).or_else(|| self.watch.missed())
    }

    async fn play(&self) -> Outcome {
        routes::serve(&self.server, self.plan);
        for (member, plan) in self.members.iter().zip(&self.plan.brokers) {
            member.start(plan.shards).await;
            member.set_up().await;
        }
        self.watch.begin(&self.observer);
        self.see_all().await?;
        self.watch.all();
        for (number, round) in (0..).zip(&self.plan.rounds) {
            let outcome = self.round(number, round).await;
            let context = |text| format!("round {number}, {round:?}: {text}");
            outcome.map_err(context)?;
            if let Some(text) = self.found_wrong() {
                return Err(context(text));
            }
        }
        self.watch.none();
        for (member, plan) in self.members.iter().zip(&self.plan.brokers) {
            member.stop().await;
            self.see_gone(member, CLOSED_WITHIN).await?;
            member.start(plan.shards).await;
            member.read_all().await;
            member.stop().await;
        }
        Ok(())
    }

    async fn round(&self, number: u32, round: &Round) -> Outcome {
        for member in &self.members {
            member.tear(round.fault.tears());
            member.work(number);
        }
        self.host.sleep(round.after).await;
        self.strike(round).await?;
        self.watch.connected();
        self.see_all().await?;
        if !matches!(round.fault.hides(), Hidden::None) {
            // A connection that has had enough may still end, and it takes a pause until the next
            // one is there: only what has connected again has to stay.
            self.host.sleep(self.plan.back_within()).await;
            self.see_all().await?;
        }
        self.watch.all();
        for member in &self.members {
            member.finish().await;
        }
        for member in &self.members {
            member.tear(false);
            member.see_it_healed().await;
            member.read_all().await;
        }
        Ok(())
    }

    /// Has a fault happen and end.
    async fn strike(&self, round: &Round) -> Outcome {
        let (lasts, links) = (round.lasts, &self.links);
        match round.fault.hides() {
            Hidden::None => {}
            Hidden::One(broker) => self.watch.all_but(broker),
            Hidden::All => self.watch.none(),
        }
        match round.fault {
            Fault::None => self.host.sleep(lasts).await,
            Fault::Restart { broker, shards } => {
                let member = &self.members[broker];
                member.stop().await;
                self.see_gone(member, CLOSED_WITHIN).await?;
                self.start_again(member, shards).await;
            }
            Fault::Kill { broker, shards } => {
                let member = &self.members[broker];
                member.die(false, true);
                self.see_gone(member, CLOSED_WITHIN).await?;
                self.host.sleep(lasts).await;
                self.start_again(member, shards).await;
            }
            Fault::PowerCut { broker, shards } => {
                let member = &self.members[broker];
                member.die(true, true);
                self.pass(lasts, member).await?;
                self.start_again(member, shards).await;
            }
            Fault::Pause { broker } => {
                let member = &self.members[broker];
                member.node.pause();
                self.pass(lasts, member).await?;
                member.node.resume();
            }
            Fault::Cut { broker, others, way } => self.cut(broker, others, way, lasts).await?,
            Fault::Hold { broker, others } => {
                let (member, other) = (&self.members[broker], self.other(broker, others));
                links.hold(&member.node, other);
                self.host.sleep(lasts).await;
                links.heal_all();
            }
            Fault::Reset { broker, others } => {
                links.reset(&self.members[broker].node, self.other(broker, others));
            }
            Fault::Slow { broker } => self.slow_down(&self.members[broker], lasts).await,
            Fault::ServerDies { power_cut } => {
                if power_cut {
                    self.server.power_cut();
                } else {
                    self.server.kill();
                }
                self.host.sleep(lasts).await;
                routes::serve(&self.server, self.plan);
            }
            Fault::ServerPauses => {
                self.server.pause();
                self.host.sleep(lasts).await;
                self.server.resume();
            }
        }
        Ok(())
    }

    fn other(&self, broker: usize, others: Others) -> &Node {
        match others {
            Others::NameServer => &self.server,
            Others::Clients => &self.members[broker].client,
        }
    }

    async fn start_again(&self, member: &Member, shards: usize) {
        member.start(shards).await;
        member.read_all().await;
    }

    async fn cut(&self, broker: usize, others: Others, way: Way, lasts: Duration) -> Outcome {
        let (member, other) = (&self.members[broker], self.other(broker, others));
        if way != Way::ToBroker {
            self.links.cut(&member.node, other);
        }
        if way != Way::FromBroker {
            self.links.cut(other, &member.node);
        }
        // Where only answers are lost, registrations come all the same.
        match (others, way) {
            (Others::NameServer, Way::FromBroker | Way::Both) => self.pass(lasts, member).await?,
            _ => self.host.sleep(lasts).await,
        }
        self.links.heal_all();
        Ok(())
    }

    async fn slow_down(&self, member: &Member, lasts: Duration) {
        let (zero, links) = (Duration::ZERO, &self.links);
        let (there, back) = ((&member.client, &member.node), (&member.node, &member.client));
        links.delay(there.0, there.1, Duration::from_millis(20), Duration::from_millis(5));
        links.delay(back.0, back.1, Duration::from_millis(40), Duration::from_millis(20));
        links.limit(back.0, back.1, Some(200_000));
        self.host.sleep(lasts).await;
        links.delay(there.0, there.1, zero, zero);
        links.delay(back.0, back.1, zero, zero);
        links.limit(back.0, back.1, None);
    }

    /// Time in which the name server hears nothing of the broker.
    async fn pass(&self, lasts: Duration, member: &Member) -> Outcome {
        let limit = self.plan.gone_within();
        let began = self.host.monotonic();
        if lasts >= limit {
            self.see_gone(member, limit).await?;
        }
        self.host.sleep((began + lasts).saturating_sub(self.host.monotonic())).await;
        Ok(())
    }

    /// The name server leads nobody to the broker any more, in time.
    async fn see_gone(&self, member: &Member, limit: Duration) -> Outcome {
        let gone = |masters: &Masters| !masters.contains_key(&member.name);
        match self.see(limit, gone).await {
            Some(_) => Ok(()),
            None => Err(format!("{} is gone, its route is there after {limit:?}", member.name)),
        }
    }

    /// The name server leads to all brokers, in time.
    async fn see_all(&self) -> Outcome {
        let limit = self.plan.back_within();
        let names = self.members.iter().map(|member| &member.name);
        let all = |masters: &Masters| names.clone().all(|name| masters.contains_key(name));
        match self.see(limit, all).await {
            Some(_) => Ok(()),
            None => Err(format!("not all routes are there {limit:?} after all is well")),
        }
    }

    /// Asks for the route of the topic that all brokers have, until it is as wanted.
    async fn see(&self, limit: Duration, wanted: impl Fn(&Masters) -> bool) -> Option<Masters> {
        let looking = async {
            loop {
                let masters = routes::of_topic(&self.observer, TOPIC).await;
                if let Some(masters) = masters.filter(&wanted) {
                    return masters;
                }
                self.host.sleep(LOOK_EVERY).await;
            }
        };
        within(&self.host, limit, looking).await
    }
}

/// Whose routes may be gone.
enum Hidden {
    None,
    One(usize),
    All,
}

impl Fault {
    fn hides(&self) -> Hidden {
        let (broker, others) = match self {
            Fault::None | Fault::Slow { .. } => return Hidden::None,
            Fault::ServerDies { .. } | Fault::ServerPauses => return Hidden::All,
            Fault::Restart { broker, .. }
            | Fault::Kill { broker, .. }
            | Fault::PowerCut { broker, .. }
            | Fault::Pause { broker } => (broker, Others::NameServer),
            Fault::Cut { broker, others, .. }
            | Fault::Hold { broker, others }
            | Fault::Reset { broker, others } => (broker, *others),
        };
        match others {
            Others::NameServer => Hidden::One(*broker),
            Others::Clients => Hidden::None,
        }
    }

    /// Connections of clients may break, or stand still until their broker has enough of them.
    fn tears(&self) -> bool {
        let beside = |others: &Others| *others == Others::NameServer;
        match self {
            Fault::Cut { others, .. } | Fault::Hold { others, .. } => !beside(others),
            Fault::Reset { others, .. } => !beside(others),
            Fault::None | Fault::ServerDies { .. } | Fault::ServerPauses => false,
            Fault::Restart { .. }
            | Fault::Kill { .. }
            | Fault::PowerCut { .. }
            | Fault::Pause { .. }
            | Fault::Slow { .. } => true,
        }
    }
}
