import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.rocketmq.acl.common.AclClientRPCHook;
import org.apache.rocketmq.acl.common.SessionCredentials;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.remoting.RPCHook;

/**
 * Sends with RocketMQ's own client, by as many threads as are asked for, what one feature needs, and counts:
 * NAME_SERVER FEATURE THREADS BYTES WARMUP_SECONDS SECONDS ACCESS_KEY SECRET_KEY. Prints `begin` when the warm-up is
 * over, and at the end `end MESSAGES FAILED P50_US P99_US`. TLS is switched on by the client's own property.
 */
public final class Load {
    private static final String GROUP = "compare_producer";
    private static final String TOPIC = "CompareFeature";

    private static volatile boolean measured;
    private static volatile boolean over;

    public static void main(String[] words) throws Exception {
        String feature = words[1];
        int threads = Integer.parseInt(words[2]);
        byte[] body = new byte[Integer.parseInt(words[3])];
        RPCHook hook = feature.equals("acl") ? new AclClientRPCHook(new SessionCredentials(words[6], words[7])) : null;
        DefaultMQProducer producer = feature.equals("transactions")
            ? transactional() : new DefaultMQProducer(GROUP, hook, feature.equals("trace"), null);
        producer.setNamesrvAddr(words[0]);
        producer.setCompressMsgBodyOverHowmuch(Integer.MAX_VALUE);
        producer.start();
        AtomicLong failed = new AtomicLong();
        ConcurrentLinkedQueue<List<Long>> times = new ConcurrentLinkedQueue<>();
        List<Thread> all = new ArrayList<>();
        for (int number = 0; number < threads; number++) {
            Thread thread = new Thread(() -> times.add(send(producer, feature, body, failed)));
            thread.start();
            all.add(thread);
        }
        Thread.sleep(Long.parseLong(words[4]) * 1000);
        measured = true;
        System.out.println("begin");
        Thread.sleep(Long.parseLong(words[5]) * 1000);
        over = true;
        long count = 0;
        for (Thread thread : all) {
            thread.join();
        }
        List<Long> sorted = new ArrayList<>();
        times.forEach(sorted::addAll);
        sorted.sort(null);
        count = sorted.size();
        long p50 = count == 0 ? 0 : sorted.get((int) (count / 2)) / 1000;
        long p99 = count == 0 ? 0 : sorted.get((int) (count * 99 / 100)) / 1000;
        System.out.println("end " + count + " " + failed + " " + p50 + " " + p99);
        System.out.flush();
        Runtime.getRuntime().halt(0);
    }

    private static List<Long> send(DefaultMQProducer producer, String feature, byte[] body, AtomicLong failed) {
        List<Long> times = new ArrayList<>();
        while (!over) {
            Message message = new Message(TOPIC, body);
            if (feature.equals("delay")) {
                message.setDelayTimeLevel(1);
            }
            long began = System.nanoTime();
            try {
                SendResult result = feature.equals("transactions")
                    ? producer.sendMessageInTransaction(message, null) : producer.send(message);
                if (result.getSendStatus() != SendStatus.SEND_OK) {
                    throw new IllegalStateException(result.toString());
                }
                if (measured && !over) {
                    times.add(System.nanoTime() - began);
                }
            } catch (Exception failure) {
                if (failed.getAndIncrement() == 0) {
                    failure.printStackTrace();
                }
            }
        }
        return times;
    }

    private static TransactionMQProducer transactional() {
        TransactionMQProducer producer = new TransactionMQProducer(GROUP);
        producer.setTransactionListener(new TransactionListener() {
            @Override
            public LocalTransactionState executeLocalTransaction(Message message, Object argument) {
                return LocalTransactionState.COMMIT_MESSAGE;
            }

            @Override
            public LocalTransactionState checkLocalTransaction(MessageExt message) {
                return LocalTransactionState.COMMIT_MESSAGE;
            }
        });
        return producer;
    }
}
