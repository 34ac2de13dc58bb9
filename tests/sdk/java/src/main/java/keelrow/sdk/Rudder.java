package keelrow.sdk;

import com.rudderstack.sdk.java.analytics.Callback;
import com.rudderstack.sdk.java.analytics.RudderAnalytics;
import com.rudderstack.sdk.java.analytics.messages.AliasMessage;
import com.rudderstack.sdk.java.analytics.messages.GroupMessage;
import com.rudderstack.sdk.java.analytics.messages.IdentifyMessage;
import com.rudderstack.sdk.java.analytics.messages.Message;
import com.rudderstack.sdk.java.analytics.messages.MessageBuilder;
import com.rudderstack.sdk.java.analytics.messages.PageMessage;
import com.rudderstack.sdk.java.analytics.messages.ScreenMessage;
import com.rudderstack.sdk.java.analytics.messages.TrackMessage;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/** RudderStack's SDK. */
final class Rudder implements Send.Sender {
    private final RudderAnalytics client;

    Rudder(Send.Job job, CountDownLatch answers) {
        client = RudderAnalytics.builder(job.writeKey())
                .setDataPlaneUrl(job.url())
                .flushQueueSize(4)
                .flushInterval(1000, TimeUnit.MILLISECONDS)
                .callback(new Callback() {
                    @Override
                    public void success(Message message) {
                        answers.countDown();
                    }

                    @Override
                    public void failure(Message message, Throwable reason) {
                        System.err.println(reason);
                    }
                })
                .build();
    }

    @Override
    public void send(Send.Call call) {
        client.enqueue(message(call).userId(call.user()));
    }

    private static MessageBuilder<?, ?> message(Send.Call call) {
        return switch (call.call()) {
            case "track" -> TrackMessage.builder(call.name()).properties(call.fields());
            case "identify" -> IdentifyMessage.builder().traits(call.fields());
            case "page" -> PageMessage.builder(call.name()).properties(call.fields());
            case "screen" -> ScreenMessage.builder(call.name()).properties(call.fields());
            case "group" -> GroupMessage.builder(call.id()).traits(call.fields());
            case "alias" -> AliasMessage.builder(call.id());
            default -> throw new IllegalArgumentException(call.call());
        };
    }

    @Override
    public void flush() {
        client.flush();
    }

    @Override
    public void shutdown() {
        client.shutdown();
    }
}
