//! Looks all the time whether the name server leads to the brokers that it has to lead to.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    rc::Rc,
    time::Duration,
};

use ringmq_io::{
    Clock as _, Shares, Spawn as _,
    sim::{Links, Node, SimRuntime},
};

use super::routes::{self, Masters};
use crate::broker::workload::TOPIC;

pub const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A broker registers as soon as it has connected, and nothing is in the way then.
const REGISTERED_WITHIN: Duration = Duration::from_secs(1);

/// A connection of a broker to the name server: number of the broker, and its own address.
type Connection = (usize, SocketAddr);

pub struct Watch {
    links: Links,
    server: Node,
    /// With their names.
    brokers: Vec<(String, Node)>,
    /// Whose routes have to be there, whatever connections there are.
    certain: RefCell<BTreeSet<usize>>,
    /// All is well: brokers count that have connected since then; these connections were there.
    before: RefCell<Option<BTreeSet<Connection>>>,
    /// Counts changes of what has to be there.
    version: Cell<u64>,
    missed: RefCell<Option<String>>,
}

impl Watch {
    pub fn new(
        links: Links,
        server: &Node,
        brokers: impl Iterator<Item = (String, Node)>,
    ) -> Watch {
        Watch {
            links,
            server: server.clone(),
            brokers: brokers.collect(),
            certain: RefCell::default(),
            before: RefCell::default(),
            version: Cell::new(0),
            missed: RefCell::default(),
        }
    }

    /// All routes have to be there.
    pub fn all(&self) {
        self.change((0..self.brokers.len()).collect(), None);
    }

    /// Something happens to a broker.
    pub fn all_but(&self, broker: usize) {
        self.change((0..self.brokers.len()).filter(|one| *one != broker).collect(), None);
    }

    /// Something happens to the name server.
    pub fn none(&self) {
        self.change(BTreeSet::new(), None);
    }

    /// All is well from now on: besides the routes that had to be there already, that of each
    /// broker has to be that has connected again, for as long as this connection stands, whatever
    /// comes late of earlier ones.
    pub fn connected(&self) {
        let certain = self.certain.borrow().clone();
        self.change(certain, Some(self.standing().into_iter().collect()));
    }

    fn change(&self, certain: BTreeSet<usize>, before: Option<BTreeSet<Connection>>) {
        *self.certain.borrow_mut() = certain;
        *self.before.borrow_mut() = before;
        self.version.set(self.version.get() + 1);
    }

    /// The sentence which route was not there that had to be.
    pub fn missed(&self) -> Option<String> {
        self.missed.borrow().clone()
    }

    /// Looks until something is missed.
    pub fn begin(self: &Rc<Self>, observer: &SimRuntime) {
        let (watch, own) = (self.clone(), observer.clone());
        observer.spawn(Shares::Foreground, "observer", async move {
            let mut since = BTreeMap::new();
            while watch.missed.borrow().is_none() {
                own.sleep(LOOK_EVERY).await;
                let now = own.monotonic();
                let version = watch.version.get();
                let wanted = watch.wanted(&mut since, now);
                let Some(masters) = routes::of_topic(&own, TOPIC).await else {
                    continue;
                };
                if watch.version.get() == version {
                    watch.compare(&wanted, &masters, own.monotonic());
                }
            }
        });
    }

    fn standing(&self) -> Vec<Connection> {
        let of_broker = |(number, (_, node)): (usize, &(String, Node))| {
            let all = self.links.connections(node, &self.server);
            all.into_iter().map(move |address| (number, address))
        };
        self.brokers.iter().enumerate().flat_map(of_broker).collect()
    }

    /// Which brokers have to be there, and by which connection. `since`: when which connection was
    /// seen for the first time.
    fn wanted(
        &self,
        since: &mut BTreeMap<Connection, Duration>,
        now: Duration,
    ) -> Vec<(usize, Option<Connection>)> {
        let standing = self.standing();
        since.retain(|connection, _| standing.contains(connection));
        for connection in standing {
            since.entry(connection).or_insert(now);
        }
        let certain = self.certain.borrow();
        let mut wanted: Vec<_> = certain.iter().map(|broker| (*broker, None)).collect();
        if let Some(before) = &*self.before.borrow() {
            let registered = since.iter().filter(|(connection, first)| {
                !before.contains(connection) && now - **first >= REGISTERED_WITHIN
            });
            wanted.extend(registered.map(|(connection, _)| (connection.0, Some(*connection))));
        }
        wanted
    }

    fn compare(&self, wanted: &[(usize, Option<Connection>)], masters: &Masters, now: Duration) {
        let standing = self.standing();
        for (broker, connection) in wanted {
            let (name, _) = &self.brokers[*broker];
            if masters.contains_key(name) {
                continue;
            }
            let text = match connection {
                None => format!("the route of {name} is gone at {now:?}"),
                Some(one) if standing.contains(one) => {
                    let port = one.1.port();
                    format!("the route of {name} is gone at {now:?}, its connection {port} stands")
                }
                Some(_) => continue,
            };
            self.missed.borrow_mut().get_or_insert(text);
        }
    }
}
