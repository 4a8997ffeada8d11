//! A simulated client: one connection, requests written one behind the other, answers read by a
//! task of its own, every one of them held against the model.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    future::Future,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    time::Duration,
};

use ringmq_io::{
    Clock as _, Net as _, Runtime as _, Shares, Spawn as _, Stream as _,
    signal::Notify,
    sim::{Random, SimRuntime, SimStream},
};
use ringmq_remoting::{
    codes::request,
    frame::{self, Scan},
};
use ringmq_test_client::Answer;

use super::{
    model::{Issue, Model},
    requests::Request,
};

/// Tries once to connect to the broker.
pub type Door = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Option<SimStream>>>>>;

/// What all clients of a process share.
pub struct World {
    pub runtime: SimRuntime,
    pub model: Rc<RefCell<Model>>,
    pub clients: RefCell<Vec<Rc<Client>>>,
    /// Slow readers read on at once from now on.
    pub hurry: Cell<bool>,
    door: Door,
    /// How long clients try.
    patience: Duration,
    /// The broker is no more: nobody connects to it.
    pub gone: Cell<bool>,
    /// Connections may break, whatever the broker does.
    pub torn: Cell<bool>,
}

pub struct Client {
    pub number: u32,
    world: Rc<World>,
    stream: SimStream,
    random: RefCell<Random>,
    next: Cell<i32>,
    open: RefCell<BTreeMap<i32, (Request, Issue)>>,
    wanted: RefCell<BTreeSet<i32>>,
    answers: RefCell<BTreeMap<i32, Answer>>,
    changed: Notify,
    closed: Cell<bool>,
    /// Reads a little and pauses.
    slow: bool,
    /// Answers that take longer, beyond what the request allows, are a problem.
    pub patience: Cell<Option<Duration>>,
}

/// To a broker on the same machine.
pub fn local_door(runtime: SimRuntime) -> Door {
    let address = SocketAddr::from(([127, 0, 0, 1], 10_911));
    Box::new(move || {
        let runtime = runtime.clone();
        Box::pin(async move {
            let stream = runtime.net().connect(address).await.ok();
            if stream.is_none() {
                runtime.sleep(Duration::from_millis(1)).await;
            }
            stream
        })
    })
}

impl World {
    pub fn new(
        runtime: SimRuntime,
        model: Rc<RefCell<Model>>,
        door: Door,
        patience: Duration,
    ) -> World {
        World {
            runtime,
            model,
            clients: RefCell::default(),
            hurry: Cell::new(false),
            door,
            patience,
            gone: Cell::new(false),
            torn: Cell::new(false),
        }
    }

    pub fn now(&self) -> Duration {
        self.runtime.monotonic()
    }

    pub fn wrong(&self, text: String) {
        self.model.borrow_mut().wrong(text);
    }

    /// Connects, unless the broker is no more.
    pub async fn connect(self: &Rc<Self>, number: u32, slow: bool) -> Option<Rc<Client>> {
        let began = self.now();
        while !self.gone.get() {
            if let Some(stream) = (self.door)().await {
                return Some(self.adopt(stream, number, slow));
            }
            if self.now() >= began + self.patience {
                self.wrong("nobody accepts connections".to_owned());
                return None;
            }
        }
        None
    }

    fn adopt(self: &Rc<Self>, stream: SimStream, number: u32, slow: bool) -> Rc<Client> {
        let client = Rc::new(Client {
            number,
            world: self.clone(),
            stream,
            random: RefCell::new(self.runtime.random()),
            next: Cell::new(1),
            open: RefCell::default(),
            wanted: RefCell::default(),
            answers: RefCell::default(),
            changed: Notify::default(),
            closed: Cell::new(false),
            slow,
            patience: Cell::new(None),
        });
        self.clients.borrow_mut().push(client.clone());
        let reader = client.clone();
        self.runtime.spawn(Shares::Foreground, "client", async move { reader.read_all().await });
        client
    }

    /// The requests on connections that live which nobody has answered.
    pub fn unanswered(&self) -> Vec<String> {
        let clients = self.clients.borrow();
        let open = clients.iter().filter(|client| !client.closed.get()).flat_map(|client| {
            let open = client.open.borrow();
            let of = |(request, issue): &(Request, Issue)| {
                format!("{request:?} of client {} since {:?}", client.number, issue.at)
            };
            open.values().map(of).collect::<Vec<_>>()
        });
        open.collect()
    }
}

impl Client {
    pub fn is_closed(&self) -> bool {
        self.closed.get()
    }

    pub fn open_requests(&self) -> usize {
        self.open.borrow().len()
    }

    /// Sends a request and goes on; the number of it.
    pub async fn issue(&self, request: Request) -> i32 {
        let opaque = self.next.get();
        self.issue_all(vec![request]).await;
        opaque
    }

    /// Sends requests in one piece and goes on.
    pub async fn issue_all(&self, requests: Vec<Request>) {
        let mut bytes = Vec::new();
        for request in requests {
            self.begin(request, &mut bytes);
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() && !self.closed.get() {
            match self.stream.write(rest).await {
                Ok(count) => rest = &rest[count..],
                Err(_) => self.end(),
            }
        }
    }

    fn begin(&self, request: Request, bytes: &mut Vec<u8>) {
        let opaque = self.next.get();
        self.next.set(opaque + 1);
        let issue = {
            let mut model = self.world.model.borrow_mut();
            model.see_clock(self.world.runtime.now_ms());
            request.encode(&model, opaque, &mut self.random.borrow_mut(), bytes);
            model.issued(&request, self.world.now())
        };
        match self.closed.get() {
            true => self.world.model.borrow_mut().lost(&request),
            false => drop(self.open.borrow_mut().insert(opaque, (request, issue))),
        }
    }

    /// Sends a request and waits for its answer; `None` if the connection ends first.
    pub async fn call(&self, request: Request) -> Option<Answer> {
        self.wanted.borrow_mut().insert(self.next.get());
        let opaque = self.issue(request).await;
        while self.open.borrow().contains_key(&opaque) {
            self.changed.wait().await;
        }
        self.wanted.borrow_mut().remove(&opaque);
        self.answers.borrow_mut().remove(&opaque)
    }

    /// Waits until everything is answered, or the connection has ended.
    pub async fn all_answered(&self) {
        while !self.open.borrow().is_empty() {
            self.changed.wait().await;
        }
    }

    /// Waits until fewer requests than this are open.
    pub async fn fewer_than(&self, count: usize) {
        while self.open.borrow().len() >= count {
            self.changed.wait().await;
        }
    }

    /// Ends the connection, with whatever is under way.
    pub fn end(&self) {
        if self.closed.replace(true) {
            return;
        }
        self.stream.shutdown();
        let open = std::mem::take(&mut *self.open.borrow_mut());
        for (request, _) in open.values() {
            self.world.model.borrow_mut().lost(request);
        }
        self.changed.notify();
    }

    async fn read_all(&self) {
        let mut bytes = Vec::new();
        let mut room = vec![0; 8192];
        loop {
            if self.slow && !self.world.hurry.get() {
                let pause = self.random.borrow_mut().below(4000);
                self.world.runtime.sleep(Duration::from_micros(pause)).await;
            }
            let most = if self.slow { 300 } else { room.len() };
            match self.stream.read(&mut room[..most]).await {
                Ok(count) if count > 0 => bytes.extend_from_slice(&room[..count]),
                _ => break,
            }
            let mut done = 0;
            while let Ok(Scan::Complete { length }) = frame::scan(&bytes[done..]) {
                self.take(&bytes[done..done + length]);
                done += length;
            }
            bytes.drain(..done);
        }
        // The slowest readers may be closed when room for answers is scarce.
        let stopping = self.world.model.borrow().excuses.stopping;
        let excused = self.slow || stopping || self.world.torn.get();
        if !self.closed.get() && !excused {
            let open = self.open_requests();
            self.world.wrong(format!("a sound connection was closed with {open} requests open"));
        }
        self.end();
    }

    fn take(&self, bytes: &[u8]) {
        let answer = match Answer::decode(bytes) {
            Ok(answer) => answer,
            Err(error) => {
                return self.world.wrong(format!("the broker sends what is no frame: {error}"));
            }
        };
        if !answer.is_response {
            // A request of the broker, such as that the members of a group have changed.
            if answer.code == request::CHECK_TRANSACTION_STATE {
                self.world.model.borrow_mut().asked(&answer);
            }
            return;
        }
        let opaque = answer.opaque;
        let Some((request, issue)) = self.open.borrow_mut().remove(&opaque) else {
            let code = answer.code;
            return self.world.wrong(format!("a second answer to request {opaque}, code {code}"));
        };
        let now = self.world.now();
        let took = now.saturating_sub(issue.at).saturating_sub(request.wait());
        if let Some(patience) = self.patience.get().filter(|patience| took > *patience) {
            let text = format!("{request:?} took {took:?} beside a slow log, limit {patience:?}");
            self.world.wrong(text);
        }
        self.world.model.borrow_mut().see_clock(self.world.runtime.now_ms());
        self.world.model.borrow_mut().answered(&request, &issue, &answer, now);
        if self.wanted.borrow().contains(&opaque) {
            self.answers.borrow_mut().insert(opaque, answer);
        }
        self.changed.notify();
    }
}
