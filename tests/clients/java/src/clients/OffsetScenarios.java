package clients;

import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.common.message.MessageQueue;

/** Consumer offsets that are stored one by one. */
final class OffsetScenarios {
    private OffsetScenarios() {
    }

    static void offsets(Context context) throws Exception {
        MessageQueue queue = PullScenarios.filled(context, 10);
        DefaultMQPullConsumer puller = context.puller();
        puller.updateConsumeOffset(queue, 6);
        puller.getOffsetStore().updateConsumeOffsetToBroker(queue, 6, false);
        Check.same(6L, puller.fetchConsumeOffset(queue, true), "stored offset");
        puller.getOffsetStore().updateConsumeOffsetToBroker(queue, 2, false);
        Check.same(2L, puller.fetchConsumeOffset(queue, true), "stored offset after going back");
        puller.getOffsetStore().updateConsumeOffsetToBroker(queue, 9, true);
        Context.await("offset stored by a one-way request", 10, () -> puller.fetchConsumeOffset(queue, true) == 9);
    }
}
