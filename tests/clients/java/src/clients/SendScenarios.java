package clients;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageClientExt;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Producers: what they are told, and what is stored. */
final class SendScenarios {
    private SendScenarios() {
    }

    static void sync(Context context) throws Exception {
        String topic = context.topic(4);
        List<MessageQueue> queues = context.queues(topic);
        Set<String> locations = new HashSet<>();
        for (int number = 0; number < 10; number++) {
            for (MessageQueue queue : queues) {
                Message message = Context.message(topic, queue.getQueueId() + "/" + number);
                SendResult result = context.producer().send(message, queue);
                Check.same(SendStatus.SEND_OK, result.getSendStatus(), "status");
                Check.same(queue, result.getMessageQueue(), "queue of the result");
                Check.same((long) number, result.getQueueOffset(), "queue offset");
                // made by the client from its own address, which may be an IPv6 one
                int length = result.getMsgId().length();
                Check.that(length == 32 || length == 56, "length of msgId " + result.getMsgId());
                Check.same(32, result.getOffsetMsgId().length(), "length of " + result.getOffsetMsgId());
                Check.same("DefaultRegion", result.getRegionId(), "region");
                Check.that(locations.add(result.getOffsetMsgId()), "offsetMsgId twice");
            }
        }
        int[] counts = new int[queues.size()];
        for (int number = 0; number < 40; number++) {
            SendResult result = context.producer().send(Context.message(topic, "any/" + number));
            int id = result.getMessageQueue().getQueueId();
            Check.same(10L + counts[id], result.getQueueOffset(), "queue offset of queue " + id);
            counts[id]++;
        }
        Check.same("[10, 10, 10, 10]", Arrays.toString(counts), "messages a queue, in turn");
        for (MessageQueue queue : queues) {
            List<MessageExt> stored = context.drain(queue, 20);
            for (int number = 0; number < 10; number++) {
                Check.same(queue.getQueueId() + "/" + number, Context.text(stored.get(number)), "body");
            }
            for (MessageExt message : stored.subList(10, 20)) {
                Check.that(Context.text(message).startsWith("any/"), "body " + Context.text(message));
            }
        }
    }

    static void async(Context context) throws Exception {
        String topic = context.topic(4);
        int count = 100;
        CountDownLatch done = new CountDownLatch(count);
        Map<String, SendResult> results = Collections.synchronizedMap(new HashMap<>());
        List<Throwable> failures = Collections.synchronizedList(new ArrayList<>());
        for (int number = 0; number < count; number++) {
            String body = "async " + number;
            context.producer().send(Context.message(topic, body), new SendCallback() {
                @Override
                public void onSuccess(SendResult result) {
                    results.put(body, result);
                    done.countDown();
                }

                @Override
                public void onException(Throwable e) {
                    failures.add(e);
                    done.countDown();
                }
            });
        }
        Check.that(done.await(15, TimeUnit.SECONDS), done.getCount() + " callbacks did not come");
        Check.same(List.of(), failures, "failures");
        Check.same(count, results.size(), "results");
        int found = 0;
        for (MessageQueue queue : context.queues(topic)) {
            int size = (int) results.values().stream().filter(r -> r.getMessageQueue().equals(queue)).count();
            for (MessageExt message : context.drain(queue, size)) {
                SendResult result = results.get(Context.text(message));
                Check.same(queue, result.getMessageQueue(), "queue of " + Context.text(message));
                Check.same(message.getQueueOffset(), result.getQueueOffset(), "offset of " + Context.text(message));
                found++;
            }
        }
        Check.same(count, found, "stored messages");
    }

    static void oneway(Context context) throws Exception {
        String topic = context.topic(2);
        TreeSet<String> sent = new TreeSet<>();
        for (int number = 0; number < 20; number++) {
            context.producer().sendOneway(Context.message(topic, "oneway " + number));
            sent.add("oneway " + number);
        }
        Context.await("20 messages", 10, () -> context.total(topic) == 20);
        TreeSet<String> stored = new TreeSet<>();
        for (MessageQueue queue : context.queues(topic)) {
            int size = (int) context.puller().maxOffset(queue);
            context.drain(queue, size).forEach(message -> stored.add(Context.text(message)));
        }
        Check.same(sent, stored, "stored messages");
    }

    static void threads(Context context) throws Exception {
        String topic = context.topic(8);
        int threads = 8;
        int each = 200;
        Set<String> places = Collections.synchronizedSet(new HashSet<>());
        List<Throwable> failures = Collections.synchronizedList(new ArrayList<>());
        List<Thread> all = new ArrayList<>();
        for (int thread = 0; thread < threads; thread++) {
            int number = thread;
            MessageQueue queue = context.queues(topic).get(thread);
            all.add(new Thread(() -> {
                try {
                    for (int index = 0; index < each; index++) {
                        SendResult result = context.producer().send(Context.message(topic, number + "/" + index), queue);
                        Check.same((long) index, result.getQueueOffset(), "queue offset");
                        places.add(result.getOffsetMsgId());
                    }
                } catch (Throwable e) {
                    failures.add(e);
                }
            }));
        }
        all.forEach(Thread::start);
        for (Thread thread : all) {
            thread.join();
        }
        Check.same(List.of(), failures, "failures");
        Check.same(threads * each, places.size(), "different offsetMsgIds");
        for (MessageQueue queue : context.queues(topic)) {
            List<MessageExt> stored = context.drain(queue, each);
            for (int index = 0; index < each; index++) {
                Check.same(queue.getQueueId() + "/" + index, Context.text(stored.get(index)), "order of one sender");
            }
        }
    }

    static void bigCompressed(Context context) throws Exception {
        String topic = context.topic(1);
        byte[] body = "All work and no play makes Jack a dull boy. ".repeat(24_000)
            .getBytes(StandardCharsets.UTF_8);
        Check.atLeast(1 << 20, body.length, "bytes of the body");
        SendResult result = context.producer().send(new Message(topic, body));
        Check.same(SendStatus.SEND_OK, result.getSendStatus(), "status");
        MessageExt stored = context.drain(context.queue(topic), 1).get(0);
        Check.bytes(body, stored.getBody(), "body");
        Check.atMost(100_000, stored.getStoreSize(), "bytes of the stored record");
    }

    static void bigIncompressible(Context context) throws Exception {
        String topic = context.topic(1);
        Random random = new Random(7);
        List<byte[]> bodies = new ArrayList<>();
        for (int size : new int[] {3_900_000, 1, 65_536, 4096, 4095, 4097, 1_000_003}) {
            byte[] body = new byte[size];
            random.nextBytes(body);
            bodies.add(body);
            SendResult result = context.producer().send(new Message(topic, body));
            Check.same(SendStatus.SEND_OK, result.getSendStatus(), "status at " + size + " bytes");
        }
        List<MessageExt> stored = context.drain(context.queue(topic), bodies.size());
        for (int index = 0; index < bodies.size(); index++) {
            Check.bytes(bodies.get(index), stored.get(index).getBody(), "body " + index);
        }
    }

    static void properties(Context context) throws Exception {
        String topic = context.topic(1);
        Message message = new Message(topic, "Stra\u00dfe", "schl\u00fcssel \u9375 key3",
            "\u6d88\u606f \ud83d\ude80".getBytes(StandardCharsets.UTF_8));
        Map<String, String> own = new HashMap<>();
        own.put("gr\u00f6\u00dfe", "\u00fcber \u4e2d\u6587 \ud83d\ude00 \"quoted\" {\\} \n\t'x'");
        own.put("number", "-12.5e3");
        own.put("long", "x".repeat(20_000));
        own.forEach(message::putUserProperty);
        message.setFlag(0x7abc_def1);
        long before = System.currentTimeMillis();
        SendResult result = context.producer().send(message);
        MessageExt stored = context.drain(context.queue(topic), 1).get(0);
        Check.same("\u6d88\u606f \ud83d\ude80", Context.text(stored), "body");
        Check.same("Stra\u00dfe", stored.getTags(), "tag");
        Check.same("schl\u00fcssel \u9375 key3", stored.getKeys(), "keys");
        own.forEach((name, value) -> Check.same(value, stored.getUserProperty(name), "property " + name));
        Check.same(0x7abc_def1, stored.getFlag(), "flag");
        Check.same(result.getMsgId(), stored.getProperty("UNIQ_KEY"), "UNIQ_KEY");
        Check.same(result.getOffsetMsgId(), ((MessageClientExt) stored).getOffsetMsgId(), "offsetMsgId");
        Check.same(0, stored.getReconsumeTimes(), "reconsumeTimes");
        Check.same(null, stored.getProperty("WAIT"), "WAIT");
        Check.that(stored.getProperty("CLUSTER") != null, "no CLUSTER property");
        long slack = 5_000;
        Check.that(Math.abs(stored.getBornTimestamp() - before) < slack, "born " + stored.getBornTimestamp());
        Check.that(Math.abs(stored.getStoreTimestamp() - before) < slack, "stored " + stored.getStoreTimestamp());
        Check.that(stored.getBornHostString() != null, "no born host");
    }

    static void autoCreate(Context context) throws Exception {
        String topic = context.topicName("");
        for (int number = 0; number < 8; number++) {
            SendResult result = context.producer().send(Context.message(topic, "auto " + number));
            Check.same(SendStatus.SEND_OK, result.getSendStatus(), "status");
        }
        Context.await("route with 4 queues", 10, () -> {
            try {
                return context.producer().fetchPublishMessageQueues(topic).size() == 4;
            } catch (MQClientException e) {
                return false;
            }
        });
        Context.await("8 messages", 10, () -> context.total(topic) == 8);
    }
}
