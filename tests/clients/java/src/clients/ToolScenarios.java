package clients;

import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.commons.cli.Options;
import org.apache.commons.cli.PosixParser;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.srvutil.ServerUtil;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;
import org.apache.rocketmq.tools.command.SubCommand;
import org.apache.rocketmq.tools.command.consumer.ConsumerProgressSubCommand;
import org.apache.rocketmq.tools.command.consumer.ConsumerStatusSubCommand;
import org.apache.rocketmq.tools.command.offset.CloneGroupOffsetCommand;
import org.apache.rocketmq.tools.command.offset.ResetOffsetByTimeCommand;

/** What RocketMQ's tools do with a group that is online. */
final class ToolScenarios {
    private static final int MESSAGES = 40;

    private ToolScenarios() {
    }

    private static DefaultMQAdminExt admin(Context context) throws Exception {
        DefaultMQAdminExt made = new DefaultMQAdminExt(Accounts.own(), 20_000);
        context.prepare(made, made::shutdown);
        made.start();
        return made;
    }

    /** A consumer that has had all messages, which are of this topic. */
    private static DefaultMQPushConsumer consumer(Context context, String topic, Inbox inbox) throws Exception {
        DefaultMQPushConsumer consumer = context.pushConsumer(context.group(""));
        consumer.setPersistConsumerOffsetInterval(1000);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, c) -> {
            inbox.addAll(messages, "");
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        for (int number = 0; number < MESSAGES; number++) {
            context.producer().send(Context.message(topic, "reset " + number), context.queues(topic).get(number % 4));
        }
        inbox.awaitCount(MESSAGES, 50);
        return consumer;
    }

    private static Set<String> texts(List<Inbox.Item> items) {
        Set<String> texts = new HashSet<>();
        items.forEach(item -> texts.add(item.text()));
        return texts;
    }

    /** Backward for a consumer that is online: it gets all again; then to the end, and it gets nothing. */
    static void resetOnline(Context context) throws Exception {
        String topic = context.topic(4);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = consumer(context, topic, inbox);
        String group = consumer.getConsumerGroup();
        DefaultMQAdminExt admin = admin(context);
        Context.await("offsets are committed", 20, () -> committed(admin, group, topic) == MESSAGES);
        Map<MessageQueue, Long> offsets = admin.resetOffsetByTimestamp(topic, group, 0, true);
        Check.same(4, offsets.size(), "queues");
        Check.same(Set.of(0L), new HashSet<>(offsets.values()), "offsets");
        Check.same(0L, committed(admin, group, topic), "offsets after the reset");
        inbox.awaitCount(2 * MESSAGES, 60);
        Check.same(MESSAGES, texts(inbox.all().subList(MESSAGES, 2 * MESSAGES)).size(), "messages again");
        Context.await("offsets are committed again", 20, () -> committed(admin, group, topic) == MESSAGES);
    }

    private static long committed(DefaultMQAdminExt admin, String group, String topic) throws Exception {
        long sum = 0;
        for (var queue : admin.examineConsumeStats(group, topic).getOffsetTable().values()) {
            sum += queue.getConsumerOffset();
        }
        return sum;
    }

    /** What tools ask a consumer through the broker, and have it do. */
    static void askConsumer(Context context) throws Exception {
        String topic = context.topic(4);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = consumer(context, topic, inbox);
        String group = consumer.getConsumerGroup();
        DefaultMQAdminExt admin = admin(context);
        var connections = admin.examineConsumerConnectionInfo(group).getConnectionSet();
        Check.same(1, connections.size(), "members");
        String client = connections.iterator().next().getClientId();
        var running = admin.getConsumerRunningInfo(group, client, true);
        Check.same(4, running.getMqTable().keySet().stream().filter(queue -> queue.getTopic().equals(topic)).toList()
            .size(), "queues of the running consumer");
        Check.that(running.getJstack() != null && running.getJstack().contains("ConsumeMessageThread_"), "threads");
        Map<String, Map<MessageQueue, Long>> status = admin.getConsumeStatus(topic, group, "");
        Check.same(Set.of(client), status.keySet(), "clients with a status");
        SendResult sent = context.producer().send(Context.message(topic, "directly"), context.queues(topic).get(3));
        inbox.awaitCount(MESSAGES + 1, 20);
        var result = admin.consumeMessageDirectly(group, client, topic, sent.getOffsetMsgId());
        Check.same("CR_SUCCESS", result.getConsumeResult().name(), "result");
        inbox.awaitCount(MESSAGES + 2, 20);
        Check.same(2L, inbox.count(item -> item.text().equals("directly")), "times consumed");
        var span = admin.queryConsumeTimeSpan(topic, group);
        Check.same(4, span.size(), "time spans");
        String broker = admin.examineTopicRouteInfo(topic).getBrokerDatas().get(0).selectBrokerAddr();
        String producers = context.producer().getProducerGroup();
        // with its next heartbeat
        Context.await("the producer is listed", 40,
            () -> admin.getAllProducerInfo(broker).getData().containsKey(producers));
        var queue = admin.queryConsumeQueue(broker, topic, 0, 0, 5, group);
        Check.same(5, queue.getQueueData().size(), "entries of a queue");
        var all = admin.fetchConsumeStatsInBroker(broker, false, 5000).getConsumeStatsList();
        Check.that(all.stream().anyMatch(one -> one.containsKey(group)), "the group is among all");
    }

    /** Commands as people type them, whose output goes to the log. */
    static void commands(Context context) throws Exception {
        String topic = context.topic(4);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = consumer(context, topic, inbox);
        String group = consumer.getConsumerGroup();
        String to = context.group("_clone");
        DefaultMQAdminExt admin = admin(context);
        Context.await("offsets are committed", 20, () -> committed(admin, group, topic) == MESSAGES);
        // the tools ask for the route of a group's retry topic, which its first member makes
        DefaultMQPushConsumer other = context.pushConsumer(to);
        other.registerMessageListener((MessageListenerConcurrently) (messages, c) -> ConsumeConcurrentlyStatus.RECONSUME_LATER);
        // a client of 5.x hears of no broker without a topic
        other.subscribe(context.topic("_other", 1), "*");
        other.start();
        Context.await("route of the retry topic", 40, () -> {
            try {
                return !admin.examineTopicRouteInfo("%RETRY%" + to).getQueueDatas().isEmpty();
            } catch (MQClientException e) {
                return false;
            }
        });
        other.shutdown();
        System.setProperty("rocketmq.namesrv.addr", context.namesrv());
        run(new ConsumerProgressSubCommand(), "-g", group);
        run(new ConsumerStatusSubCommand(), "-g", group);
        run(new CloneGroupOffsetCommand(), "-s", group, "-d", to, "-t", topic);
        Check.same((long) MESSAGES, committed(admin, to, topic), "cloned offsets");
        run(new ResetOffsetByTimeCommand(), "-g", to, "-t", topic, "-s", "0");
        Check.same(0L, committed(admin, to, topic), "offsets of a group that is not online, after its reset");
        Check.same((long) MESSAGES, committed(admin, group, topic), "offsets of the group");
        consumer.shutdown();
        Check.same(MESSAGES, inbox.all().size(), "messages");
    }

    private static void run(SubCommand command, String... arguments) throws Exception {
        Options options = command.buildCommandlineOptions(ServerUtil.buildCommandlineOptions(new Options()));
        command.execute(new PosixParser().parse(options, arguments), options, Accounts.own());
    }
}
