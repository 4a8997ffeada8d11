//! What administrators may do from other machines: here from an address that is no loopback one.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use ringmq_remoting::codes::{request, response};

use crate::client::Client;
use crate::needs::needs;
use crate::process;
use crate::server::{Server, Settings};
use crate::shards::for_shards;

for_shards!(what_changes_configuration_or_access_is_for_this_machine_only);

/// An address of this machine that others reach it by.
pub fn own_address() -> Result<IpAddr, String> {
    let socket = UdpSocket::bind("0.0.0.0:0").map_err(|error| error.to_string())?;
    // Nothing is sent: the kernel only says which address it would take.
    socket.connect("192.0.2.1:9").map_err(|error| error.to_string())?;
    match socket.local_addr().map_err(|error| error.to_string())?.ip() {
        ip if ip.is_loopback() => Err("this machine has a loopback address only".to_owned()),
        ip => Ok(ip),
    }
}

fn what_changes_configuration_or_access_is_for_this_machine_only(shards: u32) {
    let name = "what_changes_configuration_or_access_is_for_this_machine_only";
    let Some(own) = needs(name, own_address()) else { return };
    let change = |client: &mut Client, key: &str| {
        let body = format!("{key}=71\n");
        let answer = client.call(request::UPDATE_BROKER_CONFIG, &[], body.as_bytes());
        answer.expect("an answer")
    };
    for (key, value, may) in [
        ("adminAccess", "loopback", false),
        ("adminAccess", "any", true),
        ("adminAllowRemote", "true", true),
    ] {
        let directory = process::directory("remote");
        let extra = vec![(key, value.to_owned())];
        let settings = Settings { shards, extra, ..Settings::default() };
        let server = Server::start(directory.path(), &settings);
        let port = server.address.port();
        let remote = || Client::connect(SocketAddr::new(own, port)).expect("it listens everywhere");
        let mut client = remote();
        // Topics, groups and offsets are open, as on Java, and so is reading.
        client.create_topic("T", 4).expect("an answer").expect(response::SUCCESS);
        for (code, fields) in [
            (request::GET_BROKER_CONFIG, vec![]),
            (request::GET_BROKER_RUNTIME_INFO, vec![]),
            (request::CLEAN_UNUSED_TOPIC, vec![]),
            (request::DELETE_SUBSCRIPTIONGROUP, vec![("groupName", "none")]),
            (request::DELETE_TOPIC_IN_BROKER, vec![("topic", "T")]),
        ] {
            client.call(code, &fields, b"").expect("an answer").expect(response::SUCCESS);
        }
        let accounts = [("accessKey", "another"), ("secretKey", "12345678")];
        for (code, fields) in [
            (request::DELETE_EXPIRED_COMMITLOG, &[][..]),
            (request::UPDATE_AND_CREATE_ACL_CONFIG, &accounts),
            (request::DELETE_ACL_CONFIG, &accounts),
            (request::UPDATE_GLOBAL_WHITE_ADDRS_CONFIG, &[("globalWhiteAddrs", "10.*.*.*")]),
        ] {
            let answer = remote().call(code, fields, b"").expect("an answer");
            let refused = answer.code == response::NO_PERMISSION;
            assert_eq!(refused, !may, "{code} with {key}={value}: {answer:?}");
        }
        let answer = change(&mut client, "fileReservedTime");
        let expected = if may { response::SUCCESS } else { response::NO_PERMISSION };
        assert_eq!(answer.code, expected, "{answer:?}");
        assert_eq!(answer.remark.contains("adminAccess=any"), !may, "{answer:?}");
        // On the machine itself it may be done, but for what opens it to others.
        let mut local = server.client();
        assert_eq!(change(&mut local, "fileReservedTime").code, response::SUCCESS);
        assert_eq!(change(&mut local, "adminAccess").code, response::NO_PERMISSION);
    }
}
