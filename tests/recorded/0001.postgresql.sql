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
INSERT INTO public.alembic_version (version_num) VALUES ('0001');
INSERT INTO public.audit (id, at, actor, action, subject, detail, request_id) VALUES (1, 1796057614380752, 'admin', 'key.issue', 'key_9f6bc9c2b7dc576f', 'team search; without end', 'req_65ff0ea74d97594c3317d0656bf305f8');
INSERT INTO public.entries (hold_id, request_id, team, key, operation, model, backend, upstream_model, price_version, output_format, n, cost, basis, status, tier, resolved_tier, size, text_in, image_in, text_cached, image_cached, text_out, image_out, saved, cache, tags, held_at, posted_at) VALUES ('47443e941f0c3d453624ca4465a02baa', 'req_8d6ed659752e0cc325fab74c618a1926', 'search', 'search', 'generate', 'gpt-image-2', 'sandbox', 'gpt-image-2', 'gpt-image-2@2026-04-21', 'png', 1, 5890000, 'usage', 'delivered', 'low', 'low', '1024x1024', 2, 0, 0, 0, 0, 196, 0, 'bypass', '{}', 1796057612973681, 1796057613314161);
INSERT INTO public.entries (hold_id, request_id, team, key, operation, model, backend, upstream_model, price_version, output_format, n, cost, basis, status, tier, resolved_tier, size, text_in, image_in, text_cached, image_cached, text_out, image_out, saved, cache, tags, held_at, posted_at) VALUES ('a9113c19f3c3234993a7ab28ed7b210d', 'req_d94c99e5a901c764fee0b0fd9a4b1d71', 'search', 'search', 'generate', 'gpt-image-2', 'sandbox', 'gpt-image-2', 'gpt-image-2@2026-04-21', 'png', 1, 0, 'cache', 'delivered', 'low', 'low', '1024x1024', 0, 0, 0, 0, 0, 0, 5890000, 'hit', '{}', 1796057613331178, 1796057613331598);
INSERT INTO public.entries (hold_id, request_id, team, key, operation, model, backend, upstream_model, price_version, output_format, n, cost, basis, status, tier, resolved_tier, size, text_in, image_in, text_cached, image_cached, text_out, image_out, saved, cache, tags, held_at, posted_at) VALUES ('03e1cead174be4fa50c82937ad63e1b7', 'req_e5f5dd677141ad50b72ede5f1f69efef', 'search', 'search', 'generate', 'gpt-image-2', 'sandbox', 'gpt-image-2', 'gpt-image-2@2026-04-21', 'png', 1, 5890000, 'usage', 'delivered', 'low', 'low', '1024x1024', 2, 0, 0, 0, 0, 196, 0, 'bypass', '{}', 1796057613335679, 1796057613664171);
INSERT INTO public.entries (hold_id, request_id, team, key, operation, model, backend, upstream_model, price_version, output_format, n, cost, basis, status, tier, resolved_tier, size, text_in, image_in, text_cached, image_cached, text_out, image_out, saved, cache, tags, held_at, posted_at) VALUES ('8bca8c4c12ff5c46b6a8da4657382297', 'req_146af15cdd0dace87f238be0f3a91436', 'search', 'search', 'generate', 'gpt-image-2', 'sandbox', 'gpt-image-2', 'gpt-image-2@2026-04-21', 'png', 1, 5890000, 'usage', 'delivered', 'low', 'low', '1024x1024', 2, 0, 0, 0, 0, 196, 0, 'bypass', '{}', 1796057613673951, 1796057614010465);
INSERT INTO public.entries (hold_id, request_id, team, key, operation, model, backend, upstream_model, price_version, output_format, n, cost, basis, status, tier, resolved_tier, size, text_in, image_in, text_cached, image_cached, text_out, image_out, saved, cache, tags, held_at, posted_at) VALUES ('e5c82ff1b5a3495bc136dfda0fbbe7d6', 'req_9b551eb38a04f993ca2e50395b0c0cc3', 'search', 'search', 'generate', 'gpt-image-2', 'sandbox', 'gpt-image-2', 'gpt-image-2@2026-04-21', 'png', 1, 0, 'cache', 'delivered', 'low', 'low', '1024x1024', 0, 0, 0, 0, 0, 0, 5890000, 'replayed', '{}', 1796057614020410, 1796057614020965);
INSERT INTO public.entries (hold_id, request_id, team, key, operation, model, backend, upstream_model, price_version, output_format, n, cost, basis, status, tier, resolved_tier, size, text_in, image_in, text_cached, image_cached, text_out, image_out, saved, cache, tags, held_at, posted_at) VALUES ('256de5b1dac2aaba5e6c009ef864199f', 'req_d46034ff777493e419820307103982d6', 'search', 'search', 'generate', 'gpt-image-2', 'sandbox', 'gpt-image-2', 'gpt-image-2@2026-04-21', 'png', 1, 0, 'cache', 'delivered', 'low', 'low', '1024x1024', 0, 0, 0, 0, 0, 0, 5890000, 'joined', '{}', 1796057614375126, 1796057614376839);
INSERT INTO public.entries (hold_id, request_id, team, key, operation, model, backend, upstream_model, price_version, output_format, n, cost, basis, status, tier, resolved_tier, size, text_in, image_in, text_cached, image_cached, text_out, image_out, saved, cache, tags, held_at, posted_at) VALUES ('38d31e69e9d88f4e19402baadf8fcdeb', 'req_ecffc2cd37169b6692158f15297975de', 'search', 'search', 'generate', 'gpt-image-2', 'sandbox', 'gpt-image-2', 'gpt-image-2@2026-04-21', 'png', 1, 5890000, 'usage', 'delivered', 'low', 'low', '1024x1024', 2, 0, 0, 0, 0, 196, 0, 'bypass', '{}', 1796057614027354, 1796057614365003);
INSERT INTO public.entries (hold_id, request_id, team, key, operation, model, backend, upstream_model, price_version, output_format, n, cost, basis, status, tier, resolved_tier, size, text_in, image_in, text_cached, image_cached, text_out, image_out, saved, cache, tags, held_at, posted_at) VALUES ('52c30b07b7296af4c40c64ec0441d177', 'req_236350243beedb10789e11fe22c9f2fb', 'search', 'search', 'generate', 'gpt-image-2', 'sandbox', 'gpt-image-2', 'gpt-image-2@2026-04-21', 'png', 1, 0, 'cache', 'delivered', 'low', 'low', '1024x1024', 0, 0, 0, 0, 0, 0, 5890000, 'joined', '{}', 1796057614370266, 1796057614371881);
INSERT INTO public.entries (hold_id, request_id, team, key, operation, model, backend, upstream_model, price_version, output_format, n, cost, basis, status, tier, resolved_tier, size, text_in, image_in, text_cached, image_cached, text_out, image_out, saved, cache, tags, held_at, posted_at) VALUES ('917244bb37bb4eb821a529194db734e7', 'req_cb88374ef0f23907962cbd7cd7773d23', 'search', 'search', 'generate', 'gpt-image-2', 'sandbox', 'gpt-image-2', 'gpt-image-2@2026-04-21', 'png', 1, 0, 'cache', 'delivered', 'low', 'low', '1024x1024', 0, 0, 0, 0, 0, 0, 5890000, 'joined', '{}', 1796057614374328, 1796057614374896);
INSERT INTO public.keys (id, team, digest, note, created_at, expires_at, revoked_at) VALUES ('key_9f6bc9c2b7dc576f', 'search', 'f6fa88d99db84634f2d06f58ce46933ba5f4853d96178b783e57e53b2cddf5e1', 'crawler', 1796057614380713, NULL, NULL);
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
