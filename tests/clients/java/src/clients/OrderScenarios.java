package clients;

import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.common.message.MessageExt;

/** Consumers that lock their queues. */
final class OrderScenarios {
    private OrderScenarios() {
    }

    static void orderly(Context context) throws Exception {
        String topic = context.topic(4);
        Inbox inbox = new Inbox();
        Map<Integer, AtomicInteger> inside = new ConcurrentHashMap<>();
        AtomicBoolean overlap = new AtomicBoolean();
        DefaultMQPushConsumer consumer = context.pushConsumer(context.group(""));
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerOrderly) (messages, c) -> {
            AtomicInteger count = inside.computeIfAbsent(messages.get(0).getQueueId(), id -> new AtomicInteger());
            overlap.compareAndSet(false, count.incrementAndGet() > 1);
            inbox.addAll(messages, "");
            count.decrementAndGet();
            return ConsumeOrderlyStatus.SUCCESS;
        });
        consumer.start();
        for (int number = 0; number < 200; number++) {
            context.producer().send(Context.message(topic, "order " + number),
                (queues, message, key) -> queues.get((Integer) key % queues.size()), number);
        }
        inbox.awaitCount(200, 50);
        Thread.sleep(200);
        Check.same(200, inbox.all().size(), "messages");
        Check.that(!overlap.get(), "two threads in one queue at a time");
        Map<Integer, List<Integer>> byQueue = new HashMap<>();
        Map<Integer, Long> next = new HashMap<>();
        for (Inbox.Item item : inbox.all()) {
            MessageExt message = item.message();
            int number = Integer.parseInt(item.text().substring("order ".length()));
            byQueue.computeIfAbsent(message.getQueueId(), id -> new ArrayList<>()).add(number);
            long expected = next.getOrDefault(message.getQueueId(), 0L);
            Check.same(expected, message.getQueueOffset(), "queue offset in queue " + message.getQueueId());
            next.put(message.getQueueId(), expected + 1);
        }
        Check.same(4, byQueue.size(), "queues");
        for (List<Integer> numbers : byQueue.values()) {
            List<Integer> sorted = new ArrayList<>(numbers);
            Collections.sort(sorted);
            Check.same(sorted, numbers, "order in a queue");
            Check.same(50, numbers.size(), "messages of a queue");
        }
    }

    static void suspend(Context context) throws Exception {
        String topic = context.topic(2);
        Inbox inbox = new Inbox();
        AtomicInteger refusals = new AtomicInteger();
        DefaultMQPushConsumer consumer = context.pushConsumer(context.group(""));
        consumer.subscribe(topic, "*");
        consumer.setSuspendCurrentQueueTimeMillis(500);
        consumer.registerMessageListener((MessageListenerOrderly) (messages, c) -> {
            inbox.addAll(messages, "");
            if (Context.text(messages.get(0)).equals("0/5") && refusals.getAndIncrement() < 2) {
                return ConsumeOrderlyStatus.SUSPEND_CURRENT_QUEUE_A_MOMENT;
            }
            return ConsumeOrderlyStatus.SUCCESS;
        });
        consumer.start();
        for (int number = 0; number < 10; number++) {
            for (var queue : context.queues(topic)) {
                context.producer().send(Context.message(topic, queue.getQueueId() + "/" + number), queue);
            }
        }
        inbox.awaitCount(22, 50);
        Thread.sleep(200);
        List<String> expected = List.of("0/0", "0/1", "0/2", "0/3", "0/4", "0/5", "0/5", "0/5", "0/6", "0/7",
            "0/8", "0/9");
        List<Inbox.Item> got = inbox.where(item -> item.message().getQueueId() == 0);
        Check.same(expected, got.stream().map(Inbox.Item::text).toList(), "queue 0");
        Check.same(10L, inbox.count(item -> item.message().getQueueId() == 1), "messages of queue 1");
        long millis = (got.get(7).at() - got.get(5).at()) / 1_000_000;
        Check.atLeast(900, millis, "milliseconds of two suspensions");
    }
}
