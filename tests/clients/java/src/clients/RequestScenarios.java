package clients;

import java.nio.charset.StandardCharsets;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.exception.RequestTimeoutException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.RequestCallback;
import org.apache.rocketmq.client.utils.MessageUtil;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Request-reply: a producer waits for the answer of a consumer. */
final class RequestScenarios {
    private static final int ANSWER_MS_MAX = 20_000;

    private RequestScenarios() {
    }

    static void requestReply(Context context) throws Exception {
        String topic = context.topic(4);
        DefaultMQProducer answering = context.newProducer();
        AtomicReference<Throwable> failure = new AtomicReference<>();
        DefaultMQPushConsumer consumer = context.pushConsumer(context.group(""));
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, c) -> {
            for (MessageExt message : messages) {
                String text = Context.text(message);
                if (text.startsWith("ignore")) {
                    continue;
                }
                try {
                    byte[] body = ("re: " + text).getBytes(StandardCharsets.UTF_8);
                    answering.send(MessageUtil.createReplyMessage(message, body));
                } catch (Exception e) {
                    failure.compareAndSet(null, e);
                }
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        String large = "x".repeat(100_000);
        // the 5.3.3 client stops waiting when the request is stored, unless the answer was faster
        for (int number = 0; number < 20 && !Context.isGeneration5(); number++) {
            String body = number == 10 ? large : "sync " + number;
            Message answer = context.producer().request(Context.message(topic, body), ANSWER_MS_MAX);
            Check.same("re: " + body, Context.text(answer), "answer");
        }
        for (int number = 0; number < 20; number++) {
            CompletableFuture<Message> answer = new CompletableFuture<>();
            String body = "async " + number;
            context.producer().request(Context.message(topic, body), new RequestCallback() {
                @Override
                public void onSuccess(Message message) {
                    // both clients call it with nothing when the request is stored
                    if (message != null) {
                        answer.complete(message);
                    }
                }

                @Override
                public void onException(Throwable e) {
                    answer.completeExceptionally(e);
                }
            }, ANSWER_MS_MAX);
            Message got = answer.get(ANSWER_MS_MAX, TimeUnit.MILLISECONDS);
            Check.same("re: " + body, Context.text(got), "answer");
        }
        try {
            context.producer().request(Context.message(topic, "ignore this"), 500);
            throw new AssertionError("an answer that nobody sent");
        } catch (RequestTimeoutException expected) {
            Check.that(expected.getMessage().contains("timeout"), "text " + expected.getMessage());
        }
        if (failure.get() != null) {
            throw new AssertionError("a reply was refused", failure.get());
        }
    }
}
