package clients;

import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Function;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.client.producer.TransactionSendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Transactions: what is known at once, what the broker has to ask for, and asks whom. */
final class TransactionScenarios {
    private static final int CHECKED_WITHIN_SECONDS = 45;

    private TransactionScenarios() {
    }

    private static TransactionMQProducer transactionProducer(
        Context context, String group, TransactionListener listener) throws Exception {
        TransactionMQProducer made = new TransactionMQProducer(group, Accounts.own());
        context.prepare(made, made::shutdown);
        made.setSendMsgTimeout(10_000);
        made.setTransactionListener(listener);
        made.start();
        return made;
    }

    /** Says at once what `atOnce` says, and when it is asked what `asked` says. */
    private record Listener(Function<Message, LocalTransactionState> atOnce,
        Function<MessageExt, LocalTransactionState> asked) implements TransactionListener {
        @Override
        public LocalTransactionState executeLocalTransaction(Message message, Object argument) {
            return atOnce.apply(message);
        }

        @Override
        public LocalTransactionState checkLocalTransaction(MessageExt message) {
            return asked.apply(message);
        }
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

    private static void send(TransactionMQProducer producer, String topic, String body) throws Exception {
        Message message = Context.message(topic, "even", body);
        TransactionSendResult result = producer.sendMessageInTransaction(message, null);
        Check.same(SendStatus.SEND_OK, result.getSendStatus(), "status of " + body);
    }

    /** The listener of the tutorials: it does not know at first, and some it never commits. */
    static void transactions(Context context) throws Exception {
        String topic = context.topic(4);
        Inbox inbox = consume(context, topic);
        Map<String, Integer> checks = new ConcurrentHashMap<>();
        Listener listener = new Listener(message -> {
            String body = Context.text(message);
            return body.startsWith("commit") ? LocalTransactionState.COMMIT_MESSAGE
                : body.startsWith("rollback") ? LocalTransactionState.ROLLBACK_MESSAGE
                : LocalTransactionState.UNKNOW;
        }, message -> {
            String body = Context.text(message);
            int times = checks.merge(body, 1, Integer::sum);
            Check.same(String.valueOf(times), message.getUserProperty("TRANSACTION_CHECK_TIMES"), "times");
            Check.same(topic, message.getTopic(), "topic of a check");
            if (times == 1) {
                return LocalTransactionState.UNKNOW;
            }
            return body.startsWith("later commit") ? LocalTransactionState.COMMIT_MESSAGE
                : LocalTransactionState.ROLLBACK_MESSAGE;
        });
        TransactionMQProducer producer = transactionProducer(context, context.group("_tx"), listener);
        Set<String> committed = new TreeSet<>();
        for (int number = 0; number < 20; number++) {
            for (String kind : new String[] {"commit ", "rollback ", "later commit ", "later rollback "}) {
                send(producer, topic, kind + number);
                if (kind.endsWith("commit ")) {
                    committed.add(kind + number);
                }
            }
        }
        inbox.awaitExactly(committed, CHECKED_WITHIN_SECONDS, 6_000);
        for (Inbox.Item item : inbox.all()) {
            Check.same("even", item.message().getTags(), "tags");
            Check.that(item.message().getPreparedTransactionOffset() > 0, "prepared offset");
        }
        Check.same(40, checks.size(), "transactions that were asked for");
    }

    /** Whoever is there is asked: another process of the producer's group. */
    static void checkAfterRestart(Context context) throws Exception {
        String topic = context.topic(4);
        Inbox inbox = consume(context, topic);
        String group = context.group("_tx");
        Listener silent = new Listener(message -> LocalTransactionState.UNKNOW,
            message -> LocalTransactionState.UNKNOW);
        TransactionMQProducer first = transactionProducer(context, group, silent);
        Set<String> sent = new TreeSet<>();
        for (int number = 0; number < 20; number++) {
            send(first, topic, "lost " + number);
            sent.add("lost " + number);
        }
        first.shutdown();
        Listener knowing = new Listener(message -> LocalTransactionState.UNKNOW,
            message -> LocalTransactionState.COMMIT_MESSAGE);
        TransactionMQProducer second = transactionProducer(context, group, knowing);
        // a producer that has sent nothing knows no broker, and sends no heartbeat
        second.getDefaultMQProducerImpl().getmQClientFactory()
            .updateTopicRouteInfoFromNameServer(topic);
        second.getDefaultMQProducerImpl().getmQClientFactory().sendHeartbeatToAllBrokerWithLock();
        inbox.awaitExactly(sent, CHECKED_WITHIN_SECONDS, 6_000);
    }
}
