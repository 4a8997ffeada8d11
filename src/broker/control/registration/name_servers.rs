//! Which name servers there are: all addresses of the names that the configuration or an address
//! server gives. Names are looked up again and again, each by a task of its own, since one that
//! takes long must not hold up the others.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    time::Duration,
};

use futures_lite::future::or;
use ringmq_base::config::BrokerConfig;
use ringmq_io::{Net as _, Runtime, Shares, signal::Event};

use super::{RETRY, address_server::AddressServer, keep_registered, server::Server};
use crate::control::Control;

/// Name servers that a broker registers with at most: each has a connection, and a registration of
/// all topics in memory while it is told.
pub const NAME_SERVERS_MAX: usize = 32;

/// Where the configuration says that name servers are.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sources {
    /// `host:port` each.
    names: Vec<String>,
    /// Asked if there are no names.
    address_server: Option<AddressServer>,
    look_up_period: Duration,
    ask_period: Duration,
}

impl Sources {
    fn new(config: &BrokerConfig) -> Sources {
        let names = config.namesrv_addr.0.clone();
        let asks = names.is_empty() && config.fetch_namesrv_addr_by_address_server;
        let (domain, group) =
            (&config.rmq_address_server_domain.0, &config.rmq_address_server_sub_group.0);
        Sources {
            names,
            address_server: asks.then(|| AddressServer::new(domain, group)),
            look_up_period: Duration::from_millis(config.update_name_server_addr_period_ms),
            ask_period: Duration::from_millis(config.fetch_namesrv_addr_interval_ms),
        }
    }
}

/// A name, or an address, with what it stands for.
struct Name {
    text: String,
    addresses: RefCell<Vec<SocketAddr>>,
    /// The first look-up has come to an end, whatever that was.
    looked: Cell<bool>,
    /// Nothing names it any more. Its addresses count until those that came instead are known.
    gone: Cell<bool>,
    /// It is to be looked up now, or is gone.
    again: Event,
}

impl Name {
    fn new(text: &str) -> Name {
        let address = text.parse().ok();
        Name {
            text: text.to_owned(),
            addresses: RefCell::new(address.into_iter().collect()),
            looked: Cell::new(address.is_some()),
            gone: Cell::new(false),
            again: Event::default(),
        }
    }

    fn is_address(&self) -> bool {
        self.text.parse::<SocketAddr>().is_ok()
    }
}

pub struct NameServers {
    sources: RefCell<Sources>,
    /// They are others than before, or the broker stops.
    changed: Event,
    /// The names are those of the sources; an address server has been asked once.
    is_begun: Cell<bool>,
    names: RefCell<Vec<Rc<Name>>>,
    /// Those that are told, one an address, and those that are being left.
    servers: RefCell<Vec<Rc<Server>>>,
    /// It was said that there are too many.
    too_many: Cell<bool>,
}

impl NameServers {
    pub fn new(config: &BrokerConfig) -> NameServers {
        NameServers {
            sources: RefCell::new(Sources::new(config)),
            changed: Event::default(),
            is_begun: Cell::new(false),
            names: RefCell::default(),
            servers: RefCell::default(),
            too_many: Cell::new(false),
        }
    }

    pub fn servers(&self) -> std::cell::Ref<'_, Vec<Rc<Server>>> {
        self.servers.borrow()
    }

    /// All tasks look whether there is something to do.
    pub fn wake(&self) {
        self.servers.borrow().iter().for_each(|server| server.wanted.set());
        self.names.borrow().iter().for_each(|name| name.again.set());
        self.changed.set();
    }

    /// Those that there are, one for a name that is not known yet, and how many know the broker.
    pub fn registered(&self) -> (usize, usize) {
        let servers = self.servers.borrow();
        let servers = servers.iter().filter(|server| !server.leaving.get());
        let connected = servers.clone().filter(|server| server.connected.get()).count();
        let names = self.names.borrow();
        let unknown = names.iter().filter(|name| name.addresses.borrow().is_empty()).count();
        let unasked =
            usize::from(self.sources.borrow().address_server.is_some() && names.is_empty());
        (servers.count() + unknown + unasked, connected)
    }

    /// Each has been told, or an attempt has failed.
    pub fn are_tried(&self) -> bool {
        self.is_begun.get()
            && self.names.borrow().iter().all(|name| name.looked.get())
            && self.servers.borrow().iter().all(|server| server.tried.get())
    }

    /// Has what the configuration says now count.
    pub fn configure(&self, config: &BrokerConfig) {
        let sources = Sources::new(config);
        if *self.sources.borrow() != sources {
            *self.sources.borrow_mut() = sources;
            self.changed.set();
        }
    }

    /// A connection failed or was lost: its name may stand for something else by now.
    pub fn failed(&self, server: &Server) {
        let names = self.names.borrow();
        let of_it = names.iter().filter(|name| name.addresses.borrow().contains(&server.address));
        of_it.for_each(|name| name.again.set());
    }

    /// One of its addresses has the broker registered.
    fn is_reached(&self, name: &Name) -> bool {
        let (servers, addresses) = (self.servers.borrow(), name.addresses.borrow());
        servers.iter().any(|one| one.connected.get() && addresses.contains(&one.address))
    }

    /// The name servers are these from now on.
    fn set_names<R: Runtime>(&self, control: &Rc<Control<R>>, texts: &[String]) {
        let count = texts.len();
        let texts = texts.get(..count.min(NAME_SERVERS_MAX)).unwrap_or_default();
        self.say_too_many(count);
        for name in &*self.names.borrow() {
            if !texts.contains(&name.text) {
                name.gone.set(true);
                name.again.set();
            }
        }
        for text in texts {
            let is_there = |name: &Rc<Name>| name.text == *text && !name.gone.get();
            if self.names.borrow().iter().any(is_there) {
                continue;
            }
            let name = Rc::new(Name::new(text));
            self.names.borrow_mut().push(name.clone());
            if !name.is_address() {
                let control = control.clone();
                let runtime = control.shard.runtime.clone();
                runtime.spawn(Shares::Admin, "name of a name server", async move {
                    keep_looked_up(&control, &name).await;
                });
            }
        }
        self.follow(control);
    }

    /// Name servers follow the addresses that names stand for now.
    fn follow<R: Runtime>(&self, control: &Rc<Control<R>>) {
        let mut wanted: Vec<(SocketAddr, Rc<Name>)> = Vec::new();
        {
            let mut names = self.names.borrow_mut();
            if names.iter().all(|name| name.gone.get() || name.looked.get()) {
                names.retain(|name| !name.gone.get());
            }
            for name in names.iter() {
                for address in &*name.addresses.borrow() {
                    if !wanted.iter().any(|(known, _)| known == address) {
                        wanted.push((*address, name.clone()));
                    }
                }
            }
        }
        self.say_too_many(wanted.len());
        wanted.truncate(NAME_SERVERS_MAX);
        for server in &*self.servers.borrow() {
            if !wanted.iter().any(|(address, _)| *address == server.address) {
                server.leave();
            }
        }
        for (address, name) in wanted {
            // One that is being left comes back when it has been: it would forget the broker again.
            if self.servers.borrow().iter().any(|server| server.address == address) {
                continue;
            }
            let server = Rc::new(Server::new(&name.text, address));
            self.servers.borrow_mut().push(server.clone());
            let control = control.clone();
            let runtime = control.shard.runtime.clone();
            runtime.spawn(Shares::Admin, "registration", async move {
                keep_registered(&control, &server).await;
                let registrar = &control.registrar;
                registrar.name_servers.servers.borrow_mut().retain(|one| !Rc::ptr_eq(one, &server));
                registrar.progress.notify();
                if !registrar.stopping.get() {
                    registrar.name_servers.follow(&control);
                }
            });
        }
    }

    fn say_too_many(&self, count: usize) {
        let too_many = count > NAME_SERVERS_MAX;
        if too_many && !self.too_many.replace(true) {
            tracing::warn!(
                "there are {count} name servers; the broker registers with the first \
                 {NAME_SERVERS_MAX}: name fewer, or have a name stand for fewer addresses"
            );
        }
    }
}

/// Has the names be those that the sources give; ends with the broker.
pub async fn follow_sources<R: Runtime>(control: &Rc<Control<R>>) {
    let (registrar, runtime) = (&control.registrar, &control.shard.runtime);
    let list = &registrar.name_servers;
    let (mut pause, mut was_said) = (RETRY.0, false);
    while !registrar.stopping.get() {
        let sources = list.sources.borrow().clone();
        let Some(server) = &sources.address_server else {
            list.set_names(control, &sources.names);
            list.is_begun.set(true);
            registrar.progress.notify();
            list.changed.wait_and_clear().await;
            continue;
        };
        let told = server.ask(runtime).await;
        if *list.sources.borrow() != sources {
            continue;
        }
        match told {
            Ok(names) => {
                say_what_it_tells(list, server, &names);
                list.set_names(control, &names);
                (pause, was_said) = (RETRY.0, false);
            }
            Err(why) => {
                if !std::mem::replace(&mut was_said, true) {
                    let is_first = list.names.borrow().is_empty();
                    let kept = if is_first { "" } else { ", those of before stay" };
                    tracing::warn!(
                        "the address server {server} tells no name servers{kept}: {why}"
                    );
                }
                pause = (pause * 2).min(RETRY.1).min(sources.ask_period);
            }
        }
        list.is_begun.set(true);
        registrar.progress.notify();
        let rest = if was_said { pause } else { sources.ask_period };
        or(runtime.sleep(rest), list.changed.wait_and_clear()).await;
    }
}

fn say_what_it_tells(list: &NameServers, server: &AddressServer, names: &[String]) {
    let known = list.names.borrow();
    let known: Vec<_> =
        known.iter().filter(|name| !name.gone.get()).map(|name| &name.text).collect();
    if !known.iter().copied().eq(names) {
        tracing::info!("the address server {server} names {}", names.join(";"));
    }
}

/// Looks a name up again and again, until it is gone or the broker stops.
async fn keep_looked_up<R: Runtime>(control: &Rc<Control<R>>, name: &Name) {
    let (registrar, runtime) = (&control.registrar, &control.shard.runtime);
    let list = &registrar.name_servers;
    let mut pause = RETRY.0;
    while !registrar.stopping.get() && !name.gone.get() {
        name.again.clear();
        let limit = Duration::from_millis(control.shard.settings.config.register_broker_timeout_ms);
        let look_up = async { runtime.net().look_up(&name.text).await.map_err(|e| e.to_string()) };
        let late = async {
            runtime.sleep(limit).await;
            Err(format!("it was not looked up within {limit:?}"))
        };
        let mut rest = list.sources.borrow().look_up_period;
        match or(look_up, late).await {
            Ok(found) => {
                let chosen = choose(found, &name.addresses.borrow(), |address| {
                    list.servers
                        .borrow()
                        .iter()
                        .any(|one| one.address == address && one.is_silent())
                });
                *name.addresses.borrow_mut() = chosen;
            }
            Err(error) if name.addresses.borrow().is_empty() => {
                tracing::warn!(namesrv = %name.text, %error, ?pause, "cannot register");
                rest = Duration::ZERO;
            }
            Err(error) => {
                tracing::warn!(namesrv = %name.text, %error, "its addresses of before count on");
            }
        }
        name.looked.set(true);
        list.follow(control);
        registrar.progress.notify();
        or(runtime.sleep(rest), name.again.wait()).await;
        if list.is_reached(name) {
            pause = RETRY.0;
        } else {
            runtime.sleep(pause).await;
            pause = (pause * 2).min(RETRY.1);
        }
    }
}

/// Those addresses of a name that are used, in the order in which they were found. One of IPv4 and
/// one of IPv6 are most often the same name server, which must not be told twice: of both kinds the
/// one in use counts, IPv4 at first, and the other if nobody answers.
fn choose(
    found: Vec<SocketAddr>,
    in_use: &[SocketAddr],
    is_silent: impl Fn(SocketAddr) -> bool,
) -> Vec<SocketAddr> {
    let of_both = found.iter().any(SocketAddr::is_ipv4) && found.iter().any(SocketAddr::is_ipv6);
    if !of_both {
        return found;
    }
    let was_ipv6 = in_use.first().is_some_and(SocketAddr::is_ipv6);
    let nobody = !in_use.is_empty() && in_use.iter().all(|address| is_silent(*address));
    let ipv6 = was_ipv6 != nobody;
    found.into_iter().filter(|address| address.is_ipv6() == ipv6).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_both_kinds_of_addresses_one_is_used() {
        let v4: [SocketAddr; 2] =
            ["10.0.0.1:1", "10.0.0.2:1"].map(|text| text.parse().expect("one"));
        let v6: [SocketAddr; 1] = ["[::1]:1".parse().expect("one")];
        let both = [v6[0], v4[0], v4[1]].to_vec();
        let choose = |found: &[SocketAddr], in_use: &[SocketAddr], silent: &[SocketAddr]| {
            super::choose(found.to_vec(), in_use, |address| silent.contains(&address))
        };
        assert_eq!(choose(&both, &[], &[]), v4);
        assert_eq!(choose(&both, &v4, &v4[..1]), v4, "one of them answers");
        assert_eq!(choose(&both, &v4, &v4), v6);
        assert_eq!(choose(&both, &v6, &[]), v6, "what answers stays");
        assert_eq!(choose(&both, &v6, &v6), v4);
        assert_eq!(choose(&v6, &v4, &[]), v6);
        assert_eq!(choose(&v4, &[], &[]), v4);
    }
}
