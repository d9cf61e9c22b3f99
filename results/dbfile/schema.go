package dbfile

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
)

// Version is the schema version that this program writes, in PRAGMA user_version. migrations[n] takes a file from version n to n+1.
const Version = 5

var migrations = [Version]string{`
CREATE TABLE meta (
	key   TEXT PRIMARY KEY,
	value TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE message (
	seq           INTEGER PRIMARY KEY AUTOINCREMENT,
	time          INTEGER NOT NULL, -- milliseconds since 1970, UTC
	state         INTEGER NOT NULL, -- 0 answered, 1 deferred, 2 unanswered
	qid           TEXT NOT NULL,
	listener      TEXT NOT NULL,
	client        TEXT NOT NULL,
	author        TEXT NOT NULL,
	policy_domain TEXT NOT NULL,
	result        TEXT NOT NULL,
	requested     TEXT NOT NULL,
	disposition   TEXT NOT NULL,
	action        TEXT NOT NULL,
	override      TEXT NOT NULL,
	skip          TEXT NOT NULL,
	facts         TEXT NOT NULL, -- JSON, policy.Facts
	decision      TEXT NOT NULL  -- JSON, policy.Decision
);
CREATE INDEX message_time ON message (time);
CREATE INDEX message_qid ON message (qid);
`,
	// The rows of version 1 are moved afterwards (convert), in slices: until
	// then there is message_1. The comments tell what the numbers are; those of
	// enumerations are the values of their types in Go.
	`
DROP INDEX message_time;
DROP INDEX message_qid;
ALTER TABLE message RENAME TO message_1;
CREATE TABLE message (
	seq           INTEGER PRIMARY KEY AUTOINCREMENT,
	time          INTEGER NOT NULL, -- milliseconds since 1970, UTC
	state         INTEGER NOT NULL, -- 0 answered, 1 deferred, 2 unanswered
	qid           TEXT NOT NULL,
	client        BLOB NOT NULL,    -- address, 4 or 16 bytes, or none
	author        TEXT NOT NULL,    -- author domain that decided
	policy_domain TEXT NOT NULL,    -- of its record; '' when the author's
	result        INTEGER NOT NULL, -- 0 none, 1 pass, 2 fail, 3 temperror, 4 permerror
	requested     INTEGER NOT NULL, -- 0 none, 1 quarantine, 2 reject
	disposition   INTEGER NOT NULL, -- 0 none, 1 quarantine, 2 reject
	action        INTEGER NOT NULL, -- 0 accept, 1 tag, 2 hold, 3 tempfail, 4 reject
	override      TEXT NOT NULL,    -- as in RFC 9990; '' without
	flags         INTEGER NOT NULL, -- 1 overridden, 2 malformed, 4 stale DNS, 8 not evaluated
	row           BLOB NOT NULL     -- the rest: codec.go
);
INSERT INTO sqlite_sequence SELECT 'message', seq FROM sqlite_sequence WHERE name = 'message_1';
CREATE INDEX message_time ON message (time);
-- The queue ids of rows in blocks (digest.go), instead of an index.
CREATE TABLE digest (
	first_seq INTEGER PRIMARY KEY,
	last_seq  INTEGER NOT NULL,
	qids      BLOB NOT NULL
);
-- What "top" counts is in these alone.
CREATE INDEX message_failing ON message (time, author, disposition, client) WHERE result = 2 AND state = 0;
CREATE INDEX message_overridden ON message (time, author, override, disposition) WHERE override <> '' AND state = 0;
CREATE INDEX message_malformed ON message (time, policy_domain, author, flags) WHERE flags & 2 AND state = 0;
-- Who sent mail of an organization, from what network.
CREATE TABLE sender (
	org    TEXT NOT NULL,
	net    BLOB NOT NULL,    -- /24 or /48: 3 or 6 bytes
	first  INTEGER NOT NULL, -- milliseconds since 1970, UTC, of the first message
	last   INTEGER NOT NULL, -- the same, of the first message on the last day
	seq    INTEGER NOT NULL, -- of the first message
	passed INTEGER NOT NULL, -- 1 when DMARC has passed once
	PRIMARY KEY (org, net)
) WITHOUT ROWID;
CREATE INDEX sender_first ON sender (first);
-- The ids of the file, each from a row on: a copy that is used beside the
-- original gets another one.
CREATE TABLE identity (
	first_seq INTEGER PRIMARY KEY,
	store_id  TEXT NOT NULL
);
INSERT INTO identity SELECT 1, value FROM meta WHERE key = 'store_id';
-- Each time that a daemon opened the file, and the row that it began with: two
-- files with the same beginning tell here where they parted.
CREATE TABLE opening (
	token     BLOB PRIMARY KEY, -- random, 16 bytes
	first_seq INTEGER NOT NULL,
	time      INTEGER NOT NULL  -- milliseconds since 1970, UTC
);
-- States that changed and are not shipped yet, while meta has "shipped".
CREATE TABLE restate (
	seq   INTEGER PRIMARY KEY,
	state INTEGER NOT NULL
);
`,
	// A partial index on message would be the same, but making one reads the
	// whole file. Rows of version 2 are looked through later (sift).
	`
-- The rows that name a rule: from this version on, those with 16 in flags.
CREATE TABLE ruled (
	time INTEGER NOT NULL,
	seq  INTEGER NOT NULL,
	PRIMARY KEY (time, seq)
) WITHOUT ROWID;
CREATE TRIGGER message_ruled AFTER DELETE ON message WHEN old.flags & 16 BEGIN
	DELETE FROM ruled WHERE time = old.time AND seq = old.seq;
END;
-- What is known of rules, also when the rows are gone.
CREATE TABLE rule_use (
	rule    TEXT PRIMARY KEY,
	first   INTEGER NOT NULL, -- match, milliseconds since 1970, UTC
	last    INTEGER NOT NULL,
	matches INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO meta SELECT 'unsifted', last FROM (SELECT max(seq) AS last FROM message) WHERE last > 0;
`,
	// Rows of before hold the destinations of DMARC records, and may be larger
	// than MaxRowBytes. They are cleaned later (cleanOld).
	`
INSERT INTO meta SELECT 'uncleaned', last FROM (SELECT max(seq) AS last FROM message) WHERE last > 0;
`,
	// Rows up to "summed" in meta are in the sums (sumNew). Triggers take out what
	// is deleted: a row costs nothing more when it is inserted.
	`
-- How many rows there are of each day and kind, without those of other programs.
CREATE TABLE day_sum (
	day         INTEGER NOT NULL, -- days since 1970, UTC
	state       INTEGER NOT NULL, -- this and the next ones as in message
	skipped     INTEGER NOT NULL, -- 1 when not evaluated
	result      INTEGER NOT NULL,
	requested   INTEGER NOT NULL,
	disposition INTEGER NOT NULL,
	messages    INTEGER NOT NULL,
	PRIMARY KEY (day, state, skipped, result, requested, disposition)
) WITHOUT ROWID;
INSERT INTO meta VALUES ('summed', '0');
CREATE TRIGGER message_unsum AFTER DELETE ON message WHEN old.state <> 3 AND ` + summed + ` BEGIN
	UPDATE day_sum SET messages = messages - 1 WHERE ` + sumOf + `;
END;
CREATE TRIGGER message_resum AFTER UPDATE OF state ON message WHEN old.state <> new.state AND ` + summed + ` BEGIN
	UPDATE day_sum SET messages = messages - 1 WHERE ` + sumOf + `;
	INSERT INTO day_sum VALUES (new.time / 86400000, new.state, (new.flags & 8) <> 0, new.result, new.requested, new.disposition, 1)
		ON CONFLICT DO UPDATE SET messages = messages + 1;
END;
`}

const (
	// summed is the condition that an old row is in day_sum.
	summed = "old.seq <= (SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'summed')"
	// sumOf is the condition of the line of day_sum that it is in.
	sumOf = "day = old.time / 86400000 AND state = old.state AND skipped = ((old.flags & 8) <> 0) AND result = old.result AND requested = old.requested AND disposition = old.disposition"
)

// ReadVersion returns the schema version of a file that this program can use, 0
// for a new one.
func ReadVersion(ctx context.Context, db *sql.DB) (version int, err error) {
	var tables int
	err = db.QueryRowContext(ctx, "SELECT user_version, (SELECT count(*) FROM sqlite_schema) FROM pragma_user_version").Scan(&version, &tables)
	switch {
	case err != nil:
		return 0, fmt.Errorf("reading the schema version: %w", err)
	case version > Version:
		return 0, fmt.Errorf("the file has schema version %d and this program knows %d: run the program that wrote it, or a newer one", version, Version)
	case version < 0 || version == 0 && tables > 0:
		return 0, errors.New("the file is a database of another program: give the store a path of its own")
	}
	return version, nil
}

// Migrate brings the file from a version to Version, and gives a new file
// its id.
func Migrate(ctx context.Context, db *sql.DB, version int) error {
	for ; version < Version; version++ {
		if err := step(ctx, db, version); err != nil {
			return fmt.Errorf("migrating from schema version %d: %w", version, err)
		}
	}
	return nil
}

func step(ctx context.Context, db *sql.DB, from int) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, migrations[from]); err != nil {
		return err
	}
	if from == 0 {
		if _, err := tx.ExecContext(ctx, "INSERT INTO meta VALUES ('store_id', ?)", NewID()); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", from+1)); err != nil {
		return err
	}
	return tx.Commit()
}

// NewID makes a random 128-bit id, so that rows of several hosts can be told
// apart for ever.
func NewID() string {
	id := NewToken()
	return hex.EncodeToString(id[:])
}

// NewToken returns 128 random bits.
func NewToken() (id [16]byte) {
	rand.Read(id[:])
	return id
}
