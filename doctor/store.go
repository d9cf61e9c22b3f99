package doctor

import (
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"dmarcgate/admin"
	"dmarcgate/term"
)

const (
	// maxSkew is how far the clock may be from another host's: DKIM signatures
	// and rows of several hosts are compared to the second, and senders' clocks
	// differ by some seconds anyway.
	maxSkew = 30 * time.Second
	// maxListAge is how old a public suffix list may be. It changes every week.
	maxListAge = 180 * 24 * time.Hour
	// spaceFactor times store.min_free is too little: time to act before rows are
	// dropped.
	spaceFactor = 2
)

// clock looks for signs that this host's clock is wrong.
func (h *Host) clock(r *report) {
	fix := run("apt install systemd-timesyncd && timedatectl set-ntp true")
	if s := h.Daemon; s != nil && s.Results != nil && s.Results.Postgres != nil && s.Results.Postgres.Skew != nil {
		if skew := *s.Results.Postgres.Skew; math.Abs(skew) > maxSkew.Seconds() {
			r.add("clock", fix, "the clock of this host differs by %.0f s from that of PostgreSQL: signatures with an expiry, rows and reports get wrong times", skew)
			return
		}
	}
	if len(h.Mail) > 0 && h.Mail[0].Time.After(h.Now.Add(maxSkew)) {
		r.add("clock", fix, "the newest message in the store is of %s, and the clock says %s: the clock was or is wrong", term.Stamp(h.Mail[0].Time), term.Stamp(h.Now))
	}
	h.list(r)
}

// list looks at the public suffix list.
func (h *Host) list(r *report) {
	age := h.Now.Sub(h.List.Date)
	if h.List.Date.IsZero() || age <= maxListAge {
		return
	}
	if h.List.Path == "" {
		r.add("suffix_list_old", put(h.Path, "[discovery]\npsl_file = \"/usr/share/publicsuffix/public_suffix_list.dat\""),
			"the public suffix list built in is of %s, %.0f days old: domains below newer suffixes are taken for one organization; install a list that is kept up: apt install publicsuffix", h.List.Date.Format(time.DateOnly), age.Hours()/24)
		return
	}
	r.add("suffix_list_old", run("apt install --only-upgrade publicsuffix"),
		"the public suffix list %s is of %s, %.0f days old: domains below newer suffixes are taken for one organization", h.List.Path, h.List.Date.Format(time.DateOnly), age.Hours()/24)
}

// store looks at the recorded results.
func (h *Host) store(r *report) {
	path := h.Config.Store.Path
	if h.StoreClosed != "" {
		r.add("store_closed", run("chown -R %s %s", term.ShellWord(h.user()), term.ShellWord(filepath.Dir(path))), "the daemon's user cannot write to the store: %s", term.Printable(h.StoreClosed))
	}
	if len(h.StoreUsers) > 0 {
		r.add("store_shared", byHand("give each daemon a state_dir of its own, or stop one of them"),
			"another process has the store %s open: %s; two daemons on one store give the same numbers to different rows", path, some(h.StoreUsers))
	}
	if h.Daemon == nil || h.Daemon.Results == nil {
		return
	}
	s := h.Daemon.Results
	if s.Failure != "" && h.StoreClosed == "" {
		r.add("store_failed", run("dmarcgate results status"), "the store does not record: %s", term.Printable(s.Failure))
	}
	h.space(r, s)
	if s.SetAside != "" {
		r.add("store_damaged", run("sqlite3 %s .recover", term.ShellWord(s.SetAside)), "the store was damaged and is renamed to %s; a new one was begun, and the history of senders with it", term.Printable(s.SetAside))
	}
	var lost []string
	for _, why := range slices.Sorted(maps.Keys(s.Dropped)) {
		lost = append(lost, fmt.Sprintf("%s, %s", term.Count(int(s.Dropped[why]), "row"), why))
	}
	if len(lost) > 0 {
		r.add("store_lost", run("dmarcgate results status"), "results were lost since the start of the daemon: %s", some(lost))
	}
	h.postgres(r, s.Postgres)
}

func (h *Host) user() string {
	if h.Config.User != "" {
		return h.Config.User
	}
	return "dmarcgate"
}

// space looks at the file system of the store.
func (h *Host) space(r *report, s *admin.ResultsStatus) {
	keep := int64(h.Config.Store.MinFree)
	switch {
	case s.Guard:
		r.add("store_space", run("dmarcgate results purge --before 30d"), "%s are free beside the store, less than store.min_free: results are not recorded, and mail is not affected; make room on the file system of %s", term.Mebibytes(s.FreeBytes), s.Path)
	case keep > 0 && s.FreeBytes > 0 && s.FreeBytes < spaceFactor*keep:
		r.add("store_space", run("dmarcgate results purge --before 30d"), "%s are free beside the store, and below %s results are not recorded; make room on the file system of %s", term.Mebibytes(s.FreeBytes), term.Mebibytes(keep), s.Path)
	}
}

// postgres looks at the way to PostgreSQL.
func (h *Host) postgres(r *report, p *admin.PostgresStatus) {
	if p == nil || p.Failure == "" {
		return
	}
	says := term.Bounded(p.Failure, term.MaxShown)
	switch {
	case strings.Contains(p.Failure, "53300") || strings.Contains(p.Failure, "too many clients") || strings.Contains(p.Failure, "connection slots"):
		r.add("postgres_connections", put("postgresql.conf", "max_connections = 200"), "PostgreSQL has no connection left, and %s: %s", waiting(p), says)
	case p.State == "refused":
		r.add("postgres_refused", run("dmarcgate results adopt"), "PostgreSQL does not take the rows of this store: %s; if this host is a copy of another, let its store go on under an id of its own", says)
	default:
		r.add("postgres_down", run("dmarcgate results status"), "PostgreSQL cannot be reached, and %s: %s", waiting(p), says)
	}
}

func waiting(p *admin.PostgresStatus) string {
	return term.Count(int(p.Waiting), "row") + " wait in the store of this host"
}
