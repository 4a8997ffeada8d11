package clients;

import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.consumer.store.ReadOffsetType;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Push consumers: clustering, broadcasting, tags, retry, offsets. */
final class PushScenarios {
    private PushScenarios() {
    }

    private static DefaultMQPushConsumer start(Context context, Inbox inbox, String group, String name,
        String topic, String expression) throws Exception {
        DefaultMQPushConsumer consumer = context.pushConsumer(group);
        consumer.subscribe(topic, expression);
        return start(consumer, inbox, name);
    }

    private static DefaultMQPushConsumer start(DefaultMQPushConsumer consumer, Inbox inbox, String name)
        throws Exception {
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, c) -> {
            inbox.addAll(messages, name);
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        return consumer;
    }

    private static Set<String> send(Context context, String topic, String prefix, int count) throws Exception {
        Set<String> bodies = new TreeSet<>();
        for (int number = 0; number < count; number++) {
            context.producer().send(Context.message(topic, prefix + number));
            bodies.add(prefix + number);
        }
        return bodies;
    }

    static long owned(DefaultMQPushConsumer consumer, String topic) {
        return consumer.getDefaultMQPushConsumerImpl().getRebalanceImpl().getProcessQueueTable().keySet()
            .stream().filter(queue -> queue.getTopic().equals(topic)).count();
    }

    static void rebalance(Context context) throws Exception {
        String topic = context.topic(8);
        String group = context.group("");
        Inbox alone = new Inbox();
        Inbox[] current = {alone};
        DefaultMQPushConsumer first = context.pushConsumer(group);
        first.subscribe(topic, "*");
        first.registerMessageListener((MessageListenerConcurrently) (messages, c) -> {
            current[0].addAll(messages, "first");
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        first.start();
        alone.awaitExactly(send(context, topic, "alone ", 80), 25, 200);
        // A member that comes reads the offsets while this one still writes them when it hears of
        // it: what was not stored before would come twice.
        first.getDefaultMQPushConsumerImpl().persistConsumerOffset();
        Context.await("offsets of 80 messages", 10, () -> stored(first, context, topic) == 80);

        Inbox both = new Inbox();
        current[0] = both;
        DefaultMQPushConsumer second = start(context, both, group, "second", topic, "*");
        Context.await("4 queues each", 25, () -> owned(first, topic) == 4 && owned(second, topic) == 4);
        both.awaitExactly(send(context, topic, "both ", 160), 25, 500);
        Check.same(80L, both.count(item -> item.consumer().equals("first")), "messages of the first");
        Check.same(80L, both.count(item -> item.consumer().equals("second")), "messages of the second");

        Inbox left = new Inbox();
        current[0] = left;
        second.shutdown();
        Context.await("all queues back at the first", 25, () -> owned(first, topic) == 8);
        left.awaitExactly(send(context, topic, "left ", 80), 25, 500);
        Check.same(80L, left.count(item -> item.consumer().equals("first")), "messages of the first");
        Check.same(80, alone.all().size(), "messages of the first phase");
        Check.same(160, both.all().size(), "messages of the second phase");
    }

    /** The sum of the offsets that the broker has of the consumer's group. */
    private static long stored(DefaultMQPushConsumer consumer, Context context, String topic)
        throws Exception {
        var offsets = consumer.getDefaultMQPushConsumerImpl().getOffsetStore();
        long sum = 0;
        for (var queue : context.queues(topic)) {
            sum += Math.max(0, offsets.readOffset(queue, ReadOffsetType.READ_FROM_STORE));
        }
        return sum;
    }

    static void broadcast(Context context) throws Exception {
        String topic = context.topic(4);
        String group = context.group("");
        Inbox[] inboxes = {new Inbox(), new Inbox()};
        for (Inbox inbox : inboxes) {
            DefaultMQPushConsumer consumer = context.pushConsumer(group);
            setBroadcasting(consumer);
            consumer.subscribe(topic, "*");
            start(consumer, inbox, "");
        }
        Set<String> bodies = send(context, topic, "broadcast ", 50);
        for (Inbox inbox : inboxes) {
            inbox.awaitExactly(bodies, 25, 300);
        }
    }

    /** MessageModel lives in another package in 5.x. */
    private static void setBroadcasting(DefaultMQPushConsumer consumer) throws Exception {
        for (var method : DefaultMQPushConsumer.class.getMethods()) {
            if (method.getName().equals("setMessageModel")) {
                Object model = method.getParameterTypes()[0].getField("BROADCASTING").get(null);
                method.invoke(consumer, model);
            }
        }
    }

    static void tags(Context context) throws Exception {
        String topic = context.topic(2);
        String[] expressions = {"a || b", "*", "c", "Aa"};
        Inbox[] inboxes = new Inbox[expressions.length];
        for (int index = 0; index < expressions.length; index++) {
            inboxes[index] = new Inbox();
            start(context, inboxes[index], context.group("_" + index), "", topic, expressions[index]);
        }
        // "Aa" and "BB" have the same hash code, by which the broker filters
        String[] tags = {"a", "b", "c", "d", "Aa", "BB", ""};
        Set<String> all = new TreeSet<>();
        for (int number = 0; number < 70; number++) {
            String tag = tags[number % tags.length];
            String body = "tag " + tag + " " + number;
            context.producer().send(tag.isEmpty() ? Context.message(topic, body) : Context.message(topic, tag, body));
            all.add(body);
        }
        inboxes[0].awaitExactly(only(all, "tag a ", "tag b "), 25, 200);
        inboxes[1].awaitExactly(all, 25, 200);
        inboxes[2].awaitExactly(only(all, "tag c "), 25, 200);
        inboxes[3].awaitExactly(only(all, "tag Aa "), 25, 200);
    }

    private static Set<String> only(Set<String> bodies, String... prefixes) {
        Set<String> some = new TreeSet<>();
        for (String prefix : prefixes) {
            bodies.stream().filter(body -> body.startsWith(prefix)).forEach(some::add);
        }
        return some;
    }

    static void retryLater(Context context) throws Exception {
        String topic = context.topic(1);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = context.pushConsumer(context.group(""));
        consumer.subscribe(topic, "*");
        consumer.setConsumeMessageBatchMaxSize(1);
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, c) -> {
            inbox.addAll(messages, "");
            boolean bad = Context.text(messages.get(0)).startsWith("bad")
                && messages.get(0).getReconsumeTimes() == 0;
            return bad ? ConsumeConcurrentlyStatus.RECONSUME_LATER : ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        Message message = Context.message(topic, "tag", "bad");
        message.setKeys("key1 key2");
        message.putUserProperty("own", "value");
        SendResult result = context.producer().send(message);
        context.producer().send(Context.message(topic, "good"));
        inbox.awaitCount(3, 60);
        Thread.sleep(300);
        Check.same(1L, inbox.count(item -> item.text().equals("good")), "good messages");
        List<Inbox.Item> bad = inbox.where(item -> item.text().equals("bad"));
        Check.same(2, bad.size(), "bad messages");
        long millis = (bad.get(1).at() - bad.get(0).at()) / 1_000_000;
        Check.atLeast(9_000, millis, "milliseconds until the retry");
        // 10 s of delay, and up to 30 s until the client asks anew who has the topic of retries (5.5.0 does, with
        // the Java broker as well)
        Check.atMost(55_000, millis, "milliseconds until the retry");
        MessageExt again = bad.get(1).message();
        Check.same(1, again.getReconsumeTimes(), "reconsumeTimes");
        Check.same(topic, again.getTopic(), "topic of the retry");
        Check.same("tag", again.getTags(), "tag of the retry");
        Check.same("key1 key2", again.getKeys(), "keys of the retry");
        Check.same("value", again.getUserProperty("own"), "user property of the retry");
        Check.same(result.getMsgId(), again.getMsgId(), "msgId of the retry");
        Check.same(result.getOffsetMsgId(), again.getProperty("ORIGIN_MESSAGE_ID"), "origin of the retry");
        Check.same(bad.get(0).message().getBornTimestamp(), again.getBornTimestamp(), "born timestamp");
    }

    static void offsetPersist(Context context) throws Exception {
        String topic = context.topic(4);
        String group = context.group("");
        Inbox before = new Inbox();
        DefaultMQPushConsumer consumer = start(context, before, group, "", topic, "*");
        before.awaitExactly(send(context, topic, "before ", 40), 25, 200);
        consumer.shutdown();
        Set<String> bodies = send(context, topic, "between ", 40);
        Inbox after = new Inbox();
        start(context, after, group, "", topic, "*");
        after.awaitExactly(bodies, 25, 500);
        for (MessageQueue queue : context.queues(topic)) {
            Check.same(20L, context.puller().maxOffset(queue), "max offset of " + queue);
        }
    }

    static void many(Context context) throws Exception {
        String topic = context.topic(4);
        Inbox inbox = new Inbox();
        Set<String> bodies = send(context, topic, "early ", 300);
        start(context, inbox, context.group(""), "", topic, "*");
        bodies.addAll(send(context, topic, "late ", 700));
        inbox.awaitExactly(bodies, 30, 300);
        Set<String> places = new HashSet<>();
        for (Inbox.Item item : inbox.all()) {
            places.add(item.message().getQueueId() + ":" + item.message().getQueueOffset());
        }
        Check.same(1000, places.size(), "different places");
    }

    static void latency(Context context) throws Exception {
        String topic = context.topic(1);
        Inbox inbox = new Inbox();
        start(context, inbox, context.group(""), "", topic, "*");
        context.producer().send(Context.message(topic, "first"));
        inbox.awaitCount(1, 25);
        AtomicInteger slow = new AtomicInteger();
        for (int number = 0; number < 20; number++) {
            Thread.sleep(50);
            long sent = System.nanoTime();
            context.producer().send(Context.message(topic, "next " + number));
            inbox.awaitCount(number + 2, 10);
            long millis = (inbox.all().get(number + 1).at() - sent) / 1_000_000;
            slow.addAndGet(millis > 1_000 ? 1 : 0);
        }
        // held pulls are answered when the message comes, not at their next look
        Check.atMost(2, slow.get(), "messages that took over 1 s to an idle consumer");
    }

    static void big(Context context) throws Exception {
        String topic = context.topic(1);
        Random random = new Random(11);
        List<byte[]> bodies = Collections.nCopies(6, 0).stream().map(zero -> {
            byte[] body = new byte[900_000];
            random.nextBytes(body);
            return body;
        }).toList();
        for (byte[] body : bodies) {
            context.producer().send(new Message(topic, body));
        }
        Inbox inbox = new Inbox();
        start(context, inbox, context.group(""), "", topic, "*");
        inbox.awaitCount(bodies.size(), 25);
        for (Inbox.Item item : inbox.all()) {
            int offset = (int) item.message().getQueueOffset();
            Check.bytes(bodies.get(offset), item.message().getBody(), "body " + offset);
        }
    }
}
