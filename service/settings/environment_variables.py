"""Every environment variable that means something to the gateway, with what it does, for `docs/configuration.md`.

Rule: a table for people; what reads a variable decides. A test lets every reader look at an environment that writes
down what it is asked for, and finds each of those names here.
"""

from collections.abc import Mapping

PROCESS_VARIABLES: Mapping[str, str] = {
    "IMAGE_GATEWAY_CONFIG": "The folder of the three files; else `./config`, else the package's. As `--config`.",
    "HOST": "The address to listen on, 127.0.0.1 if nobody says. As `serve --host`.",
    "PORT": "The port to listen on, 8080 if nobody says; 0 takes a free one. As `serve --port`.",
    "DATA_DIR": "The folder of the embedded state, `data` if nobody says. As `--data-dir`.",
    "ADMIN_HOST": "The address of `/admin/v1`, with ADMIN_PORT; before `admin.host`.",
    "ADMIN_PORT": "A port of its own for `/admin/v1`; before `admin.port`.",
    "METRICS_HOST": "The address of `/metrics`, with METRICS_PORT; before `metrics.host`.",
    "METRICS_PORT": "A port of their own for metrics; before `metrics.port`.",
}
"""Where and how it runs."""

STORE_VARIABLES: Mapping[str, str] = {
    "REDIS_URL": (
        "Quotas, holds and flights: `redis://`, `rediss://`, `unix://`, `redis+cluster://` or `rediss+cluster://`. "
        "Without it a Valkey is started in the data folder, for one replica; a second one on its ledger is refused. "
        "`?ssl_ca_certs=/file.pem` behind `rediss://` names an authority of your own."
    ),
    "CACHE_REDIS_URL": "Results that are kept; may evict. Else in REDIS_URL, or in a Valkey beside the embedded state.",
    "DATABASE_URL": (
        "The ledger of record and the issued keys: `postgresql://…`, with parameters as in libpq. "
        "Needed with REDIS_URL; else an SQLite file in the data folder. `sqlite:///path` is for one machine."
    ),
    "REDIS_URL_FILE, CACHE_REDIS_URL_FILE, DATABASE_URL_FILE": "Or the file that has the whole address.",
    "REDIS_PASSWORD_FILE, CACHE_REDIS_PASSWORD_FILE, DATABASE_PASSWORD_FILE": (
        "Or the file that has the password alone; the address then has none."
    ),
    "STORAGE_URL": "Where pictures are kept: a folder, `file:///…` or `s3://bucket/prefix`; else in the data folder.",
}
"""Where its state is."""

SECRET_VARIABLES: Mapping[str, str] = {
    "OPENAI_API_KEY": "OpenAI's key. The name is `api_key_env` of the backend; without it the backend is off.",
    "TOGETHER_API_KEY": "Together's key, likewise.",
    "OPENAI_API_KEY_FILE, TOGETHER_API_KEY_FILE": "Or the files that have them.",
    "OPENAI_BASE_URL": "Where OpenAI is; before `base_url`. A backend `eu-openai` has `EU_OPENAI_BASE_URL`.",
    "TOGETHER_BASE_URL": "Where Together is, likewise.",
    "ADMIN_API_KEY": "Opens `/admin/v1`; at least 32 characters that nobody can guess. Without it there is none.",
    "ADMIN_API_KEY_FILE": "Or the file that has it.",
    "URL_SIGNING_KEY": "Signs addresses of pictures, at least 32 characters; needed with STORAGE_URL.",
    "URL_SIGNING_KEY_FILE": "Or the file that has it; on more lines more keys that are trusted, and do not sign.",
}
"""Secrets, and whom they open."""

SHARED_VARIABLES: Mapping[str, str] = {
    "HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY": "The way to the vendors, unless a backend has a `proxy`.",
    "SSL_CERT_FILE": (
        "Authorities that vendors are checked with, unless a backend has a `ca_file`, and servers behind `rediss://`."
    ),
    "PGSSLMODE, PGSSLROOTCERT": "As libpq reads them, where DATABASE_URL does not say.",
    "AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL": "Where S3 is, if not at Amazon's; the first counts.",
    "AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY": (
        "As for every client of S3; session tokens, roles and web identities work as well."
    ),
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, OTEL_EXPORTER_OTLP_ENDPOINT": "Where traces go; without one there are none.",
    "OTEL_SDK_DISABLED": "`true` switches traces off.",
    "OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER": "As OpenTelemetry's kit reads them.",
    "TMPDIR": "Where uploads are while their request lasts, in files without a name.",
    "LOGNAME, USER": "Who sits at the terminal, for the audit trail of `image-gateway keys` and `cache`.",
}
"""Variables that others have named too."""

TABLES: tuple[tuple[str, Mapping[str, str]], ...] = (
    ("Where and how it runs", PROCESS_VARIABLES),
    ("Where its state is", STORE_VARIABLES),
    ("Secrets, and whom they open", SECRET_VARIABLES),
    ("Read as others read them", SHARED_VARIABLES),
)
