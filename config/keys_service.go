package config

import (
	"dmarcgate/config/tomlfile"
)

// The keys of limits, stored rows, replies and the operators' side: place,
// default and range.

// Limits bound what a third party or an MTA can make us spend.
type Limits struct {
	MessageBudget tomlfile.Duration // from the end of the message to our answer
	Connections   int               // MTA connections per listener
	IdleTimeout   tomlfile.Duration // silence of an MTA before its connection is closed
	HeaderFields  int               // per message
	HeaderBytes   tomlfile.Size     // per message
	HeaderMemory  tomlfile.Size     // over all messages and listeners, beyond the first 64 KiB of each
	Recipients    int               // per message
	DrainTimeout  tomlfile.Duration // how long sessions may go on after SIGTERM
}

// Store is where results are recorded.
type Store struct {
	Path       string            // absolute; StateDir/results.db when not set
	Durability string            // off, async, ack or disk
	Wait       tomlfile.Duration // the longest that an answer waits for its row
	Queue      int               // rows that may wait to be written
	Retention  tomlfile.Duration // how long rows are kept, whole days; 0 is for ever
	MaxSize    tomlfile.Size     // of the database; 0 is no limit
	MinFree    tomlfile.Size     // what the database leaves free on its file system
	Postgres   Postgres
}

// Postgres is the database that the rows of several hosts are moved to.
type Postgres struct {
	URL          string            // without a password; "" is none
	PasswordFile string            // absolute; "" when the server asks for none
	Retention    tomlfile.Duration // how long rows are kept there, whole days; 0 is for ever
}

// Privacy says what is kept of whom.
type Privacy struct {
	ShortenIPAfter tomlfile.Duration // clients become networks, of rows older than this; 0 is never
	KeepRecipients bool              // the domains of recipients
	HashQueueIDs   bool              // queue ids are kept as a keyed hash
	KeyFile        string            // absolute; StateDir/queueid.key when not set
}

// Sampling is what the draws for pct depend on.
type Sampling struct {
	SecretFile string // absolute; StateDir/sampling.key when not set
}

// Reply holds the texts of SMTP replies, without codes. Each may contain
// {domain}, {why} and {qid}.
type Reply struct {
	Reject   string
	Local    string // of a refusal by a rule that the author domain's policy does not ask for
	TempFail string
	NoAuthor string // of a refusal for a From field that names no author domain
	Help     string // link behind each text; "" is none
}

// Header is about header fields besides Authentication-Results.
type Header struct {
	Tag        string // added to quarantined mail when Quarantine is tag
	RemoveBIMI bool   // BIMI fields from outside are removed
}

// Admin is the HTTP listener for metrics and health, and the control socket.
type Admin struct {
	Listen      string // "ip:port"; "" is off
	AllowRemote bool   // Listen may be an address that other hosts reach
	Control     string // absolute path of the control socket; StateDir/control.sock when not set
}

// Log is how the log is written.
type Log struct {
	To             string // stderr or syslog
	SyslogFacility string // of lines to syslog
	Format         string // logfmt or json
	Level          string // debug, info, warn or error
	OpenDMARCLines bool   // lines as OpenDMARC writes them stand beside that of a message
}

func serviceDefaults(c *Config) {
	c.Limits = Limits{
		MessageBudget: 20 * second,
		Connections:   4096,
		IdleTimeout:   15 * minute,
		HeaderFields:  2000,
		HeaderBytes:   4 * tomlfile.MiB,
		HeaderMemory:  128 * tomlfile.MiB, // 32 of the largest headers, or 1,000 of 192 KiB
		Recipients:    1000,
		DrainTimeout:  10 * second,
	}
	c.Store = Store{
		Durability: "ack",
		Wait:       2 * second,
		Queue:      10000,
		Retention:  30 * day, // as long as policy.HistoryDays looks back
		MaxSize:    20 * tomlfile.GiB,
		MinFree:    256 * tomlfile.MiB,
		Postgres:   Postgres{Retention: 90 * day},
	}
	c.Privacy = Privacy{KeepRecipients: true}
	c.Reply = Reply{
		Reject:   "Email rejected per DMARC policy for {domain}: {why} (qid {qid})",
		Local:    "Email rejected by local policy, not by the DMARC policy of {domain}: {why} (qid {qid})",
		TempFail: "DMARC check for {domain} could not be completed, try again later: {why} (qid {qid})",
		NoAuthor: "Message has no usable From header field (RFC 5322), so DMARC cannot be checked: {why} (qid {qid})",
	}
	c.Header = Header{Tag: "X-DMARC-Quarantine", RemoveBIMI: true}
	c.Admin = Admin{Listen: "127.0.0.1:9435"}
	c.Log = Log{To: "stderr", SyslogFacility: "mail", Format: "logfmt", Level: "info"}
}

// serviceFields are keys of the limits, of the records, of the answers and of
// the operators' side.
func serviceFields(c *Config) []tomlfile.Field {
	return []tomlfile.Field{
		// Postfix waits 300 s for the answer (milter_content_timeout).
		tomlfile.DurationBetween("limits.message_budget", &c.Limits.MessageBudget, second, 4*minute),
		tomlfile.NumberBetween("limits.connections", &c.Limits.Connections, 1, 100_000),
		tomlfile.DurationBetween("limits.idle_timeout", &c.Limits.IdleTimeout, minute, day),
		tomlfile.NumberBetween("limits.header_fields", &c.Limits.HeaderFields, 100, 100_000),
		tomlfile.SizeBetween("limits.header_bytes", &c.Limits.HeaderBytes, 64*tomlfile.KiB, 256*tomlfile.MiB),
		tomlfile.SizeBetween("limits.header_memory", &c.Limits.HeaderMemory, tomlfile.MiB, 64*tomlfile.GiB),
		tomlfile.NumberBetween("limits.recipients", &c.Limits.Recipients, 100, 100_000), // RFC 5321, Section 4.5.3.1.8: at least 100
		// systemd kills what has not stopped after 90 s (DefaultTimeoutStopSec).
		tomlfile.DurationBetween("limits.drain_timeout", &c.Limits.DrainTimeout, second/10, minute),

		tomlfile.Parsed("store.path", &c.Store.Path, parseOptionalPath),
		tomlfile.Choice("store.durability", &c.Store.Durability, "off", "async", "ack", "disk"),
		tomlfile.DurationBetween("store.wait", &c.Store.Wait, second/100, 30*second),
		tomlfile.NumberBetween("store.queue", &c.Store.Queue, 1, 10_000_000),
		tomlfile.DurationBetween("store.retention", &c.Store.Retention, 0, maxRetention),
		tomlfile.SizeBetween("store.max_size", &c.Store.MaxSize, 0, 1024*tomlfile.GiB),
		tomlfile.SizeBetween("store.min_free", &c.Store.MinFree, 0, 1024*tomlfile.GiB),
		tomlfile.Text("store.postgres.url", &c.Store.Postgres.URL, checkPostgres),
		tomlfile.Parsed("store.postgres.password_file", &c.Store.Postgres.PasswordFile, parseOptionalPath),
		tomlfile.DurationBetween("store.postgres.retention", &c.Store.Postgres.Retention, 0, maxRetention),

		tomlfile.DurationBetween("privacy.shorten_ip_after", &c.Privacy.ShortenIPAfter, 0, maxRetention),
		tomlfile.Flag("privacy.keep_recipients", &c.Privacy.KeepRecipients),
		tomlfile.Flag("privacy.hash_queue_ids", &c.Privacy.HashQueueIDs),
		tomlfile.Parsed("privacy.key_file", &c.Privacy.KeyFile, parseOptionalPath),

		tomlfile.Parsed("sampling.secret_file", &c.Sampling.SecretFile, parseOptionalPath),

		tomlfile.Text("reply.reject", &c.Reply.Reject, CheckReply),
		tomlfile.Text("reply.local", &c.Reply.Local, CheckReply),
		tomlfile.Text("reply.tempfail", &c.Reply.TempFail, CheckReply),
		tomlfile.Text("reply.no_author", &c.Reply.NoAuthor, CheckReply),
		tomlfile.Text("reply.help", &c.Reply.Help, checkHelp),

		tomlfile.Text("header.tag", &c.Header.Tag, checkFieldName),
		tomlfile.Flag("header.remove_bimi", &c.Header.RemoveBIMI),

		tomlfile.Parsed("admin.listen", &c.Admin.Listen, parseAdmin),
		tomlfile.Flag("admin.allow_remote", &c.Admin.AllowRemote),
		tomlfile.Parsed("admin.control", &c.Admin.Control, parseOptionalPath),

		tomlfile.Parsed("pages.listen", &c.Pages.Listen, parsePages),

		tomlfile.Choice("log.to", &c.Log.To, "stderr", "syslog"),
		tomlfile.Choice("log.syslog_facility", &c.Log.SyslogFacility,
			"mail", "daemon", "user", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"),
		tomlfile.Choice("log.format", &c.Log.Format, "logfmt", "json"),
		tomlfile.Choice("log.level", &c.Log.Level, "debug", "info", "warn", "error"),
		tomlfile.Flag("log.opendmarc_lines", &c.Log.OpenDMARCLines),
	}
}

// serviceEffects has the keys above that shape no facts: see effect.
var serviceEffects = map[string]effect{
	"header.tag":                   neutral,
	"reply.reject":                 neutral,
	"reply.local":                  neutral,
	"reply.tempfail":               neutral,
	"reply.no_author":              neutral,
	"reply.help":                   neutral,
	"limits.connections":           neutral,
	"limits.idle_timeout":          neutral,
	"limits.drain_timeout":         neutral,
	"admin.listen":                 neutral,
	"admin.allow_remote":           neutral,
	"admin.control":                neutral,
	"pages.listen":                 neutral,
	"log.to":                       neutral,
	"log.syslog_facility":          neutral,
	"log.opendmarc_lines":          neutral,
	"log.format":                   neutral,
	"log.level":                    neutral,
	"store.path":                   neutral,
	"store.durability":             neutral,
	"store.wait":                   neutral,
	"store.queue":                  neutral,
	"store.max_size":               neutral,
	"store.min_free":               neutral,
	"store.postgres.url":           neutral,
	"store.postgres.password_file": neutral,
	"store.postgres.retention":     neutral,
	"privacy.shorten_ip_after":     neutral,
	"privacy.keep_recipients":      neutral,
	"privacy.hash_queue_ids":       neutral,
	"privacy.key_file":             neutral,
}

// maxRetention is ten years: longer than any law known to us asks for.
const maxRetention = 3650 * day
