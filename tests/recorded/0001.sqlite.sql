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
INSERT INTO "audit" VALUES(1,1796057604728006,'admin','key.issue','key_9c64878bd14a167a','team search; without end','req_0e2ba80d521af5d40405d03499689463');
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
INSERT INTO "daily" VALUES(20787,'search','low','gpt-image-2','search',9,9,23560000,29450000,0,8,784);
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
INSERT INTO "entries" VALUES('fb4e2aa124cddc8871a9876c4f2845eb','req_62140583d648eab06caca233fdbda14a','search','search','generate','gpt-image-2','sandbox','gpt-image-2','gpt-image-2@2026-04-21','png',1,5890000,'usage','delivered','low','low','1024x1024',2,0,0,0,0,196,0,'bypass','{}',1796057603333136,1796057603676836);
INSERT INTO "entries" VALUES('fec13ccc649b7e120d7543a6f129d066','req_dea010984a8d6f2132599ee10830f2c4','search','search','generate','gpt-image-2','sandbox','gpt-image-2','gpt-image-2@2026-04-21','png',1,0,'cache','delivered','low','low','1024x1024',0,0,0,0,0,0,5890000,'hit','{}',1796057603689270,1796057603689817);
INSERT INTO "entries" VALUES('da412abd9e458b5ecf7f7b0d0d4f6e7c','req_1e2a6f65baad2b6206c59d155a04ec19','search','search','generate','gpt-image-2','sandbox','gpt-image-2','gpt-image-2@2026-04-21','png',1,5890000,'usage','delivered','low','low','1024x1024',2,0,0,0,0,196,0,'bypass','{}',1796057603694587,1796057604029353);
INSERT INTO "entries" VALUES('96b09b387b2f362e5f6f8b6cc31203a2','req_602e05e820ea5f668a50e308f89f4eb0','search','search','generate','gpt-image-2','sandbox','gpt-image-2','gpt-image-2@2026-04-21','png',1,0,'cache','delivered','low','low','1024x1024',0,0,0,0,0,0,5890000,'replayed','{}',1796057604370359,1796057604370862);
INSERT INTO "entries" VALUES('e60685b6204512214491f5808092b0de','req_17a11d11774d49ff782b950346d46bc7','search','search','generate','gpt-image-2','sandbox','gpt-image-2','gpt-image-2@2026-04-21','png',1,5890000,'usage','delivered','low','low','1024x1024',2,0,0,0,0,196,0,'bypass','{}',1796057604036913,1796057604363366);
INSERT INTO "entries" VALUES('89ecd6f547765141064c1f313e339ea7','req_15f31e0759bd3a7c4bd044fe3c8df7eb','search','search','generate','gpt-image-2','sandbox','gpt-image-2','gpt-image-2@2026-04-21','png',1,0,'cache','delivered','low','low','1024x1024',0,0,0,0,0,0,5890000,'joined','{}',1796057604718045,1796057604719712);
INSERT INTO "entries" VALUES('8d1a1201553b94ce7e5a52258eb91d4f','req_c5cdc035e4578924484b55a26bfdc282','search','search','generate','gpt-image-2','sandbox','gpt-image-2','gpt-image-2@2026-04-21','png',1,0,'cache','delivered','low','low','1024x1024',0,0,0,0,0,0,5890000,'joined','{}',1796057604722337,1796057604723079);
INSERT INTO "entries" VALUES('c0b7bd9bcf1bda4af50069e070714293','req_47ad4b5598a5058af03378b0fd302e5a','search','search','generate','gpt-image-2','sandbox','gpt-image-2','gpt-image-2@2026-04-21','png',1,0,'cache','delivered','low','low','1024x1024',0,0,0,0,0,0,5890000,'joined','{}',1796057604722731,1796057604723466);
INSERT INTO "entries" VALUES('ffb1c673cf2885249519ea4a3362ad90','req_397906033b34c3996c9033b16c53314e','search','search','generate','gpt-image-2','sandbox','gpt-image-2','gpt-image-2@2026-04-21','png',1,5890000,'usage','delivered','low','low','1024x1024',2,0,0,0,0,196,0,'bypass','{}',1796057604376984,1796057604713131);
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
INSERT INTO "keys" VALUES('key_9c64878bd14a167a','search','9bce72f15b808909631b2493458a5253bdcbad7ca32d9986a29140cc9022cc55','crawler',1796057604727985,NULL,NULL);
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
COMMIT;
