// Calls a gateway with OpenAI's SDK for Java, which checks that each reply has what its types ask for.
//
//     java -cp 'jars/*' Calls.java photo.png        with OPENAI_BASE_URL and OPENAI_API_KEY
//
// One line comes out for each call: its name, and what was seen.

import com.openai.client.OpenAIClient;
import com.openai.client.okhttp.OpenAIOkHttpClient;
import com.openai.errors.OpenAIServiceException;
import com.openai.models.files.FileCreateParams;
import com.openai.models.files.FilePurpose;
import com.openai.models.images.ImageEditParams;
import com.openai.models.images.ImageGenerateParams;
import com.openai.models.images.ImagesResponse;
import java.nio.file.Path;
import java.time.Duration;

public final class Calls {
    private static final String FLUX = "black-forest-labs/FLUX.2-pro";

    public static void main(String[] arguments) {
        Path photo = Path.of(arguments[0]);
        OpenAIClient client = connect().build();
        tell("generate", client.images().generate(fox().build()));
        tell("cached", client.images().generate(fox().build()));
        tell("flux", client.images().generate(fox().model(FLUX).quality(ImageGenerateParams.Quality.AUTO).build()));
        tell("edit", client.images().edit(
            ImageEditParams.builder().model("gpt-image-2").prompt("add a hat").image(photo).build()));
        stream(client, "stream", fox().prompt("a red fox, bit by bit").partialImages(2));
        stream(client, "flux-stream", fox().prompt("a red fox, at once").model(FLUX).quality(ImageGenerateParams.Quality.AUTO));
        refuse("refused", () -> client.images().generate(fox().size("1920x1080").build()));
        refuse("unknown", () -> connect().apiKey("igw_nobody").build().images().generate(fox().build()));
        var file = client.files().create(FileCreateParams.builder().file(photo).purpose(FilePurpose.VISION).build());
        System.out.println("file " + file.purpose() + " " + client.files().delete(file.id()).deleted());
        System.out.println("models " + client.models().list().items().stream().anyMatch(each -> each.id().equals(FLUX)));
        System.exit(0); // its threads wait a minute for more
    }

    private static OpenAIOkHttpClient.Builder connect() {
        return OpenAIOkHttpClient.builder()
            .fromEnv()
            .maxRetries(0)
            .responseValidation(true)
            .timeout(Duration.ofSeconds(30));
    }

    private static ImageGenerateParams.Builder fox() {
        return ImageGenerateParams.builder()
            .model("gpt-image-2")
            .prompt("a red fox")
            .quality(ImageGenerateParams.Quality.LOW);
    }

    private static void tell(String name, ImagesResponse reply) {
        String picture = reply.data().orElseThrow().get(0).b64Json().orElseThrow();
        String tokens = reply.usage().map(usage -> "" + usage.totalTokens()).orElse("none");
        System.out.println(String.join(" ", name, picture.substring(0, 8), tokens));
    }

    private static void stream(OpenAIClient client, String name, ImageGenerateParams.Builder asked) {
        StringBuilder seen = new StringBuilder(name);
        try (var events = client.images().generateStreaming(asked.build())) {
            events.stream().forEach(event -> {
                event.validate();
                seen.append(event.isGenerationCompleted() ? " completed" : " preview");
            });
        }
        System.out.println(seen);
    }

    private static void refuse(String name, Runnable call) {
        try {
            call.run();
            System.out.println(name + " served");
        } catch (OpenAIServiceException refused) {
            String code = refused.code().orElse("none");
            System.out.println(String.join(" ", name, "" + refused.statusCode(), code, refused.param().orElse("none")));
        }
    }
}
