package clients;

import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.function.Predicate;
import org.apache.rocketmq.common.message.MessageExt;

/** What consumers of a scenario received, in the order in which it came. */
final class Inbox {
    /** A message and when it came, in nanoseconds. */
    record Item(MessageExt message, String consumer, long at) {
        String text() {
            return Context.text(message);
        }
    }

    private final List<Item> items = new ArrayList<>();

    synchronized void add(MessageExt message, String consumer) {
        items.add(new Item(message, consumer, System.nanoTime()));
        notifyAll();
    }

    synchronized void addAll(List<MessageExt> messages, String consumer) {
        messages.forEach(message -> add(message, consumer));
    }

    synchronized List<Item> all() {
        return new ArrayList<>(items);
    }

    List<Item> where(Predicate<Item> wanted) {
        return all().stream().filter(wanted).toList();
    }

    long count(Predicate<Item> wanted) {
        return where(wanted).size();
    }

    synchronized void awaitCount(int count, int seconds) throws InterruptedException {
        long deadline = System.nanoTime() + seconds * 1_000_000_000L;
        while (items.size() < count) {
            long left = (deadline - System.nanoTime()) / 1_000_000;
            Check.that(left > 0, "received " + items.size() + " of " + count + " messages within "
                + seconds + " s");
            wait(left);
        }
    }

    /** Waits for each of these bodies, then makes sure that none came twice and none came besides. */
    void awaitExactly(Collection<String> bodies, int seconds, long quietMillis) throws InterruptedException {
        awaitCount(bodies.size(), seconds);
        Thread.sleep(quietMillis);
        Map<String, Integer> counts = new HashMap<>();
        for (Item item : all()) {
            counts.merge(item.text(), 1, Integer::sum);
        }
        TreeSet<String> missing = new TreeSet<>(bodies);
        missing.removeAll(counts.keySet());
        Check.that(missing.isEmpty(), missing.size() + " messages missing: " + missing);
        TreeSet<String> foreign = new TreeSet<>(counts.keySet());
        foreign.removeAll(bodies);
        Check.that(foreign.isEmpty(), foreign.size() + " messages nobody asked for: " + foreign);
        counts.values().removeIf(count -> count == 1);
        Check.that(counts.isEmpty(), "messages more than once: " + counts);
    }
}
