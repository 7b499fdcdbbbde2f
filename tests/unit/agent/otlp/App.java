import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.InputStream;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.Executors;

/**
 * Serves requests, sends them to itself, and ends as any application does; in a pod, which gives it a port and a neighbour, it serves
 * those of others until it is told to end. Traced by the official agent, knows nothing of Rollcall.
 */
public class App {
    public static void main(String[] arguments) throws Exception {
        String port = System.getenv("PORT");
        if (port != null) {
            serve(new InetSocketAddress(Integer.parseInt(port)), URI.create(System.getenv("NEIGHBOUR")));
            return;
        }
        HttpServer neighbour = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
        neighbour.createContext("/", exchange -> answer(exchange, 200, "slow", 20));
        neighbour.start();
        URI next = URI.create("http://localhost:" + neighbour.getAddress().getPort() + "/secret?user=7");
        HttpServer server = serve(new InetSocketAddress("127.0.0.1", 0), next);
        int own = server.getAddress().getPort();
        for (int number = 0; number < 20; number++) ask(own, "/feed/" + number);
        for (int number = 0; number < 3; number++) ask(own, "/fail");
        server.stop(0);
        neighbour.stop(0);
        System.exit(0);
    }

    private static HttpServer serve(InetSocketAddress address, URI next) throws java.io.IOException {
        HttpServer server = HttpServer.create(address, 0);
        server.setExecutor(Executors.newFixedThreadPool(4));
        HttpClient client = HttpClient.newHttpClient();
        server.createContext("/feed/", exchange -> {
            try {
                client.send(HttpRequest.newBuilder(next).build(), HttpResponse.BodyHandlers.ofString());
            } catch (InterruptedException error) {
                throw new RuntimeException(error);
            }
            answer(exchange, 200, "feed", 0);
        });
        server.createContext("/fail", exchange -> answer(exchange, 503, "no", 0));
        server.start();
        return server;
    }

    private static void answer(HttpExchange exchange, int status, String text, int delay) throws java.io.IOException {
        try {
            Thread.sleep(delay);
        } catch (InterruptedException error) {
            throw new RuntimeException(error);
        }
        byte[] body = text.getBytes(StandardCharsets.UTF_8);
        exchange.sendResponseHeaders(status, body.length);
        exchange.getResponseBody().write(body);
        exchange.close();
    }

    private static void ask(int port, String path) throws Exception {
        try (Socket socket = new Socket("127.0.0.1", port)) {
            String text = "GET " + path + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
            socket.getOutputStream().write(text.getBytes(StandardCharsets.US_ASCII));
            InputStream answer = socket.getInputStream();
            while (answer.read(new byte[4096]) >= 0) {}
        }
    }
}
