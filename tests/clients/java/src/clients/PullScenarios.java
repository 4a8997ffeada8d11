package clients;

import java.util.ArrayList;
import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Pulling by queue and offset. */
final class PullScenarios {
    private PullScenarios() {
    }

    static MessageQueue filled(Context context, int count) throws Exception {
        String topic = context.topic(1);
        MessageQueue queue = context.queue(topic);
        for (int number = 0; number < count; number++) {
            context.producer().send(Context.message(topic, "tag" + number / 10, "pull " + number), queue);
        }
        Context.await(count + " messages", 10, () -> context.puller().maxOffset(queue) == count);
        return queue;
    }

    private static void checkEnds(PullResult result, long next, long min, long max, String what) {
        Check.same(next, result.getNextBeginOffset(), "next begin offset, " + what);
        Check.same(min, result.getMinOffset(), "min offset, " + what);
        Check.same(max, result.getMaxOffset(), "max offset, " + what);
    }

    static void pullQueue(Context context) throws Exception {
        MessageQueue queue = filled(context, 40);
        DefaultMQPullConsumer puller = context.puller();
        Check.same(0L, puller.minOffset(queue), "min offset");
        Check.same(40L, puller.maxOffset(queue), "max offset");
        for (int count : new int[] {1, 5, 32}) {
            for (long from : new long[] {0, 3, 17}) {
                PullResult result = puller.pull(queue, "*", from, count);
                int expected = (int) Math.min(count, 40 - from);
                Check.same(PullStatus.FOUND, result.getPullStatus(), "status");
                Check.same(expected, result.getMsgFoundList().size(), count + " messages from " + from);
                checkEnds(result, from + expected, 0, 40, count + " from " + from);
                for (int index = 0; index < expected; index++) {
                    MessageExt message = result.getMsgFoundList().get(index);
                    Check.same("pull " + (from + index), Context.text(message), "body");
                    Check.same(from + index, message.getQueueOffset(), "queue offset");
                }
            }
        }
    }

    static void ends(Context context) throws Exception {
        MessageQueue queue = filled(context, 7);
        DefaultMQPullConsumer puller = context.puller();
        PullResult last = puller.pull(queue, "*", 6, 32);
        Check.same(1, last.getMsgFoundList().size(), "messages at the last offset");
        PullResult at = puller.pull(queue, "*", 7, 32);
        Check.same(PullStatus.NO_NEW_MSG, at.getPullStatus(), "status at the end");
        checkEnds(at, 7, 0, 7, "at the end");
        PullResult beyond = puller.pull(queue, "*", 8, 32);
        Check.same(PullStatus.OFFSET_ILLEGAL, beyond.getPullStatus(), "status beyond the end");
        checkEnds(beyond, 7, 0, 7, "beyond the end");
        PullResult far = puller.pull(queue, "*", 1L << 40, 32);
        Check.same(PullStatus.OFFSET_ILLEGAL, far.getPullStatus(), "status far beyond the end");
        checkEnds(far, 7, 0, 7, "far beyond the end");

        MessageQueue empty = context.queue(context.topic("_empty", 1));
        Check.same(0L, puller.minOffset(empty), "min offset of an empty queue");
        Check.same(0L, puller.maxOffset(empty), "max offset of an empty queue");
        PullResult nothing = puller.pull(empty, "*", 0, 32);
        Check.same(PullStatus.NO_NEW_MSG, nothing.getPullStatus(), "status of an empty queue");
        checkEnds(nothing, 0, 0, 0, "empty queue");
        PullResult illegal = puller.pull(empty, "*", 5, 32);
        Check.same(PullStatus.OFFSET_ILLEGAL, illegal.getPullStatus(), "status of an empty queue at 5");
        checkEnds(illegal, 0, 0, 0, "empty queue at 5");
    }

    static void tags(Context context) throws Exception {
        MessageQueue queue = filled(context, 30);
        DefaultMQPullConsumer puller = context.puller();
        PullResult middle = puller.pull(queue, "tag1", 0, 32);
        Check.same(PullStatus.FOUND, middle.getPullStatus(), "status");
        List<String> bodies = new ArrayList<>();
        middle.getMsgFoundList().forEach(message -> bodies.add(Context.text(message)));
        List<String> expected = new ArrayList<>();
        for (int number = 10; number < 20; number++) {
            expected.add("pull " + number);
        }
        Check.same(expected, bodies, "bodies with tag1");
        Check.same(30L, middle.getNextBeginOffset(), "next begin offset behind what was scanned");
        PullResult two = puller.pull(queue, "tag0 || tag2", 0, 12);
        Check.same(12, two.getMsgFoundList().size(), "messages with tag0 or tag2");
        Check.same(22L, two.getNextBeginOffset(), "next begin offset");
        PullResult none = puller.pull(queue, "other", 0, 32);
        Check.same(PullStatus.NO_MATCHED_MSG, none.getPullStatus(), "status without a match");
        checkEnds(none, 30, 0, 30, "without a match");
    }

    static void longPoll(Context context) throws Exception {
        String topic = context.topic(1);
        MessageQueue queue = context.queue(topic);
        DefaultMQPullConsumer puller = context.puller();
        for (int round = 0; round < 5; round++) {
            int number = round;
            long[] sent = new long[1];
            Thread sender = new Thread(() -> {
                try {
                    // time for the pull to be held
                    Thread.sleep(400);
                    sent[0] = System.nanoTime();
                    context.producer().send(Context.message(topic, "held " + number), queue);
                } catch (Exception e) {
                    System.err.println("pull_long_poll: " + e);
                }
            });
            context.producer();
            long began = System.nanoTime();
            sender.start();
            PullResult result = puller.pullBlockIfNotFound(queue, "*", round, 32);
            long answered = System.nanoTime();
            sender.join();
            Check.same(PullStatus.FOUND, result.getPullStatus(), "status");
            Check.same("held " + round, Context.text(result.getMsgFoundList().get(0)), "body");
            Check.atLeast(400, (answered - began) / 1_000_000, "milliseconds the pull was held");
            // A pull that misses its message is answered after 20 s.
            Check.atMost(10_000, (answered - sent[0]) / 1_000_000, "milliseconds from send to answer");
        }
        // a tag that does not match must not end the wait with nothing
        Thread sender = new Thread(() -> {
            try {
                Thread.sleep(300);
                context.producer().send(Context.message(topic, "other", "not asked for"), queue);
                Thread.sleep(300);
                context.producer().send(Context.message(topic, "mine", "asked for"), queue);
            } catch (Exception e) {
                System.err.println("pull_long_poll: " + e);
            }
        });
        sender.start();
        long offset = 5;
        List<MessageExt> found = null;
        for (int attempt = 0; attempt < 4 && found == null; attempt++) {
            PullResult result = puller.pullBlockIfNotFound(queue, "mine", offset, 32);
            offset = result.getNextBeginOffset();
            found = result.getMsgFoundList();
        }
        sender.join();
        Check.that(found != null, "the message with the tag was not found");
        Check.same("asked for", Context.text(found.get(0)), "body with the tag");
    }

    static void searchByTime(Context context) throws Exception {
        String topic = context.topic(1);
        MessageQueue queue = context.queue(topic);
        for (int number = 0; number < 10; number++) {
            context.producer().send(Context.message(topic, "time " + number), queue);
            Thread.sleep(15);
        }
        List<MessageExt> stored = context.drain(queue, 10);
        DefaultMQPullConsumer puller = context.puller();
        for (MessageExt message : stored) {
            Check.same(message.getQueueOffset(), puller.searchOffset(queue, message.getStoreTimestamp()),
                "offset by the exact time");
        }
        long first = stored.get(0).getStoreTimestamp();
        long last = stored.get(9).getStoreTimestamp();
        Check.same(0L, puller.searchOffset(queue, first - 100_000), "offset before the first");
        Check.same(0L, puller.searchOffset(queue, 0), "offset at time 0");
        // 4.9 answers the last message for a time past the end, 5.x the offset behind it
        long past = puller.searchOffset(queue, last + 100_000);
        Check.that(past == 9 || Context.isGeneration5() && past == 10, "offset past the end: " + past);
        MessageQueue empty = context.queue(context.topic("_empty", 1));
        Check.same(0L, puller.searchOffset(empty, first), "offset in an empty queue");
    }
}
