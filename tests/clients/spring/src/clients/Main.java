package clients;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.regex.Pattern;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.ConfigurableApplicationContext;

/**
 * Main [SCENARIO_REGEX]: an application with a template and listeners, and scenarios whose whole name
 * the expression matches. Prints a line for each and the totals; exit code 1 when one failed.
 */
@SpringBootApplication
public class Main {
    interface Scenario {
        void run() throws Exception;
    }

    public static void main(String[] arguments) {
        Pattern wanted = Pattern.compile(arguments.length > 0 ? arguments[0] : ".*");
        String run = Long.toString(System.currentTimeMillis(), 36);
        System.setProperty("clients.run", run);
        System.setProperty("rocketmq.producer.group", "spring_producer_" + run);
        System.setProperty("rocketmq.producer.sendMessageTimeout", "10000");
        System.setProperty("rocketmq.producer.tlsEnable", System.getProperty("tls.enable", "false"));
        System.setProperty("spring.main.banner-mode", "off");
        System.setProperty("logging.level.root", "WARN");
        int passed = 0;
        int failed = 0;
        try (ConfigurableApplicationContext context = SpringApplication.run(Main.class)) {
            Map<String, Scenario> all = new LinkedHashMap<>(context.getBean(Scenarios.class).all());
            for (Map.Entry<String, Scenario> entry : all.entrySet()) {
                if (!wanted.matcher(entry.getKey()).matches()) {
                    continue;
                }
                long began = System.nanoTime();
                try {
                    entry.getValue().run();
                    System.out.println("PASS " + entry.getKey() + " " + (System.nanoTime() - began) / 1_000_000);
                    passed++;
                } catch (Exception | AssertionError e) {
                    System.out.println("FAIL " + entry.getKey() + ": " + String.valueOf(e).replaceAll("\\s+", " "));
                    e.printStackTrace();
                    failed++;
                }
                System.out.flush();
            }
        }
        System.out.println(passed + " passed, " + failed + " failed");
        System.out.flush();
        Runtime.getRuntime().halt(failed == 0 && passed > 0 ? 0 : 1);
    }
}
