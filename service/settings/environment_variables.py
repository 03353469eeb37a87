"""Environment variables that the gateway reads, with their descriptions for `docs/configuration.md`.

Rule: the tables are documentation alone. A test records the names that every reader looks up, and expects each of them
here.
"""

from collections.abc import Mapping

PROCESS_VARIABLES: Mapping[str, str] = {
    "IMAGE_GATEWAY_CONFIG": "Folder of the three files; `./config` by default, or the package's. Same as `--config`.",
    "HOST": "Address to listen on; 127.0.0.1 by default. Same as `serve --host`.",
    "PORT": "Port to listen on; 8080 by default, 0 takes a free one. Same as `serve --port`.",
    "DATA_DIR": "Folder of the embedded state; `data` by default. Same as `--data-dir`.",
    "ADMIN_HOST": "Address of `/admin/v1`, together with ADMIN_PORT; overrides `admin.host`.",
    "ADMIN_PORT": "Own port of `/admin/v1`; overrides `admin.port`.",
    "METRICS_HOST": "Address of `/metrics`, together with METRICS_PORT; overrides `metrics.host`.",
    "METRICS_PORT": "Own port of the metrics; overrides `metrics.port`.",
}
"""Process: files, addresses and ports."""

STORE_VARIABLES: Mapping[str, str] = {
    "REDIS_URL": (
        "Server of quotas, holds and flights: `redis://`, `rediss://`, `unix://`, `redis+cluster://`, "
        "`rediss+cluster://`. "
        "Without it a Valkey starts in the data folder, for one replica; a second replica on its ledger is refused. "
        "`?ssl_ca_certs=/file.pem` behind `rediss://` names your own authority."
    ),
    "CACHE_REDIS_URL": "Server of cached results, which may evict; by default REDIS_URL, or an embedded Valkey.",
    "DATABASE_URL": (
        "Database of the ledger and of issued keys: `postgresql://…`, with parameters as in libpq. "
        "Needed with REDIS_URL; by default a SQLite file in the data folder. `sqlite:///path` is for one machine."
    ),
    "REDIS_URL_FILE, CACHE_REDIS_URL_FILE, DATABASE_URL_FILE": "Files with the whole addresses.",
    "REDIS_PASSWORD_FILE, CACHE_REDIS_PASSWORD_FILE, DATABASE_PASSWORD_FILE": (
        "Files with the password alone; the address has none then."
    ),
    "STORAGE_URL": "Place of stored images: a folder, `file:///…` or `s3://bucket/prefix`; by default the data folder.",
}
"""Stores: addresses and passwords."""

SECRET_VARIABLES: Mapping[str, str] = {
    "OPENAI_API_KEY": "Key of OpenAI. `api_key_env` of the backend is the name; without a key the backend is off.",
    "TOGETHER_API_KEY": "Key of Together, named by its `api_key_env`.",
    "OPENAI_API_KEY_FILE, TOGETHER_API_KEY_FILE": "Files with the keys, instead of the variables above.",
    "OPENAI_BASE_URL": "Address of OpenAI; overrides `base_url`. A backend `eu-openai` has `EU_OPENAI_BASE_URL`.",
    "TOGETHER_BASE_URL": "Address of Together; overrides `base_url`.",
    "ADMIN_API_KEY": "Key of `/admin/v1`: at least 32 characters, not to be guessed. Without it there is no admin API.",
    "ADMIN_API_KEY_FILE": "File with the key, instead of ADMIN_API_KEY.",
    "URL_SIGNING_KEY": "Key that signs addresses of images, at least 32 characters; needed with STORAGE_URL.",
    "URL_SIGNING_KEY_FILE": "File with the key. Further lines have keys that are accepted and do not sign.",
}
"""Secrets of vendors, of the admin API and of signed addresses."""

SHARED_VARIABLES: Mapping[str, str] = {
    "HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY": "Proxies to the vendors, unless a backend has a `proxy`.",
    "SSL_CERT_FILE": (
        "File of the authorities for vendors, unless a backend has a `ca_file`, and for servers behind `rediss://`."
    ),
    "PGSSLMODE, PGSSLROOTCERT": "TLS of PostgreSQL as in libpq, unless DATABASE_URL has these parameters.",
    "AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL": "Address of an S3 service other than Amazon's; the first counts.",
    "AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY": (
        "Region and credentials of S3, as for every client; session tokens, roles and web identities work too."
    ),
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, OTEL_EXPORTER_OTLP_ENDPOINT": "Address of traces; without one there are none.",
    "OTEL_SDK_DISABLED": "`true` switches traces off.",
    "OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER": "Settings that OpenTelemetry reads itself.",
    "TMPDIR": "Folder of uploads during their request, in files without a name.",
    "LOGNAME, USER": "User at the terminal, for the audit trail of `image-gateway keys` and `cache`.",
}
"""Variables with a standard meaning."""

TABLES: tuple[tuple[str, Mapping[str, str]], ...] = (
    ("Process", PROCESS_VARIABLES),
    ("Stores", STORE_VARIABLES),
    ("Secrets and vendors", SECRET_VARIABLES),
    ("Standard variables", SHARED_VARIABLES),
)
