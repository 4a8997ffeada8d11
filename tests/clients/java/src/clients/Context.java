package clients;

import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.ClientConfig;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragely;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.RPCHook;

/** What a scenario works with: clients under names of their own, closed when it ends. */
final class Context implements AutoCloseable {
    private static final String RUN = Long.toString(System.currentTimeMillis(), 36);
    private static final String VERSION = System.getProperty("clients.version");
    private static final AtomicInteger INSTANCE = new AtomicInteger();
    private static final int ROUTE_SECONDS_MAX = 20;

    final String name;
    private final String namesrv;
    private final Deque<Runnable> closers = new ArrayDeque<>();
    private DefaultMQProducer producer;
    private DefaultMQPullConsumer puller;

    interface Condition {
        boolean holds() throws Exception;
    }

    Context(String namesrv, String name) {
        this.namesrv = namesrv;
        this.name = name;
    }

    static boolean isGeneration5() {
        return VERSION.startsWith("5");
    }

    /** The version of the client is part of the names, as several may run against one store. */
    private String unique(String kind, String suffix) {
        return kind + VERSION.replaceAll("\\W", "") + "_" + name + "_" + RUN + suffix;
    }

    String topicName(String suffix) {
        return unique("T", suffix);
    }

    String group(String suffix) {
        return unique("G", suffix);
    }

    private String instance() {
        return name + "-" + RUN + "-" + INSTANCE.incrementAndGet();
    }

    private synchronized void closeLater(Runnable closer) {
        closers.push(closer);
    }

    /** Creates a topic with so many queues and waits until the name server tells its route. */
    String topic(int queues) throws Exception {
        return topic("", queues);
    }

    String topic(String suffix, int queues) throws Exception {
        String topic = topicName(suffix);
        createTopic(topic, queues);
        return topic;
    }

    void createTopic(String topic, int queues) throws Exception {
        // 5.x has one more parameter, the attributes
        for (Method method : DefaultMQProducer.class.getMethods()) {
            if (method.getName().equals("createTopic")) {
                Class<?>[] types = method.getParameterTypes();
                if (types.length == 3) {
                    method.invoke(producer(), "TBW102", topic, queues);
                    break;
                } else if (types.length == 4 && types[3] == java.util.Map.class) {
                    method.invoke(producer(), "TBW102", topic, queues, new java.util.HashMap<String, String>());
                    break;
                }
            }
        }
        await("route of " + topic + " with " + queues + " queues", ROUTE_SECONDS_MAX, () -> {
            try {
                return producer().fetchPublishMessageQueues(topic).size() == queues;
            } catch (MQClientException e) {
                return false;
            }
        });
    }

    /** The scenario's own producer. */
    synchronized DefaultMQProducer producer() throws Exception {
        if (producer == null) {
            producer = newProducer();
        }
        return producer;
    }

    DefaultMQProducer newProducer() throws Exception {
        return newProducer(Accounts.own());
    }

    /** One that signs in this way; null: not at all. */
    DefaultMQProducer newProducer(RPCHook hook) throws Exception {
        DefaultMQProducer made = new DefaultMQProducer(unique("P", "-" + INSTANCE.incrementAndGet()), hook);
        prepare(made, made::shutdown);
        made.setSendMsgTimeout(10_000);
        made.start();
        return made;
    }

    /** Not started yet. From the first offset, so that no message is passed over. */
    DefaultMQPushConsumer pushConsumer(String group) {
        return pushConsumer(group, Accounts.own());
    }

    DefaultMQPushConsumer pushConsumer(String group, RPCHook hook) {
        DefaultMQPushConsumer made = new DefaultMQPushConsumer(group, hook, new AllocateMessageQueueAveragely());
        prepare(made, made::shutdown);
        made.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        made.setConsumeThreadMin(4);
        made.setConsumeThreadMax(4);
        // 5.3.3 raises its subscription version with each rebalance and gives up the heartbeat that
        // tells the broker if its own periodic one is just under way: SUBSCRIPTION_NOT_LATEST until
        // the next one, of any broker, Java's too (docs/STATUS.md).
        made.setHeartbeatBrokerInterval(2_000);
        return made;
    }

    /** Where a client connects to, a name of its own, and its end with that of the scenario. */
    void prepare(ClientConfig client, Runnable closer) {
        client.setNamesrvAddr(namesrv);
        client.setInstanceName(instance());
        closeLater(closer);
    }

    /** The scenario's own pull consumer. */
    synchronized DefaultMQPullConsumer puller() throws Exception {
        if (puller == null) {
            puller = new DefaultMQPullConsumer(group("_pull"), Accounts.own());
            prepare(puller, puller::shutdown);
            puller.start();
        }
        return puller;
    }

    /** Asks the name server for routes every second; the method's name was misspelt once. */
    static void lookOften(ClientConfig client) throws Exception {
        for (Method method : ClientConfig.class.getMethods()) {
            if (method.getName().startsWith("setPollNameServerInte")) {
                method.invoke(client, 1000);
            }
        }
    }

    String namesrv() {
        return namesrv;
    }

    /** The queues of a topic by number. */
    List<MessageQueue> queues(String topic) throws Exception {
        TreeMap<Integer, MessageQueue> byId = new TreeMap<>();
        for (MessageQueue queue : puller().fetchSubscribeMessageQueues(topic)) {
            byId.put(queue.getQueueId(), queue);
        }
        return new ArrayList<>(byId.values());
    }

    MessageQueue queue(String topic) throws Exception {
        return queues(topic).get(0);
    }

    long total(String topic) throws Exception {
        long sum = 0;
        for (MessageQueue queue : queues(topic)) {
            sum += puller().maxOffset(queue) - puller().minOffset(queue);
        }
        return sum;
    }

    /** Everything a queue holds, once it holds so many, with offsets checked to be without gaps. */
    List<MessageExt> drain(MessageQueue queue, int count) throws Exception {
        await(count + " messages in " + queue, 10, () -> puller().maxOffset(queue) >= count);
        List<MessageExt> all = new ArrayList<>();
        long offset = 0;
        while (offset < count) {
            PullResult result = puller().pull(queue, "*", offset, 32);
            Check.same(PullStatus.FOUND, result.getPullStatus(), "pull of " + queue + " at " + offset);
            for (MessageExt message : result.getMsgFoundList()) {
                Check.same((long) all.size(), message.getQueueOffset(), "queue offset in " + queue);
                Check.same(queue.getQueueId(), message.getQueueId(), "queue id");
                Check.same(queue.getTopic(), message.getTopic(), "topic");
                all.add(message);
            }
            Check.same((long) all.size(), result.getNextBeginOffset(), "next begin offset");
            offset = result.getNextBeginOffset();
        }
        Check.same(count, all.size(), "messages in " + queue);
        return all;
    }

    static Message message(String topic, String body) {
        return new Message(topic, body.getBytes(StandardCharsets.UTF_8));
    }

    static Message message(String topic, String tag, String body) {
        return new Message(topic, tag, body.getBytes(StandardCharsets.UTF_8));
    }

    static String text(Message message) {
        return new String(message.getBody(), StandardCharsets.UTF_8);
    }

    /** Looks again every 20 ms; for what no listener reports. */
    static void await(String what, int seconds, Condition condition) throws Exception {
        long deadline = System.nanoTime() + seconds * 1_000_000_000L;
        while (!condition.holds()) {
            if (System.nanoTime() > deadline) {
                throw new AssertionError(what + ": not within " + seconds + " s");
            }
            Thread.sleep(20);
        }
    }

    @Override
    public void close() {
        List<Runnable> all;
        synchronized (this) {
            all = new ArrayList<>(closers);
            closers.clear();
        }
        for (Runnable closer : all) {
            try {
                closer.run();
            } catch (RuntimeException e) {
                System.err.println(name + ": closing: " + e);
            }
        }
    }
}
