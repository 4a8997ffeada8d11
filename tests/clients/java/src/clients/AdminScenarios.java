package clients;

import java.util.Collections;
import java.util.List;
import java.util.Set;
import org.apache.rocketmq.client.QueryResult;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Topics, looking messages up, and what is refused. */
final class AdminScenarios {
    private AdminScenarios() {
    }

    static void createTopic(Context context) throws Exception {
        String topic = context.topic(3);
        DefaultMQProducer producer = context.producer();
        Set<Integer> ids = new java.util.TreeSet<>();
        for (MessageQueue queue : producer.fetchPublishMessageQueues(topic)) {
            ids.add(queue.getQueueId());
            Check.same(topic, queue.getTopic(), "topic");
            Check.same(-1L, producer.earliestMsgStoreTime(queue), "earliest time of an empty queue");
            Check.same(0L, producer.maxOffset(queue), "max offset");
        }
        Check.same(Set.of(0, 1, 2), ids, "queue ids");
        context.createTopic(topic, 6);
        Check.same(6, context.queues(topic).size(), "queues after the change");
        MessageQueue queue = context.queues(topic).get(5);
        SendResult result = producer.send(Context.message(topic, "into the new queue"), queue);
        MessageExt stored = context.drain(queue, 1).get(0);
        Check.same(stored.getStoreTimestamp(), producer.earliestMsgStoreTime(queue), "earliest time");
        Check.same(0L, result.getQueueOffset(), "offset in the new queue");
    }

    static void viewMessage(Context context) throws Exception {
        String topic = context.topic(2);
        for (int number = 0; number < 10; number++) {
            Message message = Context.message(topic, "tag", "view " + number);
            message.setKeys("key" + number);
            SendResult result = context.producer().send(message);
            MessageExt seen = context.producer().viewMessage(topic, result.getOffsetMsgId());
            Check.same("view " + number, Context.text(seen), "body");
            Check.same("tag", seen.getTags(), "tag");
            Check.same("key" + number, seen.getKeys(), "keys");
            Check.same(result.getQueueOffset(), seen.getQueueOffset(), "queue offset");
            Check.same(result.getMessageQueue().getQueueId(), seen.getQueueId(), "queue id");
            Check.same(topic, seen.getTopic(), "topic");
        }
        SendResult result = context.producer().send(Context.message(topic, "last"));
        String id = result.getOffsetMsgId();
        String none = id.substring(0, 16) + "0000F0FFFFFFFF00";
        Check.fails("an offset that holds nothing", () -> context.producer().viewMessage(topic, none));
    }

    static void queryMessage(Context context) throws Exception {
        String topic = context.topic(2);
        long begin = System.currentTimeMillis() - 10_000;
        Message message = Context.message(topic, "by key");
        message.setKeys(List.of("one", "two"));
        SendResult result = context.producer().send(message);
        Message second = Context.message(topic, "by key too");
        second.setKeys("two");
        context.producer().send(second);
        long end = System.currentTimeMillis() + 60_000;
        Context.await("two messages by key", 10, () -> found(context, topic, "two", begin, end) == 2);
        Check.same(1, found(context, topic, "one", begin, end), "messages of the first key");
        Check.same(0, found(context, topic, "three", begin, end), "messages of an unknown key");
        MessageExt seen = context.producer().viewMessage(topic, result.getMsgId());
        Check.same("by key", Context.text(seen), "body by unique id");
    }

    private static int found(Context context, String topic, String key, long begin, long end) throws Exception {
        try {
            QueryResult result = context.producer().queryMessage(topic, key, 32, begin, end);
            return result.getMessageList().size();
        } catch (org.apache.rocketmq.client.exception.MQClientException e) {
            return 0;
        }
    }

    static void sendErrors(Context context) throws Exception {
        String topic = context.topic(2);
        MessageQueue queue = context.queue(topic);
        DefaultMQProducer producer = context.producer();
        producer.setMaxMessageSize(8 << 20);
        producer.setCompressMsgBodyOverHowmuch(1 << 30);
        Check.fails("an illegal topic name", () -> producer.send(Context.message("not legal!", "x")));
        Check.fails("a long topic name", () -> producer.send(Context.message("x".repeat(128), "x")));
        Check.fails("an empty body", () -> producer.send(new Message(topic, new byte[0])));
        Check.refused("a body over 4 MiB", () -> producer.send(new Message(topic, new byte[(4 << 20) + 1]), queue), 13);
        Message wide = Context.message(topic, "wide");
        wide.putUserProperty("wide", "x".repeat(33_000));
        Check.refused("33,000 bytes of properties", () -> producer.send(wide, queue), 13);
        for (int id : new int[] {2, 99, 1 << 30}) {
            MessageQueue beyond = new MessageQueue(topic, queue.getBrokerName(), id);
            Check.refused("queue " + id + " of 2", () -> producer.send(Context.message(topic, "x"), beyond), 1, 29);
        }
        Check.refused("a system topic", () -> producer.send(Context.message("SCHEDULE_TOPIC_XXXX", "x"),
            new MessageQueue("SCHEDULE_TOPIC_XXXX", queue.getBrokerName(), 0)), 16, -1, 13, 10005);
        // nothing of all that was stored, and the connection still works
        producer.send(Context.message(topic, "good"), queue);
        Check.same("good", Context.text(context.drain(queue, 1).get(0)), "the only message");
    }

    static void pullErrors(Context context) throws Exception {
        String topic = context.topic(2);
        MessageQueue queue = context.queue(topic);
        DefaultMQPullConsumer puller = context.puller();
        context.producer().send(Context.message(topic, "x"), queue);
        context.drain(queue, 1);
        for (int id : new int[] {2, 99}) {
            MessageQueue beyond = new MessageQueue(topic, queue.getBrokerName(), id);
            Check.refused("pull of queue " + id + " of 2", () -> puller.pull(beyond, "*", 0, 32), 1, 29);
        }
        MessageQueue unknown = new MessageQueue(context.topicName("_unknown"), queue.getBrokerName(), 0);
        Check.refused("pull of an unknown topic", () -> puller.pull(unknown, "*", 0, 32), 17);
        Check.fails("queues of an unknown topic",
            () -> puller.fetchSubscribeMessageQueues(context.topicName("_unknown")));
        Check.same(Collections.singletonList("x"),
            context.drain(queue, 1).stream().map(Context::text).toList(), "the queue still works");
    }
}
