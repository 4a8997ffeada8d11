package clients;

import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.Map;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.spring.annotation.ConsumeMode;
import org.apache.rocketmq.spring.annotation.RocketMQMessageListener;
import org.apache.rocketmq.spring.annotation.RocketMQTransactionListener;
import org.apache.rocketmq.spring.annotation.SelectorType;
import org.apache.rocketmq.spring.core.RocketMQListener;
import org.apache.rocketmq.spring.core.RocketMQLocalTransactionListener;
import org.apache.rocketmq.spring.core.RocketMQLocalTransactionState;
import org.springframework.messaging.Message;
import org.springframework.stereotype.Component;

/** What the application listens to; each puts aside what it got. */
final class Listeners {
    private Listeners() {
    }

    static final class Order {
        public String id;
        public int amount;

        public Order() {
        }

        Order(String id, int amount) {
            this.id = id;
            this.amount = amount;
        }
    }

    @Component
    @RocketMQMessageListener(topic = "spring_text_${clients.run}", consumerGroup = "spring_text_${clients.run}",
        tlsEnable = "${tls.enable:false}",
        selectorExpression = "wanted || also")
    static class Texts implements RocketMQListener<String> {
        final BlockingQueue<String> got = new LinkedBlockingQueue<>();

        @Override
        public void onMessage(String text) {
            got.add(text);
        }
    }

    @Component
    @RocketMQMessageListener(topic = "spring_order_${clients.run}", consumerGroup = "spring_order_${clients.run}",
        tlsEnable = "${tls.enable:false}",
        consumeMode = ConsumeMode.ORDERLY)
    static class Orders implements RocketMQListener<Order> {
        final BlockingQueue<Order> got = new LinkedBlockingQueue<>();

        @Override
        public void onMessage(Order order) {
            got.add(order);
        }
    }

    @Component
    @RocketMQMessageListener(topic = "spring_sql_${clients.run}", consumerGroup = "spring_sql_${clients.run}",
        tlsEnable = "${tls.enable:false}",
        selectorType = SelectorType.SQL92, selectorExpression = "amount > 10")
    static class Selected implements RocketMQListener<MessageExt> {
        final BlockingQueue<MessageExt> got = new LinkedBlockingQueue<>();

        @Override
        public void onMessage(MessageExt message) {
            got.add(message);
        }
    }

    /** Fails the first time, so that the broker brings each message again. */
    @Component
    @RocketMQMessageListener(topic = "spring_retry_${clients.run}", consumerGroup = "spring_retry_${clients.run}",
        tlsEnable = "${tls.enable:false}",
        delayLevelWhenNextConsume = 1)
    static class Retried implements RocketMQListener<MessageExt> {
        final BlockingQueue<Integer> times = new LinkedBlockingQueue<>();

        @Override
        public void onMessage(MessageExt message) {
            times.add(message.getReconsumeTimes());
            if (message.getReconsumeTimes() == 0) {
                throw new IllegalStateException("not yet");
            }
        }
    }

    @Component
    @RocketMQMessageListener(topic = "spring_tx_${clients.run}", consumerGroup = "spring_tx_${clients.run}",
        tlsEnable = "${tls.enable:false}")
    static class Decided implements RocketMQListener<String> {
        final BlockingQueue<String> got = new LinkedBlockingQueue<>();

        @Override
        public void onMessage(String text) {
            got.add(text);
        }
    }

    /** Commits, rolls back, or lets the broker ask, as the body says. */
    @RocketMQTransactionListener
    static class Transactions implements RocketMQLocalTransactionListener {
        static final Map<String, Boolean> ASKED = new ConcurrentHashMap<>();

        private static String text(Message<?> message) {
            Object payload = message.getPayload();
            return payload instanceof byte[] ? new String((byte[]) payload) : String.valueOf(payload);
        }

        @Override
        public RocketMQLocalTransactionState executeLocalTransaction(Message message, Object argument) {
            if (text(message).startsWith("commit")) {
                return RocketMQLocalTransactionState.COMMIT;
            }
            return text(message).startsWith("rollback")
                ? RocketMQLocalTransactionState.ROLLBACK : RocketMQLocalTransactionState.UNKNOWN;
        }

        @Override
        public RocketMQLocalTransactionState checkLocalTransaction(Message message) {
            ASKED.put(text(message), true);
            return RocketMQLocalTransactionState.COMMIT;
        }
    }
}
