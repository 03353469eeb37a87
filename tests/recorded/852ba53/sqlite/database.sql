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
INSERT INTO "audit" VALUES(1,1796095104048366,'cli:0','key.issue','key_513778e8ee8f3544','team search; without end','cli_2d5a398ff7f0203f4f9cf1d9a0f52a7d');
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
INSERT INTO "daily" VALUES(20788,'search','low','gpt-image-2','search',6,6,29775000,5885000,6230000,5,784);
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
INSERT INTO "entries" VALUES('14593618b9d50db55231615b5038abe7','req_56cda87e370e124ead34dfdec0622b22','search','search','generate','gpt-image-2','openai','gpt-image-2','gpt-image-2@2026-04-21','webp',1,5885000,'usage','delivered','low','low','1024x1024',1,0,0,0,0,196,0,'bypass','{}',1796095102263743,1796095102266404);
INSERT INTO "entries" VALUES('25758f8b9227581219499620e3e88bc7','req_6658075a425019d948569bee72f3c1ef','search','search','generate','gpt-image-2','openai','gpt-image-2','gpt-image-2@2026-04-21','webp',1,6230000,'unconfirmed','failed','low','low','1024x1024',0,0,0,0,0,0,0,'bypass','{}',1796095102300190,1796095102304204);
INSERT INTO "entries" VALUES('374399441ac76d09e53712a36d04154e','req_6f88e9d7228b201a1da6d87057c47b61','search','search','generate','gpt-image-2','openai','gpt-image-2','gpt-image-2@2026-04-21','webp',1,0,'cache','delivered','low','low','1024x1024',0,0,0,0,0,0,5885000,'hit','{}',1796095102154871,1796095102155484);
INSERT INTO "entries" VALUES('3811284566a3c9fe1b03c3c58edc4f72','req_4f1067669ca83f642141e9741a91d653','search','search','generate','gpt-image-2','openai','gpt-image-2','gpt-image-2@2026-04-21','webp',1,5890000,'usage','delivered','low','low','1024x1024',2,0,0,0,0,196,0,'bypass','{}',1796095102190133,1796095102192938);
INSERT INTO "entries" VALUES('594b61e581caa5a904f8ee5ab6f316c6','req_8b50ba3ab7fc8114c0dd84119611b9dd','search','search','generate','gpt-image-2','openai','gpt-image-2','gpt-image-2@2026-04-21','webp',1,5885000,'usage','delivered','low','low','1024x1024',1,0,0,0,0,196,0,'bypass','{}',1796095101964105,1796095102116525);
INSERT INTO "entries" VALUES('80887342beefa8699329e201975d3f44','req_4c9062dfcc8abb9ecdeba1aaa98769bd','search','search','generate','gpt-image-2','openai','gpt-image-2','gpt-image-2@2026-04-21','webp',1,5885000,'usage','delivered','low','low','1024x1024',1,0,0,0,0,196,0,'bypass','{}',1796095102226846,1796095102229500);
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
INSERT INTO "keys" VALUES('key_513778e8ee8f3544','search','fd28b73d13dfd6f20c06264f9452a5901ca30c1c383ecc96568cf6afd663f7ca','crawler',1796095104048339,NULL,NULL);
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
