// The Java SDK v2, each session with a client of its own.

import java.net.URI;
import java.util.ArrayList;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import smfs.shaded.software.amazon.awssdk.http.urlconnection.UrlConnectionHttpClient;
import smfs.shaded.software.amazon.awssdk.services.sts.StsClient;

public class JavaClient {
    static Void session(int calls, int pause) throws Exception {
        var endpoint = URI.create(System.getenv("ENDPOINT"));
        var http = UrlConnectionHttpClient.builder();
        try (var sts = StsClient.builder().endpointOverride(endpoint).httpClientBuilder(http).build()) {
            for (int number = 0; number < calls; number++) {
                if (number > 0) Thread.sleep(pause * 1000L);
                sts.getCallerIdentity();
            }
        }
        return null;
    }

    public static void main(String[] arguments) throws Exception {
        int sessions = Integer.parseInt(arguments[0]);
        int calls = Integer.parseInt(arguments[1]);
        int pause = Integer.parseInt(arguments[2]);
        var pool = Executors.newFixedThreadPool(sessions);
        var running = new ArrayList<Future<Void>>();
        for (int number = 0; number < sessions; number++) running.add(pool.submit(() -> session(calls, pause)));
        try {
            for (var session : running) session.get();
        } finally {
            pool.shutdownNow();
        }
    }
}
