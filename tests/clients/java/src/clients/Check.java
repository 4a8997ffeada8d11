package clients;

import java.util.Arrays;
import java.util.Objects;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;

/** Assertions that say what was expected and what came. */
final class Check {
    interface Attempt {
        void run() throws Exception;
    }

    private Check() {
    }

    static void that(boolean holds, String otherwise) {
        if (!holds) {
            throw new AssertionError(otherwise);
        }
    }

    static void same(Object expected, Object got, String what) {
        if (!Objects.equals(expected, got)) {
            throw new AssertionError(what + ": expected " + shorten(expected) + ", got " + shorten(got));
        }
    }

    static void bytes(byte[] expected, byte[] got, String what) {
        that(Arrays.equals(expected, got), what + ": the bytes differ, expected " + expected.length
            + ", got " + (got == null ? "none" : got.length + " bytes"));
    }

    static void atLeast(long least, long got, String what) {
        that(got >= least, what + ": expected at least " + least + ", got " + got);
    }

    static void atMost(long most, long got, String what) {
        that(got <= most, what + ": expected at most " + most + ", got " + got);
    }

    /** The attempt must be answered by the broker with one of these response codes. */
    static void refused(String what, Attempt attempt, int... codes) throws Exception {
        try {
            attempt.run();
        } catch (MQBrokerException e) {
            that(Arrays.stream(codes).anyMatch(code -> code == e.getResponseCode()), what
                + ": expected code " + Arrays.toString(codes) + ", got " + e.getResponseCode()
                + " " + e.getErrorMessage());
            return;
        } catch (MQClientException e) {
            that(Arrays.stream(codes).anyMatch(code -> code == e.getResponseCode()), what
                + ": expected code " + Arrays.toString(codes) + ", got " + e);
            return;
        }
        throw new AssertionError(what + ": expected a refusal, it was accepted");
    }

    /** The attempt must be refused by the client itself or by the broker. */
    static void fails(String what, Attempt attempt) throws Exception {
        try {
            attempt.run();
        } catch (MQClientException | MQBrokerException e) {
            return;
        }
        throw new AssertionError(what + ": expected a refusal, it was accepted");
    }

    private static String shorten(Object value) {
        String text = String.valueOf(value);
        return text.length() > 300 ? text.substring(0, 300) + "..." : text;
    }
}
