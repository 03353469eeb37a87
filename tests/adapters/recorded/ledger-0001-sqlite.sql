BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE audit (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	at BIGINT NOT NULL, 
	actor TEXT NOT NULL, 
	action TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	detail TEXT NOT NULL, 
	request_id TEXT NOT NULL
);
INSERT INTO "audit" VALUES(1,1795264215123457,'admin','issue','key_1','é','req_1');
CREATE TABLE daily (
	day INTEGER NOT NULL, 
	team TEXT NOT NULL, 
	resolved_tier TEXT NOT NULL, 
	model TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	entries BIGINT NOT NULL, 
	images BIGINT NOT NULL, 
	cost BIGINT NOT NULL, 
	saved BIGINT NOT NULL, 
	uncertain BIGINT NOT NULL, 
	tokens_in BIGINT NOT NULL, 
	tokens_out BIGINT NOT NULL, 
	PRIMARY KEY (day, team, resolved_tier, model, "key")
)
 WITHOUT ROWID

;
INSERT INTO "daily" VALUES(20772,'design','medium','gpt-image-2','design-1',2,2,82000000,0,0,0,0);
CREATE TABLE entries (
	hold_id TEXT NOT NULL, 
	request_id TEXT NOT NULL, 
	team TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	operation TEXT NOT NULL, 
	model TEXT NOT NULL, 
	backend TEXT NOT NULL, 
	upstream_model TEXT NOT NULL, 
	price_version TEXT NOT NULL, 
	output_format TEXT NOT NULL, 
	n INTEGER NOT NULL, 
	cost BIGINT NOT NULL, 
	basis TEXT NOT NULL, 
	status TEXT NOT NULL, 
	tier TEXT, 
	resolved_tier TEXT, 
	size TEXT, 
	text_in BIGINT NOT NULL, 
	image_in BIGINT NOT NULL, 
	text_cached BIGINT NOT NULL, 
	image_cached BIGINT NOT NULL, 
	text_out BIGINT NOT NULL, 
	image_out BIGINT NOT NULL, 
	saved BIGINT NOT NULL, 
	cache TEXT NOT NULL, 
	tags JSON NOT NULL, 
	held_at BIGINT NOT NULL, 
	posted_at BIGINT NOT NULL, 
	day INTEGER NOT NULL GENERATED ALWAYS AS (held_at / 86400000000) STORED, 
	PRIMARY KEY (hold_id)
);
INSERT INTO "entries" VALUES('a','req_a','design','design-1','generation','gpt-image-2','openai','gpt-image-2-2026-04-21','2026-10-01','png',1,41000000,'usage','delivered',NULL,'medium',NULL,0,0,0,0,0,0,0,'bypass','{}',1794700800000000,1794700809000000);
INSERT INTO "entries" VALUES('b','req_b','design','design-1','generation','gpt-image-2','openai','gpt-image-2-2026-04-21','2026-10-01','png',1,41000000,'usage','delivered',NULL,'medium',NULL,0,0,0,0,0,0,0,'bypass','{}',1794700800000000,1794700809000000);
CREATE TABLE keys (
	id TEXT NOT NULL, 
	team TEXT NOT NULL, 
	digest TEXT NOT NULL, 
	note TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	expires_at BIGINT, 
	revoked_at BIGINT, 
	PRIMARY KEY (id), 
	CONSTRAINT keys_digest UNIQUE (digest)
);
INSERT INTO "keys" VALUES('key_1','design','digest of key_1','for tests',1795264215123457,NULL,NULL);
CREATE INDEX entries_time ON entries (held_at, hold_id);
CREATE INDEX entries_team ON entries (team, held_at);
CREATE TRIGGER entries_daily AFTER INSERT ON entries BEGIN
            INSERT INTO daily VALUES (
                NEW.held_at / 86400000000, NEW.team, coalesce(NEW.resolved_tier, ''), NEW.model, NEW.key,
                1, NEW.n, NEW.cost, NEW.saved,
                CASE WHEN NEW.basis IN ('estimated', 'unconfirmed') THEN NEW.cost ELSE 0 END,
                NEW.text_in + NEW.image_in, NEW.text_out + NEW.image_out
            )
            ON CONFLICT (day, team, resolved_tier, model, key) DO UPDATE SET
                entries = entries + 1,
                images = images + excluded.images,
                cost = cost + excluded.cost,
                saved = saved + excluded.saved,
                uncertain = uncertain + excluded.uncertain,
                tokens_in = tokens_in + excluded.tokens_in,
                tokens_out = tokens_out + excluded.tokens_out;
        END;
CREATE TRIGGER entries_no_update BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'entries is append-only'); END;
CREATE TRIGGER entries_no_delete BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'entries is append-only'); END;
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('audit',1);
COMMIT;
