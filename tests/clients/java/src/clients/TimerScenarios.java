package clients;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Messages with a time of their own, which clients of 5.x send and call back. */
final class TimerScenarios {
    private static final int MESSAGE_ILLEGAL = 13;

    private TimerScenarios() {
    }

    private static Inbox consume(Context context, String topic) throws Exception {
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = context.pushConsumer(context.group(""));
        consumer.subscribe(topic, "even");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, c) -> {
            inbox.addAll(messages, "all");
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        return inbox;
    }

    private static SendResult send(Context context, Message message, MessageQueue queue) throws Exception {
        SendResult result = context.producer().send(message, queue);
        Check.same(SendStatus.SEND_OK, result.getSendStatus(), "status of " + Context.text(message));
        return result;
    }

    /** What is sent last is due first; every fifth is called back. */
    static void timers(Context context) throws Exception {
        String topic = context.topic(4);
        Inbox inbox = consume(context, topic);
        List<MessageQueue> queues = context.queues(topic);
        Map<String, Long> due = new HashMap<>();
        long base = System.currentTimeMillis();
        for (int number = 0; number < 40; number++) {
            boolean exact = number / 4 % 2 == 0;
            long at = base + 9_000 - number * 100;
            Message message = Context.message(topic, "even", (exact ? "at " : "in ") + number);
            if (exact) {
                message.setDeliverTimeMs(at);
            } else {
                message.setDelayTimeMs(at - System.currentTimeMillis());
            }
            SendResult result = send(context, message, queues.get(number % 4));
            if (number % 5 == 4) {
                String recalled = context.producer().recallMessage(topic, result.getRecallHandle());
                Check.same(result.getMsgId(), recalled, "id of what is called back");
            } else {
                due.put(Context.text(message), at);
            }
        }
        Message seconds = Context.message(topic, "even", "in 3 seconds");
        seconds.setDelayTimeSec(3);
        due.put(Context.text(seconds), System.currentTimeMillis() + 3_000);
        send(context, seconds, queues.get(0));
        Message level = Context.message(topic, "even", "level 1");
        level.setDelayTimeLevel(1);
        due.put(Context.text(level), System.currentTimeMillis() + 1_000);
        send(context, level, queues.get(0));
        Message far = Context.message(topic, "even", "too far");
        far.setDelayTimeSec(100 * 24 * 3600);
        Check.refused("100 days", () -> context.producer().send(far, queues.get(0)), MESSAGE_ILLEGAL);

        inbox.awaitExactly(due.keySet(), 40, 2_000);
        for (Inbox.Item item : inbox.all()) {
            MessageExt message = item.message();
            Check.atLeast(due.get(item.text()), message.getStoreTimestamp(), "time of " + item.text());
            Check.same("even", message.getTags(), "tags");
        }
        for (MessageQueue queue : queues) {
            long before = 0;
            int stored = (int) context.puller().maxOffset(queue);
            for (MessageExt message : context.drain(queue, stored)) {
                if (Context.text(message).startsWith("at ")) {
                    long at = due.get(Context.text(message));
                    Check.atLeast(before, at, "order in queue " + queue.getQueueId());
                    before = at;
                }
            }
        }
    }
}
