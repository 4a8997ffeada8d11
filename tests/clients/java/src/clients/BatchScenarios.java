package clients;

import java.util.ArrayList;
import java.util.List;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Batches of messages. */
final class BatchScenarios {
    private BatchScenarios() {
    }

    static void batch(Context context) throws Exception {
        String topic = context.topic(1);
        MessageQueue queue = context.queue(topic);
        for (int round = 0; round < 3; round++) {
            List<Message> batch = new ArrayList<>();
            for (int number = 0; number < 32; number++) {
                Message message = Context.message(topic, "tag" + number % 3, "batch " + round + "/" + number);
                message.setKeys("key" + number);
                message.putUserProperty("round", Integer.toString(round));
                batch.add(message);
            }
            SendResult result = context.producer().send(batch);
            Check.same(SendStatus.SEND_OK, result.getSendStatus(), "status");
            Check.same(round * 32L, result.getQueueOffset(), "offset of the first");
            Check.same(32, result.getOffsetMsgId().split(",").length, "ids in " + result.getOffsetMsgId());
            Check.same(32, result.getMsgId().split(",").length, "ids in " + result.getMsgId());
        }
        List<MessageExt> stored = context.drain(queue, 96);
        for (int index = 0; index < 96; index++) {
            MessageExt message = stored.get(index);
            int number = index % 32;
            Check.same("batch " + index / 32 + "/" + number, Context.text(message), "body");
            Check.same("tag" + number % 3, message.getTags(), "tag");
            Check.same("key" + number, message.getKeys(), "keys");
            Check.same(Integer.toString(index / 32), message.getUserProperty("round"), "user property");
        }
    }
}
