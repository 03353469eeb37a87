CREATE FUNCTION public.append_only() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation'; END $$;
CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.audit (
    id bigint NOT NULL,
    at bigint NOT NULL,
    actor text NOT NULL COLLATE pg_catalog."C",
    action text NOT NULL COLLATE pg_catalog."C",
    subject text NOT NULL COLLATE pg_catalog."C",
    detail text NOT NULL COLLATE pg_catalog."C",
    request_id text NOT NULL COLLATE pg_catalog."C"
);
CREATE SEQUENCE public.audit_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.audit_id_seq OWNED BY public.audit.id;
CREATE TABLE public.entries (
    hold_id text NOT NULL COLLATE pg_catalog."C",
    request_id text NOT NULL COLLATE pg_catalog."C",
    team text NOT NULL COLLATE pg_catalog."C",
    key text NOT NULL COLLATE pg_catalog."C",
    operation text NOT NULL COLLATE pg_catalog."C",
    model text NOT NULL COLLATE pg_catalog."C",
    backend text NOT NULL COLLATE pg_catalog."C",
    upstream_model text NOT NULL COLLATE pg_catalog."C",
    price_version text NOT NULL COLLATE pg_catalog."C",
    output_format text NOT NULL COLLATE pg_catalog."C",
    n integer NOT NULL,
    cost bigint NOT NULL,
    basis text NOT NULL COLLATE pg_catalog."C",
    status text NOT NULL COLLATE pg_catalog."C",
    tier text COLLATE pg_catalog."C",
    resolved_tier text COLLATE pg_catalog."C",
    size text COLLATE pg_catalog."C",
    text_in bigint NOT NULL,
    image_in bigint NOT NULL,
    text_cached bigint NOT NULL,
    image_cached bigint NOT NULL,
    text_out bigint NOT NULL,
    image_out bigint NOT NULL,
    saved bigint NOT NULL,
    cache text NOT NULL COLLATE pg_catalog."C",
    tags json NOT NULL,
    held_at bigint NOT NULL,
    posted_at bigint NOT NULL,
    day integer GENERATED ALWAYS AS ((held_at / '86400000000'::bigint)) STORED NOT NULL
);
CREATE TABLE public.keys (
    id text NOT NULL COLLATE pg_catalog."C",
    team text NOT NULL COLLATE pg_catalog."C",
    digest text NOT NULL COLLATE pg_catalog."C",
    note text NOT NULL COLLATE pg_catalog."C",
    created_at bigint NOT NULL,
    expires_at bigint,
    revoked_at bigint
);
ALTER TABLE ONLY public.audit ALTER COLUMN id SET DEFAULT nextval('public.audit_id_seq'::regclass);
INSERT INTO public.alembic_version VALUES ('0001');
INSERT INTO public.audit VALUES (1, 1796095109841828, 'cli:0', 'key.issue', 'key_12afd52f47e1c2d6', 'team search; without end', 'cli_afc0c66e91cd40155fea958c77aaa68c');
INSERT INTO public.entries VALUES ('2f74202d55de33deb8ebbe02e24f3abb', 'req_1127a2fbebb2dad98e012a412addf387', 'search', 'search', 'generate', 'gpt-image-2', 'openai', 'gpt-image-2', 'gpt-image-2@2026-04-21', 'webp', 1, 0, 'cache', 'delivered', 'low', 'low', '1024x1024', 0, 0, 0, 0, 0, 0, 5885000, 'hit', '{}', 1796095108196538, 1796095108197038, DEFAULT);
INSERT INTO public.entries VALUES ('8ab5b0d93c641752bf2dac9826116cbe', 'req_b1e396794be8c724f77c3cd73e9cf476', 'search', 'search', 'generate', 'gpt-image-2', 'openai', 'gpt-image-2', 'gpt-image-2@2026-04-21', 'webp', 1, 6230000, 'unconfirmed', 'failed', 'low', 'low', '1024x1024', 0, 0, 0, 0, 0, 0, 0, 'bypass', '{}', 1796095108344047, 1796095108346837, DEFAULT);
INSERT INTO public.entries VALUES ('9f947308a37e0c9aa3a0eb9c39f1623f', 'req_78710ac1ff24d2ecf839beadcc4afa3f', 'search', 'search', 'generate', 'gpt-image-2', 'openai', 'gpt-image-2', 'gpt-image-2@2026-04-21', 'webp', 1, 5885000, 'usage', 'delivered', 'low', 'low', '1024x1024', 1, 0, 0, 0, 0, 196, 0, 'bypass', '{}', 1796095108155410, 1796095108161131, DEFAULT);
INSERT INTO public.entries VALUES ('d02f0a42823984af4be144253f295217', 'req_45d2a357f47d9d7d26fde1bea23db35f', 'search', 'search', 'generate', 'gpt-image-2', 'openai', 'gpt-image-2', 'gpt-image-2@2026-04-21', 'webp', 1, 5885000, 'usage', 'delivered', 'low', 'low', '1024x1024', 1, 0, 0, 0, 0, 196, 0, 'bypass', '{}', 1796095108269376, 1796095108271993, DEFAULT);
INSERT INTO public.entries VALUES ('ea72c4594e699103c3a915451657a943', 'req_d8ceabd8961a965e5347bcb0e5b82cb8', 'search', 'search', 'generate', 'gpt-image-2', 'openai', 'gpt-image-2', 'gpt-image-2@2026-04-21', 'webp', 1, 5885000, 'usage', 'delivered', 'low', 'low', '1024x1024', 1, 0, 0, 0, 0, 196, 0, 'bypass', '{}', 1796095108306935, 1796095108309482, DEFAULT);
INSERT INTO public.entries VALUES ('eeea0643d26caa666e5dd96a7fc27580', 'req_f460dabbe43b6e999e6953afdb6bb8e1', 'search', 'search', 'generate', 'gpt-image-2', 'openai', 'gpt-image-2', 'gpt-image-2@2026-04-21', 'webp', 1, 5890000, 'usage', 'delivered', 'low', 'low', '1024x1024', 2, 0, 0, 0, 0, 196, 0, 'bypass', '{}', 1796095108230779, 1796095108233278, DEFAULT);
INSERT INTO public.keys VALUES ('key_12afd52f47e1c2d6', 'search', '6d6afc039c754d973ed9738d0fd0b0419e8fede6dbd4006a66a18540c633a359', 'crawler', 1796095109841795, NULL, NULL);
SELECT pg_catalog.setval('public.audit_id_seq', 1, true);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.entries
    ADD CONSTRAINT entries_pkey PRIMARY KEY (hold_id);
ALTER TABLE ONLY public.keys
    ADD CONSTRAINT keys_digest UNIQUE (digest);
ALTER TABLE ONLY public.keys
    ADD CONSTRAINT keys_pkey PRIMARY KEY (id);
CREATE INDEX entries_team ON public.entries USING btree (team, held_at);
CREATE INDEX entries_time ON public.entries USING btree (held_at, hold_id);
CREATE TRIGGER audit_append_only_row BEFORE DELETE OR UPDATE ON public.audit FOR EACH ROW EXECUTE FUNCTION public.append_only();
CREATE TRIGGER audit_append_only_statement BEFORE TRUNCATE ON public.audit FOR EACH STATEMENT EXECUTE FUNCTION public.append_only();
CREATE TRIGGER entries_append_only_row BEFORE DELETE OR UPDATE ON public.entries FOR EACH ROW EXECUTE FUNCTION public.append_only();
CREATE TRIGGER entries_append_only_statement BEFORE TRUNCATE ON public.entries FOR EACH STATEMENT EXECUTE FUNCTION public.append_only();
