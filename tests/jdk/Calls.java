// Calls a gateway with the HTTP client of the JDK, which Spring and Ktor call with as well.
//
//     java Calls.java http://127.0.0.1:8080/v1 photo.png        with the key in OPENAI_API_KEY
//
// The client is as it is by default: over plain http it offers HTTP/2 in every request (`Upgrade: h2c`). One line comes
// out for each call: its name, the status, the version of HTTP, and the reply's body as base64, apart by blanks. The
// body of a stream is its lines, as the client tells them apart, put together again.

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Base64;
import java.util.List;
import java.util.stream.Collectors;

public final class Calls {
    private static final String BOUNDARY = "4fe1d2";
    private static final Duration PATIENCE = Duration.ofSeconds(30);
    private final HttpClient client = HttpClient.newBuilder().connectTimeout(PATIENCE).build();
    private final String address;

    private Calls(String address) {
        this.address = address;
    }

    public static void main(String[] arguments) throws Exception {
        Calls calls = new Calls(arguments[0]);
        String fox = "{\"model\": \"gpt-image-2\", \"prompt\": \"a red fox\", \"quality\": \"low\"";
        calls.post("generate", "/images/generations", "application/json", BodyPublishers.ofString(fox + "}"));
        calls.post("edit", "/images/edits", "multipart/form-data; boundary=" + BOUNDARY, form(Path.of(arguments[1])));
        calls.stream(BodyPublishers.ofString(fox + ", \"stream\": true, \"partial_images\": 2}"));
        calls.post("refused", "/images/generations", "application/json", BodyPublishers.ofString(fox + ", \"n\": 0}"));
        calls.send("models", calls.request("/models").GET().build());
    }

    // Parts of unknown length altogether: the client sends them chunked.
    private static BodyPublisher form(Path photo) throws IOException {
        ByteArrayOutputStream picture = new ByteArrayOutputStream();
        picture.write(head("image\"; filename=\"photo.png", "\r\nContent-Type: image/png"));
        picture.write(Files.readAllBytes(photo));
        picture.write("\r\n".getBytes(StandardCharsets.UTF_8));
        byte[] end = ("--" + BOUNDARY + "--\r\n").getBytes(StandardCharsets.UTF_8);
        return BodyPublishers.ofByteArrays(
            List.of(field("model", "gpt-image-2"), field("prompt", "add a hat"), picture.toByteArray(), end));
    }

    private static byte[] field(String name, String value) throws IOException {
        ByteArrayOutputStream part = new ByteArrayOutputStream();
        part.write(head(name, ""));
        part.write((value + "\r\n").getBytes(StandardCharsets.UTF_8));
        return part.toByteArray();
    }

    private static byte[] head(String name, String more) {
        String lines = "--%s\r\nContent-Disposition: form-data; name=\"%s\"%s\r\n\r\n".formatted(BOUNDARY, name, more);
        return lines.getBytes(StandardCharsets.UTF_8);
    }

    private HttpRequest.Builder request(String path) {
        return HttpRequest.newBuilder(URI.create(address + path))
            .timeout(PATIENCE)
            .header("Authorization", "Bearer " + System.getenv("OPENAI_API_KEY"));
    }

    private void post(String name, String path, String type, BodyPublisher body) throws Exception {
        send(name, request(path).header("Content-Type", type).POST(body).build());
    }

    private void send(String name, HttpRequest request) throws Exception {
        HttpResponse<byte[]> reply = client.send(request, BodyHandlers.ofByteArray());
        tell(name, reply, reply.body());
    }

    private void stream(BodyPublisher body) throws Exception {
        HttpRequest request = request("/images/generations").header("Content-Type", "application/json").POST(body).build();
        var reply = client.send(request, BodyHandlers.ofLines());
        tell("stream", reply, reply.body().collect(Collectors.joining("\n")).getBytes(StandardCharsets.UTF_8));
    }

    private static void tell(String name, HttpResponse<?> reply, byte[] body) {
        String encoded = Base64.getEncoder().encodeToString(body);
        System.out.println(String.join(" ", name, "" + reply.statusCode(), "" + reply.version(), encoded));
    }
}
