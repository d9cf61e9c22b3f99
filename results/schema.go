package results

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"fmt"
)

// schemaVersion is the version that this program writes, in PRAGMA
// user_version. migrations[n] takes a file from version n to n+1.
const schemaVersion = 1

var migrations = [schemaVersion]string{`
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
`}

// migrate brings the file to schemaVersion, and gives a new file its id.
func migrate(ctx context.Context, db *sql.DB) error {
	var version int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return fmt.Errorf("reading the schema version: %w", err)
	}
	if version > schemaVersion {
		return fmt.Errorf("the file has schema version %d and this program knows %d: run the program that wrote it, or a newer one", version, schemaVersion)
	}
	for ; version < schemaVersion; version++ {
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
		if _, err := tx.ExecContext(ctx, "INSERT INTO meta VALUES ('store_id', ?)", newID()); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", from+1)); err != nil {
		return err
	}
	return tx.Commit()
}

// newID makes a random 128-bit id, so that rows of several hosts can be told
// apart for ever.
func newID() string {
	var id [16]byte
	rand.Read(id[:])
	return hex.EncodeToString(id[:])
}
