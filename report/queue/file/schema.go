package file

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"dmarcgate/report/queue/schema"
)

// applicationID is in the header of the file: "dmrq". It tells a queue from other
// databases.
const applicationID = 0x646d7271

// newTables makes the tables of a new file.
func newTables() string { return schema.Tables("INTEGER PRIMARY KEY AUTOINCREMENT", "INTEGER", "BLOB") }

// migrate makes the tables of a new file, and refuses those of other programs.
func migrate(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var version, id, there int
	err = tx.QueryRowContext(ctx, "SELECT user_version, application_id, (SELECT count(*) FROM sqlite_schema) FROM pragma_user_version, pragma_application_id").
		Scan(&version, &id, &there)
	switch {
	case err != nil:
		return fmt.Errorf("reading the schema version: %w", err)
	case there > 0 && id != applicationID:
		return errors.New("the file is a database of another program: give the queue a path of its own")
	case version > schema.Version:
		return fmt.Errorf("the file has schema version %d and this program knows %d: run the program that wrote it, or a newer one", version, schema.Version)
	case version == schema.Version:
		return nil
	}
	// A file of version 0 has no tables: this is the only step until there is a second version.
	if _, err := tx.ExecContext(ctx, newTables()+fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", applicationID, schema.Version)); err != nil {
		return fmt.Errorf("making the tables: %w", err)
	}
	return tx.Commit()
}
