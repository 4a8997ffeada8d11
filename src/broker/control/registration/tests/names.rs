//! Name servers that are names with several addresses, that an address server tells, or that change
//! while the broker runs.

use super::*;

const NAME: &str = "ns.example:9876";

fn servers<const COUNT: usize>(runtime: &SimRuntime) -> [Rc<NameServer>; COUNT] {
    std::array::from_fn(|number| NameServer::start(runtime, address(number as u8 + 1)))
}

/// A control object that registers.
async fn registering(runtime: &SimRuntime, keys: &[(&str, &str)]) -> Rc<Control<SimRuntime>> {
    let control = control(runtime, config(keys)).await;
    control.registrar.start(&control);
    control
}

async fn reload(control: &Control<SimRuntime>, keys: &[(&str, &str)]) {
    let keys: Vec<_> = keys.iter().map(|(key, to)| ((*key).to_owned(), (*to).to_owned())).collect();
    control.reload_keys(&keys).await.expect("sound keys");
}

async fn until_known(runtime: &SimRuntime, servers: &[&Rc<NameServer>]) {
    let known = || servers.iter().all(|server| server.knows("TBW102"));
    until(runtime, "registered with all", known).await;
}

/// D10: a name that is not known yet, or moves, is looked up again.
#[test]
fn name_servers_are_names() {
    Sim::new(5).run(async |runtime| {
        let net = runtime.net().clone();
        let [first, second] = servers(&runtime);
        let _broker = start(&runtime, config(&[("namesrvAddr", NAME)]));
        let mut client = Client::connect(&runtime).await;
        create(&mut client, "T").await;
        runtime.sleep(Duration::from_secs(5)).await;
        // The first address of a name need not be one where somebody listens.
        net.name(NAME, &[address(9), address(1)]);
        until(&runtime, "found at last", || first.knows("T")).await;
        net.name(NAME, &[address(2)]);
        assert!(!second.knows("T"));
        first.frame_bytes_max.set(1);
        until(&runtime, "found where it moved to", || second.knows("T")).await;
    });
}

#[test]
fn every_address_of_a_name_is_a_name_server_as_long_as_it_stands_for_it() {
    Sim::new(11).run(async |runtime| {
        let net = runtime.net().clone();
        let [first, second, third] = servers(&runtime);
        net.name(NAME, &[address(1), address(2)]);
        // What two names stand for is one name server all the same.
        net.name("alias.example:9876", &[address(2)]);
        let names = format!("{NAME};alias.example:9876");
        let _broker = start(&runtime, config(&[("namesrvAddr", &names)]));
        let mut client = Client::connect(&runtime).await;
        until_known(&runtime, &[&first, &second]).await;
        create(&mut client, "T").await;
        assert!(first.knows("T") && second.knows("T"), "before the answer");
        net.name(NAME, &[address(2), address(3)]);
        runtime.sleep(Duration::from_secs(60)).await;
        assert!(!third.knows("T"), "it is looked up each two minutes");
        runtime.sleep(Duration::from_secs(70)).await;
        assert!(third.knows("T") && !first.knows("T"));
        assert_eq!([&first, &second, &third].map(|one| one.farewells.get()), [1, 0, 0]);
        net.name(NAME, &[address(1)]);
        runtime.sleep(Duration::from_secs(130)).await;
        assert!(first.knows("T") && !third.knows("T"), "it came back");
        assert!(second.knows("T"), "the other name stands for it");
        assert_eq!([&first, &second, &third].map(|one| one.connections.get()), [2, 1, 1]);
    });
}

#[test]
fn a_resolver_that_is_gone_changes_nothing() {
    Sim::new(12).run(async |runtime| {
        let net = runtime.net().clone();
        let [first, second] = servers(&runtime);
        net.name(NAME, &[address(1), address(2)]);
        let control = registering(&runtime, &[("namesrvAddr", NAME)]).await;
        until_known(&runtime, &[&first, &second]).await;
        net.name(NAME, &[]);
        first.frame_bytes_max.set(1);
        runtime.sleep(Duration::from_secs(600)).await;
        first.frame_bytes_max.set(0);
        until_known(&runtime, &[&first, &second]).await;
        assert_eq!(control.registrar.registered(), (2, 2));
        assert_eq!((first.farewells.get(), second.connections.get()), (0, 1));
    });
}

#[test]
fn what_the_configuration_says_anew_counts_at_once() {
    Sim::new(13).run(async |runtime| {
        let net = runtime.net().clone();
        let [first, second, third] = servers(&runtime);
        let both = "127.0.0.1:9876;127.0.0.2:9876";
        let control = registering(&runtime, &[("namesrvAddr", both)]).await;
        until_known(&runtime, &[&first, &second]).await;
        reload(&control, &[("namesrvAddr", "127.0.0.2:9876;127.0.0.3:9876")]).await;
        until_known(&runtime, &[&third]).await;
        until(&runtime, "left", || first.farewells.get() == 1 && !first.knows("TBW102")).await;
        assert_eq!(control.registrar.registered(), (2, 2));
        // A name for what is there already is no reason to leave it.
        net.name(NAME, &[address(2), address(3)]);
        reload(&control, &[("namesrvAddr", NAME)]).await;
        runtime.sleep(PERIOD * 3).await;
        assert_eq!([&first, &second, &third].map(|one| one.connections.get()), [1, 1, 1]);
        assert_eq!([&second, &third].map(|one| one.farewells.get()), [0, 0]);
        reload(&control, &[("namesrvAddr", "")]).await;
        until(&runtime, "alone", || control.registrar.registered() == (0, 0)).await;
        until(&runtime, "left", || second.farewells.get() + third.farewells.get() == 2).await;
        // Left and wanted again in one breath.
        reload(&control, &[("namesrvAddr", both)]).await;
        until_known(&runtime, &[&first, &second]).await;
        let farewells = second.farewells.get();
        reload(&control, &[("namesrvAddr", "127.0.0.1:9876")]).await;
        runtime.sleep(Duration::from_micros(1)).await;
        reload(&control, &[("namesrvAddr", both)]).await;
        runtime.sleep(PERIOD / 2).await;
        assert_eq!(second.farewells.get(), farewells + 1);
        assert!(second.knows("TBW102"), "the farewell came first");
    });
}

#[test]
fn no_more_name_servers_are_told_than_there_is_room_for() {
    Sim::new(14).run(async |runtime| {
        let net = runtime.net().clone();
        let addresses: Vec<_> = (1..=40).map(address).collect();
        let all: Vec<_> = addresses.iter().map(|one| NameServer::start(&runtime, *one)).collect();
        net.name(NAME, &addresses);
        let control = registering(&runtime, &[("namesrvAddr", NAME)]).await;
        until(&runtime, "told", || control.registrar.registered() == (32, 32)).await;
        assert_eq!(all.iter().filter(|server| server.knows("TBW102")).count(), 32);
        net.name(NAME, &addresses[38..]);
        runtime.sleep(Duration::from_secs(100)).await;
        until(&runtime, "others left", || all[39].knows("TBW102")).await;
        until(&runtime, "others left", || control.registrar.registered() == (2, 2)).await;
    });
}

/// Answers by HTTP with what is in it; nothing at all if that is empty.
struct Addresses {
    answer: RefCell<String>,
    questions: RefCell<Vec<String>>,
}

impl Addresses {
    fn start(runtime: &SimRuntime, at: SocketAddr) -> Rc<Addresses> {
        let listener = runtime.net().listen(at).expect("listen");
        let own = Rc::new(Addresses { answer: RefCell::default(), questions: RefCell::default() });
        let (served, runtime) = (own.clone(), runtime.clone());
        runtime.clone().spawn(Shares::Foreground, "address server", async move {
            loop {
                let accepted = listener.accept().await.expect("accept");
                let stream = runtime.net().adopt(accepted).expect("adopt");
                let (mut text, mut piece) = (String::new(), vec![0; 4096]);
                while !text.ends_with("\r\n\r\n") {
                    match stream.read(&mut piece).await {
                        Ok(count @ 1..) => text += &String::from_utf8_lossy(&piece[..count]),
                        _ => break,
                    }
                }
                // Whoever asked may be tired of waiting.
                if !text.ends_with("\r\n\r\n") {
                    continue;
                }
                served.questions.borrow_mut().push(text);
                let answer = served.answer.borrow().clone();
                if answer.is_empty() {
                    runtime.sleep(Duration::from_secs(10)).await;
                }
                let mut rest = answer.as_bytes();
                while !rest.is_empty() {
                    match stream.write(rest).await {
                        Ok(count @ 1..) => rest = &rest[count..],
                        _ => break,
                    }
                }
            }
        });
        own
    }

    fn tell(&self, body: &str) {
        *self.answer.borrow_mut() = format!("HTTP/1.1 200 OK\r\n\r\n{body}");
    }
}

#[test]
fn an_address_server_tells_which_name_servers_there_are() {
    Sim::new(15).run(async |runtime| {
        let [first, second] = servers(&runtime);
        let place = SocketAddr::from(([127, 0, 0, 5], 8080));
        runtime.net().name("addresses.example:8080", &[place]);
        let asked = Addresses::start(&runtime, place);
        let keys = [
            ("fetchNamesrvAddrByAddressServer", "true"),
            ("rocketmq.namesrv.domain", "addresses.example"),
            ("rmqAddressServerSubGroup", "nsaddr-a"),
        ];
        let control = registering(&runtime, &keys).await;
        assert_eq!(control.registrar.registered(), (1, 0), "there is one to be found");
        control.registrar.tried().await;
        asked.tell("127.0.0.1:9876\n");
        until_known(&runtime, &[&first]).await;
        let question = asked.questions.borrow()[0].clone();
        assert!(question.starts_with("GET /rocketmq/nsaddr-a HTTP/1.1\r\n"), "{question}");
        assert!(question.contains("Host: addresses.example:8080\r\n"), "{question}");
        // What is no list changes nothing, nor does silence or an answer without an end.
        let odd = ["", "no list", "127.0.0.2", "127.0.0.2:0", &"127.0.0.2:9876;".repeat(33)];
        for body in odd.map(str::to_owned).into_iter().chain([" ".repeat(100_000)]) {
            asked.tell(&body);
            runtime.sleep(Duration::from_secs(30)).await;
            assert_eq!((first.farewells.get(), second.connections.get()), (0, 0), "{body:?}");
        }
        asked.answer.borrow_mut().clear();
        runtime.sleep(Duration::from_secs(60)).await;
        asked.tell("127.0.0.2:9876");
        until_known(&runtime, &[&second]).await;
        until(&runtime, "left", || first.farewells.get() == 1).await;
        // What the configuration names counts more.
        reload(&control, &[("namesrvAddr", "127.0.0.1:9876")]).await;
        until_known(&runtime, &[&first]).await;
        let count = asked.questions.borrow().len();
        runtime.sleep(Duration::from_secs(60)).await;
        assert_eq!(asked.questions.borrow().len(), count, "it is not asked any more");
        assert_eq!(control.registrar.registered(), (1, 1));
    });
}
