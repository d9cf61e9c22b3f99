// Package dbfile inspects the database file of a store: whether the file can be
// used, or is damaged, full or open elsewhere, and which schema the file has.
package dbfile

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"modernc.org/sqlite"
)

// ErrMalformed means that the file cannot be used as it is, whatever anybody
// fixes around it.
var ErrMalformed = errors.New("the file is damaged")

// The result codes of SQLite that are told apart (sqlite.org/rescode.html).
const (
	codeBusy    = 5
	codeLocked  = 6
	codeCorrupt = 11
	codeFull    = 13
	codeNotADB  = 26

	extendedShmSize = 10 | 19<<8 // the index of the log could not be made longer
)

// codeOf returns the primary result code of SQLite, 0 when the error is not
// SQLite's.
func codeOf(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}

// IsDamage reports whether the file itself is at fault: not the disk, not the
// permissions, not another program.
func IsDamage(err error) bool {
	code := codeOf(err)
	return errors.Is(err, ErrMalformed) || code == codeCorrupt || code == codeNotADB
}

// IsFull reports whether the disk has no room.
func IsFull(err error) bool {
	var e *sqlite.Error
	return errors.Is(err, syscall.ENOSPC) || errors.As(err, &e) && (e.Code()&0xff == codeFull || e.Code() == extendedShmSize)
}

// Cause is the label of dmarcgate_store_dropped_total for rows that were lost with
// an error of the file.
func Cause(err error) string {
	switch code := codeOf(err); {
	case IsDamage(err):
		return "damaged"
	case IsFull(err):
		return "disk_full"
	case code == codeBusy || code == codeLocked:
		return "locked"
	}
	return "write_failed"
}

// A check reads everything of a file up to so many bytes. Of a larger one it
// reads for so long, beside the mail: what it has not come to is found by the
// statement that does, and the file is set aside then. Longer, it would keep the
// log of a busy host from being moved into the file. No check sees that a value
// within a row has become another one.
const (
	fullCheck = 32 << 20
	checkTime = 10 * time.Second
)

// Check looks for damage with SQLite's own means. Up to fullCheck it also
// compares indexes with tables.
func Check(ctx context.Context, db *sql.DB, size int64) error {
	text := "PRAGMA quick_check(1)"
	if size <= fullCheck {
		text = "PRAGMA integrity_check(1)"
	} else {
		limited, cancel := context.WithTimeout(ctx, checkTime)
		defer cancel()
		ctx = limited
	}
	var says string
	err := db.QueryRowContext(ctx, text).Scan(&says)
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil // nothing was found as far as it came
	case err != nil:
		return fmt.Errorf("checking the file: %w", err)
	case says != "ok":
		return fmt.Errorf("%w: %s", ErrMalformed, says)
	}
	return nil
}

// The file format (sqlite.org/fileformat2.html, Section 1.3).
const (
	headerSize = 100
	magic      = "SQLite format 3\x00"
)

// Inspect looks at a file before SQLite does, which takes some damage for an empty
// log. It returns how many commits of the log are lost. A file that another
// process has open is in use, and not looked at.
func Inspect(path string) (lost int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return 0, err
	case !info.Mode().IsRegular():
		return 0, errors.New("it is no regular file")
	case InUse(path):
		return 0, nil
	case info.Size() > 0:
		if err := inspectHeader(f); err != nil {
			return 0, err
		}
	}
	log, err := inspectLog(path + "-wal")
	if err == nil && log.whole+log.lost > 0 && info.Size() == 0 {
		err = fmt.Errorf("%w: it is empty, and its log is not", ErrMalformed)
	}
	return log.lost, err
}

func inspectHeader(f *os.File) error {
	var h [headerSize]byte
	if _, err := io.ReadFull(f, h[:]); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it is shorter than a header", ErrMalformed)
	} else if err != nil {
		return err
	}
	size := binary.BigEndian.Uint16(h[16:])
	switch {
	case string(h[:16]) != magic:
		return fmt.Errorf("%w: it is no SQLite database", ErrMalformed)
	case size != 1 && (size < 512 || size&(size-1) != 0):
		return fmt.Errorf("%w: its header has a page size of %d", ErrMalformed, size)
	case h[18] > 2 || h[19] > 2 || [3]byte(h[21:24]) != [3]byte{64, 32, 32}:
		return fmt.Errorf("%w: its header has impossible values", ErrMalformed)
	}
	return nil
}

// The locks on the index of a log: whoever has it open shares one on this byte
// (sqlite.org/walformat.html, Section 2.3.1).
const lockInUse = 128

// InUse reports whether another process has the database at path open. Only one
// may write to it: two would give the same numbers to different rows.
func InUse(path string) bool {
	f, err := os.OpenFile(path+"-shm", os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	lock := syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart, Start: lockInUse, Len: 1}
	err = syscall.FcntlFlock(f.Fd(), syscall.F_GETLK, &lock)
	return err == nil && lock.Type != syscall.F_UNLCK
}
