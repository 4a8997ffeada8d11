package clients;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Two members of a group that consume in order, whatever happens to their queues. */
final class LockScenarios {
    private static final int CHANGE_SECONDS_MAX = 30;
    // a pull that a broker takes with it is given up after 30 s
    private static final int PULL_SECONDS_MAX = 50;

    private LockScenarios() {
    }

    /** What the members have seen: each queue has one reader at a time, and no message is passed over. */
    private static final class Seen {
        private static final class Queue {
            String reader;
            int inside;
            long last = -1;
            long next;
        }

        private final Map<Integer, Queue> queues = new HashMap<>();
        private String wrong;

        void consume(String reader, MessageExt message) throws InterruptedException {
            enter(reader, message);
            Thread.sleep(5);
            synchronized (this) {
                queues.get(message.getQueueId()).inside--;
            }
        }

        private synchronized void enter(String reader, MessageExt message) {
            Queue queue = queues.computeIfAbsent(message.getQueueId(), id -> new Queue());
            long offset = message.getQueueOffset();
            String what = "queue " + message.getQueueId() + " at " + offset + " by " + reader;
            boolean isNew = !reader.equals(queue.reader);
            if (queue.inside > 0) {
                note(what + " while " + queue.reader + " is at " + queue.last);
            }
            // who takes a queue over may go back to what was committed
            if (isNew ? offset > queue.next : offset != queue.last + 1) {
                note(what + " after " + queue.last + " by " + queue.reader);
            }
            queue.reader = reader;
            queue.inside++;
            queue.last = offset;
            queue.next = Math.max(queue.next, offset + 1);
        }

        private void note(String what) {
            wrong = wrong == null ? what : wrong;
        }

        synchronized long count() {
            return queues.values().stream().mapToLong(queue -> queue.next).sum();
        }

        synchronized void isRight() {
            Check.that(wrong == null, wrong);
        }
    }

    private static DefaultMQPushConsumer member(Context context, Seen seen, String name, String topic)
        throws Exception {
        DefaultMQPushConsumer member = context.pushConsumer(context.group(""));
        member.subscribe(topic, "*");
        Context.lookOften(member);
        member.registerMessageListener((MessageListenerOrderly) (messages, c) -> {
            try {
                for (MessageExt message : messages) {
                    seen.consume(name, message);
                }
            } catch (InterruptedException e) {
                return ConsumeOrderlyStatus.SUSPEND_CURRENT_QUEUE_A_MOMENT;
            }
            return ConsumeOrderlyStatus.SUCCESS;
        });
        member.start();
        return member;
    }

    private static void awaitShares(List<DefaultMQPushConsumer> members, String topic, int queues) throws Exception {
        Context.await(queues / members.size() + " queues each", CHANGE_SECONDS_MAX, () -> members.stream()
            .allMatch(member -> PushScenarios.owned(member, topic) == queues / members.size()));
    }

    /** Sends to all queues that the name server tells, as long as it is told to. */
    private static Thread sender(Context context, String topic, AtomicBoolean sends) throws Exception {
        var producer = context.newProducer();
        Thread thread = new Thread(() -> {
            while (sends.get()) {
                try {
                    for (MessageQueue queue : producer.fetchPublishMessageQueues(topic)) {
                        producer.send(Context.message(topic, "in order"), queue);
                    }
                    Thread.sleep(20);
                } catch (InterruptedException e) {
                    return;
                } catch (Exception e) {
                    // a queue that has just been taken away, or no broker at all
                    pause();
                }
            }
        });
        thread.setDaemon(true);
        thread.start();
        return thread;
    }

    private static void pause() {
        try {
            Thread.sleep(100);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private static void drain(Context context, String topic, Seen seen) throws Exception {
        Context.await("everything is consumed", CHANGE_SECONDS_MAX, () -> seen.count() == context.total(topic));
        seen.isRight();
    }

    /** Queues go and come under load; what was sent to those that go is consumed when they come again. */
    static void queues(Context context) throws Exception {
        String topic = context.topic(6);
        Seen seen = new Seen();
        var members = List.of(member(context, seen, "first", topic), member(context, seen, "second", topic));
        AtomicBoolean sends = new AtomicBoolean(true);
        Thread sender = sender(context, topic, sends);
        for (int queues : new int[] {2, 8}) {
            context.createTopic(topic, queues);
            awaitShares(members, topic, queues);
            seen.isRight();
        }
        sends.set(false);
        sender.join();
        drain(context, topic, seen);
    }

    /** The broker is killed and comes back, while its members live. */
    static void brokerRestart(Context context) throws Exception {
        String topic = context.topic(8);
        Seen seen = new Seen();
        var members = List.of(member(context, seen, "first", topic), member(context, seen, "second", topic));
        awaitShares(members, topic, 8);
        AtomicBoolean sends = new AtomicBoolean(true);
        Thread sender = sender(context, topic, sends);
        Context.await("messages", 10, () -> seen.count() > 100);
        // for whoever runs this
        System.out.println("RESTART");
        System.out.flush();
        long before = seen.count();
        Context.await("messages after the restart", PULL_SECONDS_MAX, () -> seen.count() > before + 500);
        awaitShares(members, topic, 8);
        sends.set(false);
        sender.join();
        drain(context, topic, seen);
    }
}
