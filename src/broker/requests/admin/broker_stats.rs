//! VIEW_BROKER_STATS_DATA (315): what was done in the last minute, hour and day. Handled by the
//! control shard.

use std::rc::Rc;

use ringmq_io::Runtime;
use ringmq_remoting::{
    body::{BrokerStatsData, BrokerStatsItem},
    fastjson,
    headers::admin::ViewBrokerStatsDataRequestHeader,
};
use ringmq_rules::{
    refusal::Refusal,
    stats::{Stat, Summary},
};

use crate::{
    control::{
        Control,
        stats::{BROKER_GETS, BROKER_PUTS},
    },
    requests::{Handled, Request, Response},
};

/// Topic, group, and what is asked for of them.
type Wanted<'a> = (&'a str, &'a str, Stat);

pub async fn view<R: Runtime>(control: &Rc<Control<R>>, request: &Request<'_>) -> Handled {
    let header = ViewBrokerStatsDataRequestHeader::decode(&request.header.fields)?;
    let (name, key) = (&header.stats_name, &header.stats_key);
    let config = &control.shard.settings.config;
    control.update_stats().await;
    let now = control.shard.runtime.now_ms();
    let found = wanted(name, key, &config.broker_cluster_name)
        .and_then(|(topic, group, stat)| control.stats.borrow().get(topic, group, stat, now));
    let no_such = || Refusal::system_error(format!("The stats <{name}> <{key}> not exist"));
    let [minute, hour, day] = found.ok_or_else(no_such)?.map(item);
    let body = BrokerStatsData { stats_minute: minute, stats_hour: hour, stats_day: day };
    Ok(Response::with_body(fastjson::to_vec(&body)))
}

fn wanted<'a>(name: &str, key: &'a str, cluster: &str) -> Option<Wanted<'a>> {
    let of_topic = |stat| (!key.contains('@')).then_some((key, "", stat));
    let of_group = |stat| key.split_once('@').map(|(topic, group)| (topic, group, stat));
    let of_broker = |name| (key == cluster).then_some((name, "", Stat::Messages));
    match name {
        "TOPIC_PUT_NUMS" => of_topic(Stat::Messages),
        "TOPIC_PUT_SIZE" => of_topic(Stat::Bytes),
        "GROUP_GET_NUMS" => of_group(Stat::Messages),
        "GROUP_GET_SIZE" => of_group(Stat::Bytes),
        "SNDBCK_PUT_NUMS" => of_group(Stat::SentBack),
        // With the queue in front of the key; here it is one for all queues.
        "GROUP_GET_LATENCY" => {
            let queue = key.split_once('@').filter(|(queue, _)| queue.parse::<i32>().is_ok());
            let (topic, group) = queue.map_or(key, |(_, rest)| rest).split_once('@')?;
            Some((topic, group, Stat::Latency))
        }
        "BROKER_PUT_NUMS" => of_broker(BROKER_PUTS),
        "BROKER_GET_NUMS" => of_broker(BROKER_GETS),
        _ => None,
    }
}

fn item(summary: Summary) -> BrokerStatsItem {
    BrokerStatsItem {
        sum: i64::try_from(summary.sum).unwrap_or(i64::MAX),
        tps: summary.tps,
        avgpt: summary.average,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_name_a_topic_a_group_in_it_or_the_cluster() {
        let wanted = |name, key| wanted(name, key, "cluster");
        assert_eq!(wanted("TOPIC_PUT_NUMS", "t"), Some(("t", "", Stat::Messages)));
        assert_eq!(wanted("TOPIC_PUT_SIZE", "t@g"), None);
        assert_eq!(wanted("GROUP_GET_NUMS", "t@g"), Some(("t", "g", Stat::Messages)));
        assert_eq!(wanted("GROUP_GET_SIZE", "t"), None);
        assert_eq!(wanted("SNDBCK_PUT_NUMS", "t@a@b"), Some(("t", "a@b", Stat::SentBack)));
        for key in ["3@t@g", "t@g"] {
            assert_eq!(wanted("GROUP_GET_LATENCY", key), Some(("t", "g", Stat::Latency)));
        }
        assert_eq!(wanted("BROKER_PUT_NUMS", "cluster"), Some(("@put", "", Stat::Messages)));
        assert_eq!(wanted("BROKER_GET_NUMS", "other"), None);
        assert_eq!(wanted("GROUP_GET_FALL_TIME", "0@t@g"), None);
    }
}
