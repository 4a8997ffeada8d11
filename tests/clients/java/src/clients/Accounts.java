package clients;

import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.RPCHook;

/** Accounts of a server that checks them: the one that scenarios run with, and what another may do. */
final class Accounts {
    private static final String ACCESS_KEY = System.getenv("CLIENTS_ACCESS_KEY");
    private static final String SECRET_KEY = System.getenv("CLIENTS_SECRET_KEY");
    private static final String HOOKS = "org.apache.rocketmq.acl.common.";
    /** What the file of the server gives the account "limited". */
    private static final String TOPIC = "AclAllowed";
    private static final String GROUP = "AclGroup";

    private Accounts() {
    }

    static boolean areChecked() {
        return ACCESS_KEY != null;
    }

    /** How requests of scenarios are signed; null: not at all. */
    static RPCHook own() {
        return areChecked() ? hook(ACCESS_KEY, SECRET_KEY) : null;
    }

    /** RocketMQ's own hook, by its name: old clients have none. */
    private static RPCHook hook(String accessKey, String secretKey) {
        try {
            Class<?> credentials = Class.forName(HOOKS + "SessionCredentials");
            Object own = credentials.getConstructor(String.class, String.class).newInstance(accessKey, secretKey);
            return (RPCHook) Class.forName(HOOKS + "AclClientRPCHook").getConstructor(credentials).newInstance(own);
        } catch (ReflectiveOperationException e) {
            throw new AssertionError("this client cannot sign: " + e);
        }
    }

    static void permissions(Context context) throws Exception {
        context.createTopic(TOPIC, 4);
        String other = context.topic(4);
        MessageQueue denied = context.queue(other);
        DefaultMQProducer limited = context.newProducer(hook("limited", SECRET_KEY));
        SendResult sent = limited.send(Context.message(TOPIC, "allowed"));
        Check.same(SendStatus.SEND_OK, sent.getSendStatus(), "status");
        refused(() -> limited.send(Context.message(other, "denied"), denied),
            "AclException: No default permission for topic:" + other);
        DefaultMQProducer unsigned = context.newProducer(null);
        refused(() -> unsigned.send(Context.message(other, "unsigned"), denied),
            "AclException: No accessKey is configured");
        DefaultMQProducer wrong = context.newProducer(hook("limited", "another-key"));
        refused(() -> wrong.send(Context.message(other, "wrong"), denied),
            "AclException: Check signature failed for accessKey=limited");
        Check.same(0L, context.total(other), "messages that were refused");
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = context.pushConsumer(GROUP, hook("limited", SECRET_KEY));
        consumer.subscribe(TOPIC, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, c) -> {
            inbox.addAll(messages, "limited");
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        inbox.awaitCount(1, 30);
        Check.same("allowed", inbox.all().get(0).text(), "body");
    }

    private static void refused(Check.Attempt attempt, String why) throws Exception {
        try {
            attempt.run();
        } catch (MQBrokerException e) {
            Check.same(1, e.getResponseCode(), "code");
            Check.that(e.getErrorMessage().contains(why), "expected " + why + ", got " + e.getErrorMessage());
            return;
        }
        throw new AssertionError("expected " + why + ", it was accepted");
    }
}
