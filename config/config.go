// Package config reads the configuration file: its fields, defaults and ranges,
// and where a value is wrong. It says nothing about what the settings do;
// deploy/dmarcgate.toml, which a test compares with this package, tells the
// operator.
//
// The file is TOML 1.0. Keys are lower case and matched exactly. Durations and
// sizes are texts with a unit ("20s", "64MiB"); a bare number is refused,
// because its unit would be a guess. All problems of a file are reported
// together, each with line, key, cause and fix.
//
// It is not for secrets (the file names their files), for override rules
// (config/rulefile reads them), or for anything that needs the network: a
// configuration can be checked on any host.
//
// Limits: a file has at most tomlfile.MaxFile bytes, 1 MiB.
//
// Failures: Load and Parse return either a complete Config or an error, never
// both. A caller that reloads keeps the Config it has when Load fails.
package config

import (
	"cmp"
	"io/fs"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"dmarcgate/config/tomlfile"
	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
)

// Config is one configuration file with every default filled in. It is not
// changed after Load; a reload makes another one.
type Config struct {
	AuthservID      string   // our name in Authentication-Results (RFC 8601, Section 2.5); "" is what the MTA calls itself
	AuthservIDsAlso []string // further names whose Authentication-Results are forgeries when they arrive from outside
	StateDir        string   // absolute; holds the result store and the keys
	RulesDir        string   // absolute; the override rules, "" is none
	User            string   // "user" or "user:group" to become once the sockets are open; "" is whoever starts the daemon

	Listeners     []Listener // at least one
	TrustedRelays []TrustedRelay

	DKIM       DKIM
	ARC        ARC
	Discovery  Discovery
	TempError  TempError
	From       policy.FromAnswers
	Conformant Conformant
	DNS        DNS
	Limits     Limits
	Store      Store
	Privacy    Privacy
	Sampling   Sampling
	Reports    Reports
	Reply      Reply
	Header     Header
	Admin      Admin
	Log        Log

	warnings []tomlfile.Problem
	host     hostNames
	source   tomlfile.Places // of the file; zero without one
	written  map[string]any  // its values by path, see Changes
}

// Problem is what is found wrong with the value of a key after Load: something
// that only the host knows, such as a directory that is not there.
func (c *Config) Problem(key, text, fix string) *tomlfile.Errors {
	return &tomlfile.Errors{Problems: []tomlfile.Problem{c.problem(key, text, fix)}}
}

// ListenerProblem is Problem of a key of the listener at a position.
func (c *Config) ListenerProblem(i int, key, text, fix string) *tomlfile.Errors {
	return &tomlfile.Errors{Problems: []tomlfile.Problem{c.problem(tomlfile.Join(tomlfile.Element("listener", i), key), text, fix)}}
}

func (c *Config) problem(path, text, fix string) tomlfile.Problem {
	return c.source.Problem(path, tomlfile.Fault{At: path, Text: text, Mend: fix})
}

// HostName returns the full name of this host, or the short one where no other
// is known.
func (c *Config) HostName() string { return c.host.full }

// OwnIDs returns every name under which results of ours may be written, or may
// have been: those of the file, and the names of this host. It may have some
// twice.
func (c *Config) OwnIDs() []string {
	ids := slices.Concat([]string{c.AuthservID}, c.AuthservIDsAlso, c.host.all)
	for _, l := range c.Listeners {
		ids = append(ids, l.AuthservID)
	}
	return slices.DeleteFunc(ids, func(id string) bool { return id == "" })
}

// Warnings returns what can be used and is perhaps not what is meant, by line.
func (c *Config) Warnings() []tomlfile.Problem { return c.warnings }

// Listener is one place where MTAs connect, with what is done for them.
type Listener struct {
	Name            string // [a-z0-9-]{1,32}, unique; a metric label
	Address         Address
	AuthservID      string         // our name here; Config.AuthservID when not set
	TrustMTAName    bool           // take the name of an MTA that connects over TCP, too
	SocketMode      fs.FileMode    // permission bits of a Unix socket
	SocketOwner     string         // "user", "user:group" or ":group" of a Unix socket; "" is the daemon's own
	Profile         policy.Profile // has no default in the file
	EnforceShare    uint8          // percent of the messages for which Profile holds, 1 to 100; the others are only observed
	Quarantine      policy.Action  // policy.Tag, Hold or Refuse
	TrustedNetworks []netip.Prefix // mail from here is cleaned of forged fields and not evaluated
}

// TrustedRelay is a set of our own hosts that hand over mail from outside. The
// client is then read from the Received field that such a host wrote.
type TrustedRelay struct {
	Networks []netip.Prefix // where they connect from
	Names    []string       // their names after "by" in Received
	Inner    []netip.Prefix // hosts of ours that hand mail to them
}

// DKIM says which signatures and keys are accepted.
type DKIM struct {
	BodyLength string // refuse or whole: what a signature with l= is worth
	MaxKeyBits int    // of RSA keys
}

// ARC says for which messages the chain is validated.
type ARC struct {
	Check string // failing (those that do not pass DMARC) or all
}

// Discovery says how the DMARC record of a domain is found.
type Discovery struct {
	Method  string // treewalk (RFC 9989, Section 4.10) or psl (RFC 7489, Section 6.6.3)
	PSLFile string // absolute; "" is the list built in
	Pct     string // honour or ignore
	Compare bool   // ask by the other method, too, and tell the differences
}

// TempError says what happens to mail whose verdict hangs on a DNS failure.
type TempError struct {
	Ours     policy.TempAnswer // our resolver answers nobody; not policy.TempQuarantine
	Domain   policy.TempAnswer // others resolve, this domain does not
	MaxDefer tomlfile.Duration // how long one author domain and client are deferred

	UnknownClient policy.Action // policy.Tag, Accept or Tempfail: no DKIM pass, and SPF has no client to check
}

// Conformant says whom the profile conformant believes that a message is
// genuine although it fails.
type Conformant struct {
	TrustedSealers    []string // of ARC; lower-case A-labels
	ForwarderNetworks []netip.Prefix
	ForwarderDomains  []pattern.Domain // for which SPF or DKIM passes
}

// DNS is how names are looked up and remembered.
type DNS struct {
	Servers        []string          // "ip:port"; empty means those of /etc/resolv.conf
	Trusted        []string          // those of Servers whose AD bit is believed
	QueryTimeout   tomlfile.Duration // one exchange with one server
	Timeout        tomlfile.Duration // one lookup with all its attempts
	CacheSize      tomlfile.Size
	MinTTL         tomlfile.Duration // 0 is no floor
	MaxTTL         tomlfile.Duration
	MaxNegativeTTL tomlfile.Duration
	FailureTTL     tomlfile.Duration
	StaleTTL       tomlfile.Duration // past the TTL; 0 is not at all
	StaleNegTTL    tomlfile.Duration // the same for "there is none"
	StaleAfter     tomlfile.Duration // what a message waits for news where there is a stale answer
	MaxInFlight    int               // queries to servers at once
}

// Limits bound what a stranger or an MTA can make us spend.
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

// Reports is what is reported to domain owners.
type Reports struct {
	Schema string // rfc9990 or rfc7489
}

// Reply holds the texts of SMTP replies, without codes. Each may contain
// {domain}, {reason} and {qid}.
type Reply struct {
	Reject   string
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
	Format string // logfmt or json
	Level  string // debug, info, warn or error
}

const (
	second = tomlfile.Duration(time.Second)
	minute = tomlfile.Duration(time.Minute)
	hour   = tomlfile.Duration(time.Hour)
	day    = tomlfile.Day
)

// Default returns the configuration of a file that sets nothing. It has no
// listener, so it is not complete: where MTAs connect and what is enforced for
// them is never guessed. Values that Load derives from others are empty.
func Default() Config {
	return Config{
		StateDir:  "/var/lib/dmarcgate",
		DKIM:      DKIM{BodyLength: "refuse", MaxKeyBits: 4096},
		ARC:       ARC{Check: "failing"},
		Discovery: Discovery{Method: "treewalk", Pct: "honour"},
		TempError: TempError{Ours: policy.TempAccept, Domain: policy.TempTempfail, UnknownClient: policy.Tag, MaxDefer: 4 * hour},
		DNS: DNS{
			QueryTimeout:   2 * second,
			Timeout:        5 * second,
			CacheSize:      64 * tomlfile.MiB,
			MaxTTL:         24 * hour,
			MaxNegativeTTL: 15 * minute,
			FailureTTL:     5 * second,
			StaleTTL:       24 * hour,
			StaleNegTTL:    hour,
			StaleAfter:     second * 18 / 10,
			MaxInFlight:    1000,
		},
		Limits: Limits{
			MessageBudget: 20 * second,
			Connections:   4096,
			IdleTimeout:   15 * minute,
			HeaderFields:  2000,
			HeaderBytes:   4 * tomlfile.MiB,
			HeaderMemory:  128 * tomlfile.MiB, // 32 of the largest headers, or 1,000 of 192 KiB
			Recipients:    1000,
			DrainTimeout:  10 * second,
		},
		Store: Store{
			Durability: "ack",
			Wait:       2 * second,
			Queue:      10000,
			Retention:  30 * day, // as long as policy.HistoryDays looks back
			MaxSize:    20 * tomlfile.GiB,
			MinFree:    256 * tomlfile.MiB,
			Postgres:   Postgres{Retention: 90 * day},
		},
		Privacy: Privacy{KeepRecipients: true},
		Reports: Reports{Schema: "rfc9990"},
		Reply: Reply{
			Reject:   "Email rejected per DMARC policy for {domain}: {reason} (qid {qid})",
			TempFail: "DMARC check for {domain} could not be completed, try again later: {reason} (qid {qid})",
			NoAuthor: "Message has no usable From header field (RFC 5322), so DMARC cannot be checked: {reason} (qid {qid})",
		},
		Header: Header{Tag: "X-DMARC-Quarantine", RemoveBIMI: true},
		Admin:  Admin{Listen: "127.0.0.1:9435"},
		Log:    Log{Format: "logfmt", Level: "info"},
	}
}

// defaultListener returns the listener of a table that sets nothing.
func defaultListener() Listener {
	return Listener{SocketMode: 0o660, EnforceShare: 100, Quarantine: policy.Tag}
}

// derive fills in the values that depend on other values or on the host.
func (c *Config) derive() error {
	if c.Store.Path == "" {
		c.Store.Path = filepath.Join(c.StateDir, "results.db")
	}
	if c.Privacy.KeyFile == "" {
		c.Privacy.KeyFile = filepath.Join(c.StateDir, "queueid.key")
	}
	if c.Sampling.SecretFile == "" {
		c.Sampling.SecretFile = filepath.Join(c.StateDir, "sampling.key")
	}
	if c.Admin.Control == "" {
		c.Admin.Control = filepath.Join(c.StateDir, "control.sock")
	}
	for i := range c.Listeners {
		c.Listeners[i].AuthservID = cmp.Or(c.Listeners[i].AuthservID, c.AuthservID)
	}
	var err error
	if c.host, err = localNames(); err != nil && c.AuthservID == "" {
		return tomlfile.Faultf(`set it, for example authserv_id = "mx.example.org"`, "the host name cannot be used: %v", err)
	}
	return nil
}

// What a caller of this package meets of the reader of TOML files.
type (
	Problem  = tomlfile.Problem
	Errors   = tomlfile.Errors
	Duration = tomlfile.Duration
	Size     = tomlfile.Size
)
