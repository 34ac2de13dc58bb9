package keelrow.sdk;

import com.segment.analytics.Callback;
import com.segment.analytics.Analytics;
import com.segment.analytics.messages.AliasMessage;
import com.segment.analytics.messages.GroupMessage;
import com.segment.analytics.messages.IdentifyMessage;
import com.segment.analytics.messages.Message;
import com.segment.analytics.messages.MessageBuilder;
import com.segment.analytics.messages.PageMessage;
import com.segment.analytics.messages.ScreenMessage;
import com.segment.analytics.messages.TrackMessage;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/** Segment's SDK. */
final class Segment implements Send.Sender {
    private final Analytics client;

    Segment(Send.Job job, CountDownLatch answers) {
        client = Analytics.builder(job.writeKey())
                .endpoint(job.url())
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
