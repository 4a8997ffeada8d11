package clients;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.exception.RemotingSendRequestException;

/** The lite pull consumer. */
final class LiteScenarios {
    private LiteScenarios() {
    }

    private static DefaultLitePullConsumer consumer(Context context, String group) {
        DefaultLitePullConsumer made = new DefaultLitePullConsumer(group, Accounts.own());
        context.prepare(made, made::shutdown);
        made.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        made.setPullThreadNums(4);
        return made;
    }

    private static List<MessageExt> poll(DefaultLitePullConsumer consumer, int count, int seconds) {
        List<MessageExt> all = new ArrayList<>();
        long deadline = System.nanoTime() + seconds * 1_000_000_000L;
        while (all.size() < count && System.nanoTime() < deadline) {
            all.addAll(consumer.poll(500));
        }
        Check.same(count, all.size(), "polled messages");
        return all;
    }

    private interface Question {
        void ask() throws Exception;
    }

    /**
     * Asks again once where the consumer's own connection broke: a seek interrupts the thread that pulls, and a 5.x
     * client that is interrupted while it sends a pull closes the connection, on which others ask as well
     * (NettyRemotingClient.invokeSync: "send request exception, so close the channel").
     */
    private static void afterSeek(Question question) throws Exception {
        try {
            question.ask();
        } catch (MQClientException failure) {
            if (!(failure.getCause() instanceof RemotingSendRequestException)) {
                throw failure;
            }
            question.ask();
        }
    }

    static void subscribe(Context context) throws Exception {
        String topic = context.topic(4);
        String group = context.group("");
        Set<String> bodies = new TreeSet<>();
        for (int number = 0; number < 60; number++) {
            context.producer().send(Context.message(topic, number % 2 == 0 ? "even" : "odd", "lite " + number));
            if (number % 2 == 0) {
                bodies.add("lite " + number);
            }
        }
        DefaultLitePullConsumer first = consumer(context, group);
        first.setAutoCommit(false);
        first.subscribe(topic, "even");
        first.start();
        Set<String> got = new TreeSet<>();
        String brokerName = context.queue(topic).getBrokerName();
        for (MessageExt message : poll(first, 30, 30)) {
            got.add(Context.text(message));
            Check.same(brokerName, message.getBrokerName(), "broker name");
        }
        Check.same(bodies, got, "polled bodies");
        first.commitSync();
        first.shutdown();

        Set<String> later = new TreeSet<>();
        for (int number = 0; number < 20; number++) {
            context.producer().send(Context.message(topic, "even", "later " + number));
            later.add("later " + number);
        }
        DefaultLitePullConsumer second = consumer(context, group);
        second.subscribe(topic, "even");
        second.start();
        Set<String> rest = new TreeSet<>();
        poll(second, 20, 30).forEach(message -> rest.add(Context.text(message)));
        Check.same(later, rest, "bodies after the committed offsets");
        Check.same(List.of(), second.poll(300), "more messages");
    }

    static void assignAndSeek(Context context) throws Exception {
        String topic = context.topic(2);
        for (MessageQueue queue : context.queues(topic)) {
            for (int number = 0; number < 30; number++) {
                context.producer().send(Context.message(topic, queue.getQueueId() + "/" + number), queue);
            }
        }
        Context.await("60 messages", 10, () -> context.total(topic) == 60);
        DefaultLitePullConsumer consumer = consumer(context, context.group(""));
        consumer.setAutoCommit(false);
        consumer.start();
        MessageQueue queue = consumer.fetchMessageQueues(topic).stream()
            .filter(each -> each.getQueueId() == 1).findFirst().orElseThrow();
        consumer.assign(List.of(queue));
        // Everything is here before the seek: an answer under way would be put behind it.
        poll(consumer, 30, 30);
        consumer.seek(queue, 20);
        List<MessageExt> tail = poll(consumer, 10, 30);
        for (int index = 0; index < 10; index++) {
            Check.same("1/" + (20 + index), Context.text(tail.get(index)), "body after seek to 20");
            Check.same(20L + index, tail.get(index).getQueueOffset(), "offset after seek to 20");
        }
        afterSeek(() -> consumer.seekToBegin(queue));
        List<MessageExt> all = poll(consumer, 30, 30);
        for (int index = 0; index < 30; index++) {
            Check.same("1/" + index, Context.text(all.get(index)), "body after seek to the beginning");
        }
        afterSeek(() -> consumer.seekToEnd(queue));
        context.producer().send(Context.message(topic, "1/new"), queue);
        Check.same("1/new", Context.text(poll(consumer, 1, 30).get(0)), "body after seek to the end");
        afterSeek(() -> Check.same(0L, consumer.offsetForTimestamp(queue, 0L), "offset for time 0"));
        consumer.commitSync();
        Context.await("committed offset 31", 10, () -> consumer.committed(queue) == 31);
        consumer.seek(queue, 3);
        Check.same("1/3", Context.text(consumer.poll(10_000).get(0)), "body after seek to 3");
    }
}
