package clients;

import java.lang.reflect.InvocationTargetException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.regex.Pattern;

/**
 * Main NAMESRV [SCENARIO_REGEX]: runs the scenarios whose whole name the expression matches, several
 * at a time, each with its own topics, groups and client instances. Prints a line for each and the
 * totals; exit code 1 when one failed.
 */
public final class Main {
    private static final int AT_ONCE = Integer.getInteger("clients.atOnce", 12);
    private static final long SCENARIO_SECONDS_MAX = 80;

    interface Scenario {
        void run(Context context) throws Exception;
    }

    public static void main(String[] arguments) throws Exception {
        Pattern wanted = Pattern.compile(arguments.length > 1 ? arguments[1] : ".*");
        ExecutorService pool = Executors.newFixedThreadPool(AT_ONCE, Main::daemon);
        ExecutorService guard = Executors.newCachedThreadPool(Main::daemon);
        List<Future<Boolean>> results = new ArrayList<>();
        // long ones stand first in the list, so that they overlap with all others
        for (Map.Entry<String, Scenario> entry : Scenarios.all().entrySet()) {
            if (wanted.matcher(entry.getKey()).matches()) {
                results.add(pool.submit(() -> run(arguments[0], entry.getKey(), entry.getValue(), guard)));
            }
        }
        int failed = 0;
        for (Future<Boolean> result : results) {
            failed += result.get() ? 0 : 1;
        }
        System.out.println("\n" + (results.size() - failed) + " passed, " + failed + " failed");
        System.out.flush();
        // threads that a client left behind must not keep the machine alive
        Runtime.getRuntime().halt(failed == 0 && !results.isEmpty() ? 0 : 1);
    }

    private static Thread daemon(Runnable work) {
        Thread thread = new Thread(work);
        thread.setDaemon(true);
        return thread;
    }

    private static boolean run(String namesrv, String name, Scenario scenario, ExecutorService guard) {
        long began = System.nanoTime();
        Context context = new Context(namesrv, name);
        Future<?> work = guard.submit(() -> {
            scenario.run(context);
            return null;
        });
        Throwable failure = null;
        try {
            work.get(SCENARIO_SECONDS_MAX, TimeUnit.SECONDS);
        } catch (TimeoutException e) {
            failure = new AssertionError("not done after " + SCENARIO_SECONDS_MAX + " s");
            work.cancel(true);
        } catch (Exception e) {
            failure = e.getCause() == null ? e : e.getCause();
        }
        if (failure instanceof InvocationTargetException) {
            failure = failure.getCause();
        }
        // closing may wait for the broker; what it takes is not part of the scenario
        long millis = (System.nanoTime() - began) / 1_000_000;
        String line = failure == null ? "PASS " + name + " " + millis : "FAIL " + name + ": " + text(failure);
        // a client may have written a part of a line
        System.out.println("\n" + line);
        System.out.flush();
        context.close();
        return failure == null;
    }

    /** The error in one line, with the line of the scenario that it came from. */
    private static String text(Throwable failure) {
        String text = String.valueOf(failure).replaceAll("\\s+", " ");
        for (StackTraceElement frame : failure.getStackTrace()) {
            if (frame.getClassName().startsWith("clients.") && !frame.getClassName().contains("Context")
                && !frame.getClassName().contains("Check")) {
                return text + " at " + frame.getFileName() + ":" + frame.getLineNumber();
            }
        }
        return text;
    }
}
