package results

import "time"

// Retention says how much is kept.
type Retention struct {
	// Days is how long rows are kept; 0 for ever.
	Days int
	// MaxBytes is how large the file may become, without its log and what it
	// keeps free for the next rows; 0 is no limit. The oldest rows go first.
	MaxBytes int64
	// FreeBytes is what stays free on the file system: with less, rows are
	// dropped until there is a quarter more. 0 is 256 MiB, or 5 % of a small file
	// system; below 0 there is no such limit.
	FreeBytes int64
}

// StoreStatus is what a store is at.
type StoreStatus struct {
	ID             string
	Rows           int64
	Bytes          int64 // of the file and its log
	FreeBytes      int64 // of the file system, for users that are not root
	Oldest, Newest time.Time
	// Dropped is how many rows were lost since the start, by cause: the labels
	// of dmarcgate_store_dropped_total.
	Dropped map[string]int64
	// Deleted is the same for dmarcgate_store_deleted_total.
	Deleted map[string]int64
	// Guard tells that rows are dropped because too little is free.
	Guard bool
	// Uncleaned is how many rows of earlier programs may still hold destinations
	// of DMARC records in the file.
	Uncleaned int64
	// SetAside is what the file was renamed to that was damaged or had gone, the
	// last one since the start; "" when that has not happened.
	SetAside string
	// Failure is why the last commit failed, or what is wrong with the file; ""
	// when all is well.
	Failure string
}
