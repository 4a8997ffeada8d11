package clients;

import java.util.LinkedHashMap;
import java.util.Map;

/** All scenarios by name, the long ones first. */
final class Scenarios {
    private Scenarios() {
    }

    static Map<String, Main.Scenario> all() {
        Map<String, Main.Scenario> all = new LinkedHashMap<>();
        all.put("locks_broker_restart", LockScenarios::brokerRestart);
        all.put("locks_queues", LockScenarios::queues);
        all.put("rebalance", PushScenarios::rebalance);
        all.put("transactions", TransactionScenarios::transactions);
        all.put("transactions_restart", TransactionScenarios::checkAfterRestart);
        all.put("timers", TimerScenarios::timers);
        all.put("retry_later", PushScenarios::retryLater);
        all.put("offset_persist", PushScenarios::offsetPersist);
        all.put("reset_online", ToolScenarios::resetOnline);
        all.put("ask_consumer", ToolScenarios::askConsumer);
        all.put("tool_commands", ToolScenarios::commands);
        all.put("trace", TraceScenarios::trace);
        all.put("trace_custom", TraceScenarios::custom);
        all.put("orderly", OrderScenarios::orderly);
        all.put("orderly_suspend", OrderScenarios::suspend);
        all.put("request_reply", RequestScenarios::requestReply);
        all.put("lite_subscribe", LiteScenarios::subscribe);
        all.put("lite_assign_seek", LiteScenarios::assignAndSeek);
        all.put("broadcast", PushScenarios::broadcast);
        all.put("tags", PushScenarios::tags);
        all.put("sql92", FilterScenarios::sql92);
        all.put("push_many", PushScenarios::many);
        all.put("push_latency", PushScenarios::latency);
        all.put("push_big", PushScenarios::big);
        all.put("sync_send", SendScenarios::sync);
        all.put("async_send", SendScenarios::async);
        all.put("oneway_send", SendScenarios::oneway);
        all.put("batch_send", BatchScenarios::batch);
        all.put("threads_send", SendScenarios::threads);
        all.put("big_compressed", SendScenarios::bigCompressed);
        all.put("big_incompressible", SendScenarios::bigIncompressible);
        all.put("properties_unicode", SendScenarios::properties);
        all.put("auto_create_topic", SendScenarios::autoCreate);
        all.put("pull_queue", PullScenarios::pullQueue);
        all.put("pull_ends", PullScenarios::ends);
        all.put("pull_tags", PullScenarios::tags);
        all.put("pull_long_poll", PullScenarios::longPoll);
        all.put("pull_offsets", OffsetScenarios::offsets);
        all.put("search_by_time", PullScenarios::searchByTime);
        all.put("create_topic", AdminScenarios::createTopic);
        all.put("view_message", AdminScenarios::viewMessage);
        all.put("query_message", AdminScenarios::queryMessage);
        all.put("errors_send", AdminScenarios::sendErrors);
        all.put("errors_pull", AdminScenarios::pullErrors);
        if (Accounts.areChecked()) {
            all.put("acl_permissions", Accounts::permissions);
        }
        return all;
    }
}
