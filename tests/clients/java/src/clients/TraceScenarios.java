package clients;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragely;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.trace.TraceContext;
import org.apache.rocketmq.client.trace.TraceDataEncoder;
import org.apache.rocketmq.client.trace.TraceType;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** The trace of messages as the hooks of the clients write it and consoles look it up. */
final class TraceScenarios {
    private static final String TRACE_TOPIC = "RMQ_SYS_TRACE_TOPIC";
    private static final int COUNT = 20;

    private TraceScenarios() {
    }

    /** In the topic that is there for it. */
    static void trace(Context context) throws Exception {
        traced(context, null, TRACE_TOPIC);
    }

    /** In a topic of the user's own. */
    static void custom(Context context) throws Exception {
        String topic = context.topic("_trace", 2);
        traced(context, topic, topic);
    }

    private static void traced(Context context, String custom, String traceTopic) throws Exception {
        String topic = context.topic(4);
        String group = context.group("");
        DefaultMQProducer producer = new DefaultMQProducer(context.group("_producer"), Accounts.own(), true, custom);
        context.prepare(producer, producer::shutdown);
        producer.start();
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group, Accounts.own(),
            new AllocateMessageQueueAveragely(), true, custom);
        context.prepare(consumer, consumer::shutdown);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setHeartbeatBrokerInterval(2_000);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, ignored) -> {
            inbox.addAll(messages, "one");
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        List<String> ids = new ArrayList<>();
        for (int number = 0; number < COUNT; number++) {
            Message message = Context.message(topic, "tag", "traced " + number);
            message.setKeys("key" + number);
            ids.add(producer.send(message).getMsgId());
        }
        inbox.awaitCount(COUNT, 30);
        for (int number = 0; number < COUNT; number++) {
            String id = ids.get(number);
            String key = "key" + number;
            Context.await("the trace of " + id, 30, () -> of(context, traceTopic, id).size() >= 3);
            List<TraceContext> found = of(context, traceTopic, id);
            for (TraceType type : List.of(TraceType.Pub, TraceType.SubBefore, TraceType.SubAfter)) {
                List<TraceContext> such = found.stream().filter(one -> one.getTraceType() == type).toList();
                Check.same(1, such.size(), type + " of " + id);
                Check.that(such.get(0).isSuccess(), type + " of " + id + " tells of a failure");
                Check.same(key, such.get(0).getTraceBeans().get(0).getKeys(), "keys of " + type);
            }
        }
    }

    /** What is found under the key of a message, as the trace pages of consoles and mqadmin ask. */
    private static List<TraceContext> of(Context context, String traceTopic, String id) throws Exception {
        List<TraceContext> found = new ArrayList<>();
        List<MessageExt> messages;
        try {
            long end = System.currentTimeMillis() + 60_000;
            messages = context.producer().queryMessage(traceTopic, id, 64, 0, end).getMessageList();
        } catch (MQClientException e) {
            return found;
        }
        for (MessageExt message : messages) {
            String text = new String(message.getBody(), StandardCharsets.UTF_8);
            for (TraceContext one : TraceDataEncoder.decoderFromTraceDataString(text)) {
                if (one.getTraceBeans().stream().anyMatch(bean -> id.equals(bean.getMsgId()))) {
                    found.add(one);
                }
            }
        }
        return found;
    }
}
