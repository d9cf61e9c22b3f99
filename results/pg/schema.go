package pg

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"dmarcgate/report/queue/schema"
)

// schemaVersion is the version that this program makes. migrations[n] takes a
// database from version n to n+1.
//
// A migration that only adds (tables, columns with a default, indexes) leaves
// programs of earlier versions at work, so that hosts can be upgraded one after
// the other. One that does more has to raise minVersion to its own version.
const (
	schemaVersion = 5
	minVersion    = 1
)

// The columns and numbers of message are those of the local store, which says
// what they mean.
var migrations = [schemaVersion]string{`
CREATE TABLE dmarcgate.store (
	id        integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	uuid      uuid NOT NULL UNIQUE,
	host      text NOT NULL,
	machine   text NOT NULL,
	path      text NOT NULL,
	shipped   bigint NOT NULL,      -- all rows up to this one are here
	watermark timestamptz,          -- all rows before this time are here
	skew_ms   bigint NOT NULL DEFAULT 0, -- the host's clock minus the server's
	created   timestamptz NOT NULL DEFAULT clock_timestamp(),
	seen      timestamptz NOT NULL DEFAULT clock_timestamp(),
	stopped   timestamptz,          -- its daemon said goodbye; null while it ships
	ended     timestamptz           -- another store took its place
);
CREATE TABLE dmarcgate.store_opening (
	store     integer NOT NULL REFERENCES dmarcgate.store,
	token     uuid NOT NULL,
	first_seq bigint NOT NULL,
	PRIMARY KEY (store, token)
);
CREATE TABLE dmarcgate.refused ( -- rows that stayed in the local file
	store   integer NOT NULL REFERENCES dmarcgate.store,
	seq     bigint NOT NULL,
	why     text NOT NULL,
	refused timestamptz NOT NULL DEFAULT clock_timestamp(),
	PRIMARY KEY (store, seq)
);
CREATE TABLE dmarcgate.message (
	seq           bigint NOT NULL,
	time          timestamptz NOT NULL,
	store         integer NOT NULL,
	flags         integer NOT NULL,
	state         smallint NOT NULL,
	result        smallint NOT NULL,
	requested     smallint NOT NULL,
	disposition   smallint NOT NULL,
	action        smallint NOT NULL,
	qid           text NOT NULL,
	client        inet,
	author        text NOT NULL,
	policy_domain text NOT NULL,
	override      text NOT NULL,
	row           bytea NOT NULL,
	PRIMARY KEY (store, seq, time)
) PARTITION BY RANGE (time);
CREATE INDEX message_time ON dmarcgate.message (time);
CREATE INDEX message_qid ON dmarcgate.message (qid);
-- What "top" counts is in these alone.
CREATE INDEX message_failing ON dmarcgate.message (time, author, disposition, client) WHERE result = 2 AND state = 0;
CREATE INDEX message_overridden ON dmarcgate.message (time, author, override, disposition) WHERE override <> '' AND state = 0;
CREATE INDEX message_malformed ON dmarcgate.message (time, policy_domain, author) WHERE flags & 2 <> 0 AND state = 0;
CREATE TABLE dmarcgate.sender ( -- as in the local store
	org    text NOT NULL,
	net    cidr NOT NULL,
	first  timestamptz NOT NULL,
	last   timestamptz NOT NULL,
	store  integer NOT NULL, -- of the first message, like
	seq    bigint NOT NULL,
	passed boolean NOT NULL,
	PRIMARY KEY (org, net)
);
CREATE INDEX sender_first ON dmarcgate.sender (first);
`, `
CREATE TABLE dmarcgate.mark ( -- how far work on the rows of all hosts has come
	name  text PRIMARY KEY,
	value text NOT NULL
);
`, `
-- The rows that name a rule. An index on message would be the same, but making
-- one reads all days. Programs of before do not write it: ruled_from is the first
-- row of a store that was shipped by one that does, and null when none was.
CREATE TABLE dmarcgate.ruled (
	time  timestamptz NOT NULL,
	store integer NOT NULL,
	seq   bigint NOT NULL,
	PRIMARY KEY (time, store, seq)
);
ALTER TABLE dmarcgate.store ADD ruled_from bigint;
CREATE TABLE dmarcgate.rule_use ( -- as in the local store, of rows from ruled_from on
	store   integer NOT NULL REFERENCES dmarcgate.store,
	rule    text NOT NULL,
	first   timestamptz NOT NULL,
	last    timestamptz NOT NULL,
	matches bigint NOT NULL,
	PRIMARY KEY (store, rule)
);
`, `
-- The spans of rows that programs of before have shipped. Such rows hold the
-- destinations of DMARC records, and are cleaned later (clean). clean_to is what
-- "shipped" was when a program that ships clean rows has moved it last; programs
-- of before move "shipped" alone.
ALTER TABLE dmarcgate.store ADD clean_to bigint;
CREATE TABLE dmarcgate.uncleaned (
	store integer NOT NULL REFERENCES dmarcgate.store,
	first bigint NOT NULL,
	last  bigint NOT NULL,
	PRIMARY KEY (store, last)
);
`,
	// The queue of reports (report/queue).
	"SET LOCAL search_path = dmarcgate;" + schema.Tables("bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY", "timestamptz", "bytea") +
		"SET LOCAL search_path = DEFAULT;"}

// The advisory locks of two numbers; those of one number are the stores' own.
const (
	lockClass      = 0x646d6172 // "dmar"
	lockSchema     = 1
	lockRetention  = 2
	lockPartitions = 3
)

// version is what a database says of itself: its schema version, and the
// oldest program that can use it.
type version struct{ version, min int }

// usable says whether this program can use the database, and whether it has to
// migrate it first.
func (v version) usable() (migrate bool, err error) {
	if v.min > schemaVersion {
		return false, fmt.Errorf("%w: the database has schema version %d, which programs that know less than version %d cannot use; this one knows %d: install the newer program here, too",
			ErrSchema, v.version, v.min, schemaVersion)
	}
	return v.version < schemaVersion, nil
}

// migrate brings the database to schemaVersion, or finds it newer and usable.
// Any number of hosts may do so at once.
func migrate(ctx context.Context, conn *pgx.Conn) error {
	v, err := readVersion(ctx, conn)
	if err != nil {
		return err
	}
	needed, err := v.usable()
	if err != nil || !needed {
		return err
	}
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1, $2)", lockClass, lockSchema); err != nil {
			return fmt.Errorf("waiting to migrate: %w", err)
		}
		v, err := readVersion(ctx, tx)
		if err != nil {
			return err
		}
		return steps(ctx, tx, v)
	})
}

// steps runs the migrations that are missing.
func steps(ctx context.Context, tx pgx.Tx, v version) error {
	needed, err := v.usable()
	if err != nil || !needed {
		return err
	}
	if v.version == 0 {
		if err := begin(ctx, tx); err != nil {
			return fmt.Errorf("creating the schema dmarcgate: %w", err)
		}
	}
	for n := v.version; n < schemaVersion; n++ {
		if _, err := tx.Exec(ctx, migrations[n]); err != nil {
			return fmt.Errorf("migrating from schema version %d: %w", n, err)
		}
	}
	_, err = tx.Exec(ctx, "UPDATE dmarcgate.schema_version SET version = $1, min_version = $2", schemaVersion, minVersion)
	return err
}

// begin makes the schema, unless an administrator has made it for a user who
// may not: IF NOT EXISTS asks for that right first.
func begin(ctx context.Context, tx pgx.Tx) error {
	var there bool
	if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'dmarcgate')").Scan(&there); err != nil {
		return err
	}
	if !there {
		if _, err := tx.Exec(ctx, "CREATE SCHEMA dmarcgate"); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, `CREATE TABLE dmarcgate.schema_version (version integer NOT NULL, min_version integer NOT NULL);
		INSERT INTO dmarcgate.schema_version VALUES (0, 0)`)
	return err
}

// readVersion returns zero for a database without our tables.
func readVersion(ctx context.Context, q querier) (v version, err error) {
	if there, err := tableExists(ctx, q, "schema_version"); err != nil || !there {
		return version{}, err
	}
	err = q.QueryRow(ctx, "SELECT version, min_version FROM dmarcgate.schema_version").Scan(&v.version, &v.min)
	if err != nil {
		return version{}, fmt.Errorf("reading the schema version: %w", err)
	}
	return v, nil
}

// tableExists reads the catalogue as any table: to_regclass may answer from
// before the transaction waited for an advisory lock.
func tableExists(ctx context.Context, q querier, name string) (there bool, err error) {
	err = q.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = 'dmarcgate' AND c.relname = $1)`, name).Scan(&there)
	return there, err
}

// querier is a connection or a transaction.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}
