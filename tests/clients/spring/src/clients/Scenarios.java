package clients;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.spring.core.RocketMQTemplate;
import org.springframework.beans.factory.annotation.Autowired;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.messaging.support.MessageBuilder;
import org.springframework.stereotype.Component;

/** What the application's template sends, and its listeners get. */
@Component
class Scenarios {
    /** A consumer of a client 5.x now and then begins only after 20 s, with any broker. */
    private static final int SECONDS_MAX = 60;

    @Autowired private RocketMQTemplate template;
    @Autowired private Listeners.Texts texts;
    @Autowired private Listeners.Orders orders;
    @Autowired private Listeners.Selected selected;
    @Autowired private Listeners.Retried retried;
    @Autowired private Listeners.Decided decided;
    @Value("${clients.run}") private String run;

    Map<String, Main.Scenario> all() {
        Map<String, Main.Scenario> all = new LinkedHashMap<>();
        all.put("tags", this::tags);
        all.put("orderly", this::orderly);
        all.put("sql92", this::sql92);
        all.put("retry_and_delay", this::retryAndDelay);
        all.put("transaction", this::transaction);
        return all;
    }

    private static <T> T next(BlockingQueue<T> got, String what) throws InterruptedException {
        T found = got.poll(SECONDS_MAX, TimeUnit.SECONDS);
        same(true, found != null, what + " within " + SECONDS_MAX + " s");
        return found;
    }

    private static void same(Object expected, Object found, String what) {
        if (!expected.equals(found)) {
            throw new AssertionError(what + ": " + expected + " expected, " + found + " found");
        }
    }

    private void tags() throws Exception {
        String topic = "spring_text_" + run;
        for (String tag : new String[] {"wanted", "other", "also"}) {
            SendResult result = template.syncSend(topic + ":" + tag, "text " + tag);
            same(SendStatus.SEND_OK, result.getSendStatus(), "status");
        }
        TreeSet<String> got = new TreeSet<>();
        got.add(next(texts.got, "a message with a tag"));
        got.add(next(texts.got, "another message with a tag"));
        same("[text also, text wanted]", got.toString(), "texts");
        same(0, texts.got.size(), "more texts");
    }

    private void orderly() throws Exception {
        for (int number = 0; number < 20; number++) {
            template.syncSendOrderly("spring_order_" + run, new Listeners.Order("a", number), "one key");
        }
        for (int number = 0; number < 20; number++) {
            Listeners.Order order = next(orders.got, "order " + number);
            same("a" + number, order.id + order.amount, "order");
        }
    }

    private void sql92() throws Exception {
        for (int amount : new int[] {5, 15}) {
            template.syncSend("spring_sql_" + run,
                MessageBuilder.withPayload("amount " + amount).setHeader("amount", amount).build());
        }
        MessageExt found = next(selected.got, "the selected message");
        same("amount 15", new String(found.getBody()), "body");
        same(0, selected.got.size(), "more messages");
    }

    private void retryAndDelay() throws Exception {
        long began = System.nanoTime();
        template.syncSend("spring_retry_" + run, MessageBuilder.withPayload("again").build(), 10_000, 2);
        same(0, next(retried.times, "the delayed message"), "times");
        same(true, System.nanoTime() - began >= 5_000_000_000L, "not before the 5 s of level 2");
        same(1, next(retried.times, "the message again"), "times");
    }

    private void transaction() throws Exception {
        String topic = "spring_tx_" + run;
        for (String text : new String[] {"rollback", "commit", "unknown"}) {
            template.sendMessageInTransaction(topic, MessageBuilder.withPayload(text).build(), null);
        }
        // In different queues: whoever begins late finds both, in any order.
        Set<String> found = new TreeSet<>();
        found.add(next(decided.got, "a message that was committed"));
        found.add(next(decided.got, "another message that was committed"));
        same("[commit, unknown]", found.toString(), "messages");
        same(true, Listeners.Transactions.ASKED.containsKey("unknown"), "asked");
        same(0, decided.got.size(), "more messages");
    }
}
