package keelrow.sdk;

import com.google.gson.Gson;
import com.google.gson.ToNumberPolicy;
import com.google.gson.GsonBuilder;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/**
 * Sends a job's calls through RudderStack's or Segment's Java SDK and returns once each was answered.
 * Usage: Send &lt; job.json, as jobs.py writes it.
 */
public final class Send {
    /** One call of the job. */
    record Call(String call, String name, String id, String user, Map<String, Object> fields) {}

    /** What jobs.py writes. */
    record Job(String sdk, String url, String writeKey, long interval_ms, List<Call> calls) {}

    /** An SDK with a job's settings. */
    interface Sender {
        void send(Call call);

        void flush();

        void shutdown();
    }

    /** A job that takes longer has failed. */
    private static final long LIMIT_S = 100;

    private Send() {}

    public static void main(String[] arguments) throws Exception {
        // Whole numbers stay whole.
        Gson gson = new GsonBuilder().setObjectToNumberStrategy(ToNumberPolicy.LONG_OR_DOUBLE).create();
        Job job = gson.fromJson(new InputStreamReader(System.in, StandardCharsets.UTF_8), Job.class);
        CountDownLatch answers = new CountDownLatch(job.calls().size());
        Sender sender = job.sdk().startsWith("rudder-") ? new Rudder(job, answers) : new Segment(job, answers);
        for (Call call : job.calls()) {
            sender.send(call);
            Thread.sleep(job.interval_ms());
        }
        sender.flush();
        // A shutdown gives up what is being retried, so each event's own answer is waited for.
        boolean all = answers.await(LIMIT_S, TimeUnit.SECONDS);
        sender.shutdown();
        if (!all) {
            System.err.println(answers.getCount() + " events were not answered");
        }
        System.exit(all ? 0 : 1);
    }
}
