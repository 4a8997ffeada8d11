import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.lang.reflect.Field;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.store.OffsetStore;
import org.apache.rocketmq.client.consumer.store.ReadOffsetType;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * Runs mqadmin's sub-commands one after another in one process, and has members online that they see.
 *
 * Reads lines from the standard input: seconds, TAB, the arguments with a TAB between two. Answers each with a
 * line "exit code, blank, bytes" and so many bytes: what the command wrote to both its outputs. A command that
 * is not over after its seconds is interrupted (exit code 124), one that calls System.exit only ends itself.
 */
public class Commands {
    private static final String STARTUP = "org.apache.rocketmq.tools.command.MQAdminStartup";
    private static final String TOPIC = "AdminTopic";
    private static final String CONSUMERS = "AdminConsumers";
    private static final String PRODUCERS = "AdminProducers";
    private static final int MESSAGES_OF_A_QUEUE = 3;
    private static final int BROKERS = 2;

    private static final AtomicInteger consumed = new AtomicInteger();
    private static DefaultMQProducer producer;
    private static DefaultMQPushConsumer consumer;

    /** Thrown instead of ending the process; no command catches it. */
    private static class Exit extends Error {
        final int code;

        Exit(int code) {
            super("exit " + code, null, false, false);
            this.code = code;
        }
    }

    @SuppressWarnings("removal")
    private static class NoExit extends SecurityManager {
        @Override
        public void checkExit(int status) {
            throw new Exit(status);
        }

        @Override
        public void checkPermission(java.security.Permission permission) {
        }
    }

    @SuppressWarnings("removal")
    public static void main(String[] arguments) throws Exception {
        PrintStream answers = System.out;
        System.setSecurityManager(new NoExit());
        DataInputStream requests = new DataInputStream(System.in);
        for (String line; (line = requests.readLine()) != null; ) {
            String[] parts = line.split("\t", -1);
            ByteArrayOutputStream written = new ByteArrayOutputStream();
            PrintStream capture = new PrintStream(written, true, "UTF-8");
            System.setOut(capture);
            System.setErr(capture);
            int code = run(Arrays.copyOfRange(parts, 1, parts.length), Integer.parseInt(parts[0]));
            byte[] bytes;
            synchronized (capture) {
                capture.flush();
                bytes = written.toByteArray();
            }
            answers.print(code + " " + bytes.length + "\n");
            answers.write(bytes);
            answers.flush();
        }
        Runtime.getRuntime().halt(0);
    }

    private static int run(String[] arguments, int seconds) throws InterruptedException {
        int[] code = {0};
        Thread thread = new Thread(() -> {
            try {
                if (arguments.length > 0 && arguments[0].startsWith("!")) {
                    member(arguments);
                } else {
                    mqadmin(arguments);
                }
            } catch (Exit exit) {
                code[0] = exit.code;
            } catch (Throwable problem) {
                code[0] = 1;
                problem.printStackTrace();
            }
        });
        thread.setDaemon(true);
        thread.start();
        if (ends(thread, seconds)) {
            return code[0];
        }
        thread.interrupt();
        ends(thread, seconds);
        return 124;
    }

    /** Clients of 5.x wait up to 3 s for a thread of their own that waits for events: it is woken. */
    private static boolean ends(Thread thread, int seconds) throws InterruptedException {
        long end = System.nanoTime() + seconds * 1_000_000_000L;
        while (thread.isAlive() && System.nanoTime() < end) {
            thread.join(20);
            for (StackTraceElement frame : thread.getStackTrace()) {
                if (frame.getClassName().endsWith(".ServiceThread") && frame.getMethodName().equals("shutdown")) {
                    Thread.getAllStackTraces().keySet().stream()
                        .filter(other -> other.getName().startsWith("NettyEventExecutor")).forEach(Thread::interrupt);
                }
            }
        }
        return !thread.isAlive();
    }

    private static void mqadmin(String[] arguments) throws Throwable {
        Class<?> startup = Class.forName(STARTUP);
        for (Field field : startup.getDeclaredFields()) {
            if (field.getType() == List.class) {
                // Each run adds all commands again.
                field.setAccessible(true);
                ((Collection<?>) field.get(null)).clear();
            }
        }
        Method main = startup.getMethod("main", String[].class);
        try {
            main.invoke(null, (Object) arguments);
        } catch (InvocationTargetException problem) {
            throw problem.getCause();
        }
    }

    private static void member(String[] arguments) throws Exception {
        switch (arguments[0]) {
            case "!produce":
                produce(arguments[1]);
                break;
            case "!consume":
                consume(arguments[1]);
                break;
            case "!await":
                await(Integer.parseInt(arguments[1]));
                break;
            default:
                throw new IllegalArgumentException(arguments[0]);
        }
    }

    /** Three messages into each queue; those in the first queue of each broker go to the dead letters. */
    private static void produce(String namesrv) throws Exception {
        producer = new DefaultMQProducer(PRODUCERS);
        producer.setNamesrvAddr(namesrv);
        producer.setClientIP("127.0.0.1");
        producer.setInstanceName("member");
        // Both members share a client, which has these of the first.
        producer.setPollNameServerInterval(1000);
        producer.setHeartbeatBrokerInterval(1000);
        producer.start();
        List<MessageQueue> queues = new ArrayList<>(producer.fetchPublishMessageQueues(TOPIC));
        queues.sort(null);
        int number = 0;
        for (MessageQueue queue : queues) {
            for (int i = 0; i < MESSAGES_OF_A_QUEUE; i++) {
                String tag = queue.getQueueId() == 0 && i == 0 ? "dead" : queue.getQueueId() == 1 && i == 0 ? "again" : "good";
                byte[] body = ("message " + number).getBytes(StandardCharsets.UTF_8);
                Message message = new Message(TOPIC, tag, "key-" + number, body);
                message.setWaitStoreMsgOK(true);
                SendResult result = producer.send(message, queue);
                if (number == 1) {
                    System.out.printf("id=%s%noffsetId=%s%n", result.getMsgId(), result.getOffsetMsgId());
                }
                number++;
            }
        }
        System.out.printf("sent %d%n", number);
    }

    private static void consume(String namesrv) throws Exception {
        consumer = new DefaultMQPushConsumer(CONSUMERS);
        consumer.setNamesrvAddr(namesrv);
        consumer.setClientIP("127.0.0.1");
        consumer.setInstanceName("member");
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setPersistConsumerOffsetInterval(500);
        consumer.setConsumeThreadMin(2);
        consumer.setConsumeThreadMax(2);
        consumer.setMaxReconsumeTimes(1);
        consumer.subscribe(TOPIC, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            for (MessageExt message : messages) {
                boolean dead = "dead".equals(message.getTags());
                boolean later = dead || "again".equals(message.getTags()) && message.getReconsumeTimes() == 0;
                if (later) {
                    // 1 s
                    context.setDelayLevelWhenNextConsume(dead ? -1 : 1);
                    return ConsumeConcurrentlyStatus.RECONSUME_LATER;
                }
            }
            consumed.addAndGet(messages.size());
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
    }

    /** Until so many messages are consumed, and what was consumed is what the brokers know. */
    private static void await(int messages) throws Exception {
        String behind = "";
        try {
            while (!(behind = behind()).isEmpty() || consumed.get() < messages) {
                Thread.sleep(20);
            }
        } catch (InterruptedException problem) {
            System.out.printf("consumed %d, %s%n", consumed.get(), behind);
        }
    }

    /** What the consumer has not reached yet. */
    private static String behind() throws Exception {
        Set<MessageQueue> queues = consumer.getDefaultMQPushConsumerImpl().getRebalanceImpl().getProcessQueueTable().keySet();
        int retries = 0;
        OffsetStore offsets = consumer.getOffsetStore();
        for (MessageQueue queue : queues) {
            long offset = offsets.readOffset(queue, ReadOffsetType.READ_FROM_MEMORY);
            if (offset < producer.maxOffset(queue)) {
                return queue + " at " + offset;
            }
            offsets.updateConsumeOffsetToBroker(queue, offset, false);
            retries += queue.getTopic().startsWith("%RETRY%") ? 1 : 0;
        }
        return retries == BROKERS ? "" : "retry queues of " + retries + " brokers";
    }
}
