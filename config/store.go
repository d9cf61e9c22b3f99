package config

import (
	"fmt"
	"net/url"
	"strings"

	"dmarcgate/config/tomlfile"
)

// minMaxSize is the smallest database that keeps anything worth reading: some
// 100,000 rows.
const minMaxSize = 64 * tomlfile.MiB

// checkPostgres checks the form of the URL of a database, "" being none. It
// never shows what it refuses, which may hold a password. What the parameters
// mean, the driver knows.
func checkPostgres(s string) error {
	if s == "" {
		return nil
	}
	const form = `write for example "postgres://dmarcgate@db.example.org/dmarcgate?sslmode=verify-full"`
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Opaque != "" || u.Scheme != "postgres" && u.Scheme != "postgresql":
		return tomlfile.Faultf(form, "is not the URL of a PostgreSQL database")
	case hasPassword(u):
		return tomlfile.Faultf("write the password into a file readable only by the daemon, and name the file in password_file", "holds a password")
	case strings.Trim(u.Path, "/") == "" && !u.Query().Has("dbname"):
		return tomlfile.Faultf(form, "names no database")
	}
	return nil
}

func hasPassword(u *url.URL) bool {
	_, set := u.User.Password()
	return set || u.Query().Has("password") || u.Query().Has("sslpassword")
}

// checkStore checks what concerns several keys of [store] and [privacy].
func checkStore(c *Config) []tomlfile.Fault {
	faults := append(wholeDays("store.retention", c.Store.Retention), wholeDays("store.postgres.retention", c.Store.Postgres.Retention)...)
	faults = append(faults, checkShorten(c)...)
	if size := c.Store.MaxSize; size > 0 && size < minMaxSize {
		faults = append(faults, tomlfile.Fault{
			At:   "store.max_size",
			Text: fmt.Sprintf("%v leaves no room", size),
			Fix:  fmt.Sprintf(`write %v or more, or "0B" for no limit`, minMaxSize),
		})
	}
	pg := c.Store.Postgres
	if pg.PasswordFile != "" && pg.URL == "" {
		faults = append(faults, tomlfile.Fault{At: "store.postgres.password_file", Text: "is set without url", Fix: "set url, too"})
	}
	if pg.URL != "" && c.Store.Durability == "off" {
		faults = append(faults, tomlfile.Fault{
			At: "store.postgres.url", Or: "store.durability",
			Text: `there is nothing to move while durability is "off"`,
			Fix:  `write durability = "ack", or remove url`,
		})
	}
	return faults
}

// wholeDays refuses parts of a day: rows are dropped by the day.
func wholeDays(key string, d tomlfile.Duration) []tomlfile.Fault {
	if d%day == 0 {
		return nil
	}
	return []tomlfile.Fault{{At: key, Text: fmt.Sprintf("%v is not a number of whole days", d), Fix: `write for example "30d", or "0s" to keep everything`}}
}

// checkShorten checks that there is something left to shorten.
func checkShorten(c *Config) []tomlfile.Fault {
	const key = "privacy.shorten_ip_after"
	after, keep := c.Privacy.ShortenIPAfter, longest(c.Store)
	switch {
	case after > 0 && after < hour:
		return []tomlfile.Fault{{
			At:   key,
			Text: fmt.Sprintf("%v is out of range", after),
			Fix:  fmt.Sprintf(`write %v or more, or "0s" for never`, hour),
		}}
	case after > 0 && keep > 0 && after >= keep:
		return []tomlfile.Fault{{
			At: key, Or: "store.retention",
			Text: fmt.Sprintf("%v is not below %v, the retention of results", after, keep),
			Fix:  "set a longer retention: rows are deleted by then",
		}}
	}
	return nil
}

// longest is how long rows are kept where they are kept longest; 0 is for ever.
func longest(s Store) tomlfile.Duration {
	if s.Postgres.URL == "" {
		return s.Retention
	}
	if s.Retention == 0 || s.Postgres.Retention == 0 {
		return 0
	}
	return max(s.Retention, s.Postgres.Retention)
}
