package clients;

import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.MessageSelector;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.common.message.Message;

/** Push consumers that name by an SQL92 expression what they want. */
final class FilterScenarios {
    private FilterScenarios() {
    }

    static void sql92(Context context) throws Exception {
        String topic = context.topic(2);
        Map<String, Inbox> inboxes = new TreeMap<>();
        String[] expressions = {"price between 5 and 9", "region = 'north' and TAGS is not null", "price > 100"};
        for (int index = 0; index < expressions.length; index++) {
            Inbox inbox = new Inbox();
            DefaultMQPushConsumer consumer = context.pushConsumer(context.group("_sql" + index));
            consumer.subscribe(topic, MessageSelector.bySql(expressions[index]));
            consumer.registerMessageListener((MessageListenerConcurrently) (messages, c) -> {
                inbox.addAll(messages, "");
                return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            });
            consumer.start();
            inboxes.put(expressions[index], inbox);
        }
        Set<String> cheap = new TreeSet<>();
        Set<String> north = new TreeSet<>();
        for (int number = 0; number < 60; number++) {
            String body = "sql " + number;
            Message message = Context.message(topic, number % 4 == 0 ? "tag" : "", body);
            int price = number % 20;
            message.putUserProperty("price", Integer.toString(price));
            message.putUserProperty("region", number % 3 == 0 ? "north" : "south");
            context.producer().send(message);
            if (price >= 5 && price <= 9) {
                cheap.add(body);
            }
            if (number % 3 == 0 && number % 4 == 0) {
                north.add(body);
            }
        }
        inboxes.get(expressions[0]).awaitExactly(cheap, 25, 200);
        inboxes.get(expressions[1]).awaitExactly(north, 25, 200);
        Check.same(0, inboxes.get(expressions[2]).all().size(), "messages that cost more than 100");
    }
}
