//! What all shards of a slave know of its master, and how they answer what only a master does.

use std::sync::Arc;

use ringmq_rules::refusal::{Refusal, code};

/// Of the master: for its slaves, and for clients.
pub type Addresses = (Option<Arc<str>>, Option<Arc<str>>);

/// As of one moment; another one takes its place when something of it changes.
#[derive(Clone, Debug)]
pub struct SlaveView {
    /// Its own place: `broker 1 of broker-a`.
    own: Arc<str>,
    /// Where the master is for its slaves.
    pub ha: Option<Arc<str>>,
    /// Where clients find it, as name servers tell it.
    master: Option<Arc<str>>,
    /// There is a connection to it: what it has changed comes, and what it has not was taken back.
    pub is_heard: bool,
    /// The answer to sends.
    pub sends: Refusal,
}

impl SlaveView {
    pub fn new(own: Arc<str>, (ha, master): Addresses, is_heard: bool) -> SlaveView {
        let at = at(master.as_deref());
        let remark = format!(
            "service not available now. messages are put to the slave, {own}: send to its \
             master{at}"
        );
        let sends = Refusal::new(code::SERVICE_NOT_AVAILABLE, remark);
        SlaveView { own, ha, master, is_heard, sends }
    }

    /// Its place among the brokers of its name.
    pub fn own_place(name: &str, broker_id: i64) -> Arc<str> {
        format!("broker {broker_id} of {name}").into()
    }

    /// The same with something else known of the master.
    pub fn with(&self, addresses: Addresses, is_heard: bool) -> SlaveView {
        SlaveView::new(self.own.clone(), addresses, is_heard)
    }

    pub fn addresses(&self) -> Addresses {
        (self.ha.clone(), self.master.clone())
    }

    /// The answer to a change of topics, groups, offsets or locks.
    #[cold]
    pub fn refuses_change(&self, request: &str) -> Refusal {
        Refusal::system_error(format!(
            "Can't modify topic or subscription group from slave broker, please execute it from \
             master broker{}: request {request} came to {}",
            at(self.master.as_deref()),
            self.own
        ))
    }

    /// The answer to what is done with messages that are stored already.
    #[cold]
    pub fn refuses_work(&self, request: &str) -> Refusal {
        let remark = format!(
            "Message store is slave mode, {}: request {request} is done by its master{}",
            self.own,
            at(self.master.as_deref())
        );
        Refusal::new(code::SLAVE_NOT_AVAILABLE, remark)
    }

    /// The answer to a change of keys.
    #[cold]
    pub fn refuses_keys(&self) -> Refusal {
        Refusal::system_error(format!(
            "keys of a slave, {}, are changed in its configuration file, which it reads again at \
             SIGHUP: it stores nothing but what its master has",
            self.own
        ))
    }

    /// The answer to a consumer offset while the master is there.
    #[cold]
    pub fn refuses_offset(&self) -> Refusal {
        Refusal::system_error(format!(
            "consumer offsets are taken by the master{}, which {} hears: look at the route again",
            at(self.master.as_deref()),
            self.own
        ))
    }
}

fn at(master: Option<&str>) -> String {
    master.map_or_else(String::new, |address| format!(" {address}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_the_master_where_it_is_known() {
        let slave = SlaveView::new(SlaveView::own_place("broker-a", 1), (None, None), false);
        assert_eq!(
            slave.sends.remark,
            "service not available now. messages are put to the slave, broker 1 of broker-a: send \
             to its master"
        );
        let slave = slave.with((None, Some("10.0.0.1:10911".into())), true);
        assert_eq!(slave.sends.code, code::SERVICE_NOT_AVAILABLE);
        let all = [
            slave.sends.clone(),
            slave.refuses_change("LOCK_BATCH_MQ"),
            slave.refuses_work("END_TRANSACTION"),
            slave.refuses_offset(),
        ];
        for refusal in all {
            assert!(refusal.remark.contains(" 10.0.0.1:10911"), "{refusal}");
            assert!(refusal.remark.contains("broker 1 of broker-a"), "{refusal}");
        }
        assert!(slave.refuses_change("X").remark.starts_with("Can't modify topic or "));
        assert!(slave.refuses_keys().remark.contains("SIGHUP"));
    }
}
