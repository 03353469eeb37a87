SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
CREATE FUNCTION public.append_only() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation'; END $$;
SET default_tablespace = '';
SET default_table_access_method = heap;
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
INSERT INTO public.audit VALUES (1, 1795264215123457, 'admin', 'issue', 'key_1', 'é', 'req_1');
INSERT INTO public.entries VALUES ('a', 'req_a', 'design', 'design-1', 'generation', 'gpt-image-2', 'openai', 'gpt-image-2-2026-04-21', '2026-10-01', 'png', 1, 41000000, 'usage', 'delivered', NULL, 'medium', NULL, 0, 0, 0, 0, 0, 0, 0, 'bypass', '{}', 1794700800000000, 1794700809000000, DEFAULT);
INSERT INTO public.entries VALUES ('b', 'req_b', 'design', 'design-1', 'generation', 'gpt-image-2', 'openai', 'gpt-image-2-2026-04-21', '2026-10-01', 'png', 1, 41000000, 'usage', 'delivered', NULL, 'medium', NULL, 0, 0, 0, 0, 0, 0, 0, 'bypass', '{}', 1794700800000000, 1794700809000000, DEFAULT);
INSERT INTO public.keys VALUES ('key_1', 'design', 'digest of key_1', 'for tests', 1795264215123457, NULL, NULL);
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
