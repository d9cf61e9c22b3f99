package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dmarcgate/config"
	"dmarcgate/daemon"
	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/miltertest"
	"dmarcgate/internal/scale"
	"dmarcgate/policy"
	"dmarcgate/policy/replay"
	"dmarcgate/results"
	"dmarcgate/site"
	"dmarcgate/whatif"
)

// keySite sends the same mail to a daemon under the base configuration and to
// one for each candidate, each with a store of its own that knows the same
// history.
type keySite struct {
	dir  string
	dns  *dnstest.Server
	mix  *mix
	base []results.Row
}

// keyBase is the configuration that candidates differ from in one key: each value
// stands in a line of its own, so that it can be replaced.
const keyBase = `
authserv_id = "mx.receiver.example"
state_dir = %[1]q
rules_dir = %[2]q
[[listener]]
name = "mta"
address = "unix:%[3]s/mta.sock"
profile = "conformant"
trusted_networks = ["192.0.2.250"]
[[listener]]
name = "edge"
address = "unix:%[3]s/edge.sock"
profile = "strict"
enforce_share = 0.7
trusted_networks = ["192.0.2.250"]
[conformant]
trusted_sealers = ["sealer.example"]
forwarder_networks = ["198.51.100.64/28"]
forwarder_domains = ["lists.example"]
[admin]
listen = ""
control = "%[3]s/control.sock"
[sampling]
secret_file = "%[1]s/sampling.key"
[store]
path = "%[3]s/results.db"
wait = "30s"
[dns]
servers = [%[4]q]
query_timeout = "300ms"
timeout = "600ms"
failure_ttl = "5m"
`

// keyCandidates has for each key that is not neutral lines of TOML with another
// value. A key that stands in keyBase is replaced there; others begin with their
// table.
var keyCandidates = map[string]string{
	"listener.name":                  `name = "other"`,
	"listener.profile":               `profile = "strict"`,
	"listener.enforce_share":         `enforce_share = 0.3`,
	"listener.quarantine":            "profile = \"conformant\"\nquarantine = \"hold\"",
	"listener.trusted_networks":      `trusted_networks = ["203.0.113.0/25", "198.51.100.128/25"]`,
	"rules_dir":                      `rules_dir = ""`,
	"discovery.method":               "[discovery]\nmethod = \"psl\"",
	"discovery.psl_file":             "[discovery]\nmethod = \"psl\"\npsl_file = \"%[1]s/list.dat\"",
	"discovery.pct":                  "[discovery]\npct = \"ignore\"",
	"dkim.body_length":               "[dkim]\nbody_length = \"whole\"",
	"dkim.max_key_bits":              "[dkim]\nmax_key_bits = 2048",
	"temperror.ours":                 "[temperror]\nours = \"tempfail\"",
	"temperror.domain":               "[temperror]\ndomain = \"accept\"",
	"temperror.max_defer":            "[temperror]\nmax_defer = \"5m\"",
	"from.missing":                   "[from]\nmissing = \"reject\"",
	"from.empty_group":               "[from]\nempty_group = \"reject\"",
	"from.unparsable":                "[from]\nunparsable = \"quarantine\"",
	"from.several_fields":            "[from]\nseveral_fields = \"accept\"",
	"from.too_many_domains":          "[from]\ntoo_many_domains = \"reject\"",
	"from.null_path_missing":         "[from]\nnull_path_missing = \"accept\"",
	"conformant.trusted_sealers":     `trusted_sealers = ["sealer.example", "sealer.stranger.example"]`,
	"conformant.forwarder_networks":  `forwarder_networks = ["203.0.113.0/25"]`,
	"conformant.forwarder_domains":   `forwarder_domains = ["mailer.example", "forwarder.example"]`,
	"trusted_relay.networks":         "[[trusted_relay]]\nnetworks = [\"198.51.100.0/26\"]\nnames = [\"relay.receiver.example\"]",
	"trusted_relay.names":            "[[trusted_relay]]\nnetworks = [\"203.0.113.0/26\"]\nnames = [\"relay.receiver.example\"]",
	"sampling.secret_file":           `secret_file = "%[1]s/other.key"`,
	"limits.header_fields":           "[limits]\nheader_fields = 100",
	"limits.header_bytes":            "[limits]\nheader_bytes = \"64KiB\"",
	"limits.header_memory":           "[limits]\nheader_memory = \"1GiB\"",
	"limits.recipients":              "[limits]\nrecipients = 100",
	"limits.message_budget":          "[limits]\nmessage_budget = \"1s\"",
	"dns.servers":                    `servers = ["127.0.0.1:9"]`,
	"dns.query_timeout":              `query_timeout = "200ms"`,
	"dns.timeout":                    `timeout = "1s"`,
	"dns.max_in_flight":              "failure_ttl = \"5m\"\nmax_in_flight = 1",
	"dns.failure_ttl":                `failure_ttl = "4m"`,
	"dns.stale_after":                "failure_ttl = \"5m\"\nstale_after = \"100ms\"",
	"dns.stale_ttl":                  "failure_ttl = \"5m\"\nstale_ttl = \"0s\"",
	"dns.stale_negative_ttl":         "failure_ttl = \"5m\"\nstale_negative_ttl = \"0s\"",
	"dns.cache_size":                 "failure_ttl = \"5m\"\ncache_size = \"1MiB\"",
	"dns.min_ttl":                    "failure_ttl = \"5m\"\nmin_ttl = \"5m\"",
	"dns.max_ttl":                    "failure_ttl = \"5m\"\nmax_ttl = \"1m\"",
	"dns.max_negative_ttl":           "failure_ttl = \"5m\"\nmax_negative_ttl = \"1s\"",
	"store.retention":                "[store]\nretention = \"1d\"",
	"temperror.unknown_client":       "[temperror]\nunknown_client = \"tempfail\"",
	"trusted_relay.inner_networks":   "[[trusted_relay]]\nnetworks = [\"203.0.113.0/26\"]\ninner_networks = [\"10.0.0.0/24\"]\nnames = [\"relay.receiver.example\"]",
	"authserv_id":                    `authserv_id = "other.receiver.example"`,
	"authserv_ids_also":              `authserv_ids_also = ["old.example.org"]`,
	"listener.authserv_id":           "profile = \"conformant\"\nauthserv_id = \"other.receiver.example\"",
	"listener.trust_mta_name":        "profile = \"conformant\"\ntrust_mta_name = true",
	"header.remove_bimi":             "[header]\nremove_bimi = false",
	"listener.name,all neutral keys": keyNeutral,
}

// keyNeutral changes what decides nothing, all at once.
const keyNeutral = `
[arc]
check = "all"
[discovery]
compare = true
[header]
tag = "X-Other"
[reply]
reject = "DMARC says no for {domain}"
[limits]
connections = 100
idle_timeout = "1m"
drain_timeout = "5s"
[log]
format = "json"
level = "warn"
[privacy]
keep_recipients = false
hash_queue_ids = false
[reports]
schema = "rfc7489"
`

// newKeySite records the mix under the base.
func newKeySite(t *testing.T, n int) *keySite {
	t.Helper()
	dir, err := os.MkdirTemp("", "dg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &keySite{dir: dir, mix: newMix(t, n)}
	s.dns = dnstest.New(t, s.mix.zone())
	rules := filepath.Join(dir, "rules")
	if err := os.CopyFS(filepath.Join(rules, "maps"), os.DirFS("testdata/whatif/maps")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"relaxing.toml", "tightening.toml", "watching.toml"} {
		copyFile(t, filepath.Join("testdata/whatif", name), filepath.Join(rules, name))
	}
	list := "// ===BEGIN ICANN DOMAINS===\nexample\ntest\n"
	for i := range 1100 { // with fewer it is taken to be cut
		list += fmt.Sprintf("zone%d\n", i)
	}
	if err := os.WriteFile(filepath.Join(dir, "list.dat"), []byte(list+"// ===END ICANN DOMAINS===\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.base = s.record(t, s.write(t, "base", ""))
	return s
}

// write writes the base with the lines of a candidate, and returns its path.
func (s *keySite) write(t *testing.T, name, lines string) string {
	t.Helper()
	own := filepath.Join(s.dir, name)
	if err := os.MkdirAll(own, 0o755); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(keyBase, s.dir, filepath.Join(s.dir, "rules"), own, s.dns.Addr())
	lines = strings.ReplaceAll(lines, "%[1]s", s.dir)
	key, _, _ := strings.Cut(lines, " ")
	switch i := strings.Index(text, "\n"+key+" = "); {
	case i >= 0 && key != "":
		end := i + 1 + strings.Index(text[i+1:], "\n")
		text = text[:i+1] + lines + text[end:]
	case strings.HasPrefix(lines, "[store]\n"):
		text = strings.Replace(text, "[store]\n", lines+"\n", 1)
	default:
		top, tables := daemontest.CutTables(lines)
		text = top + text + tables
	}
	path := filepath.Join(own, "dmarcgate.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// historyLog is a log that tells when the history of senders is complete.
type historyLog struct {
	once     sync.Once
	complete chan struct{}
}

func (l *historyLog) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte("sender history loaded")) {
		l.once.Do(func() { close(l.complete) })
	}
	return len(line), nil
}

// record sends the mix to a daemon under a configuration, and returns the row
// of each message.
func (s *keySite) record(t *testing.T, path string) []results.Row {
	t.Helper()
	in, err := site.Load(path, site.AllParts)
	if err != nil {
		t.Fatal(err)
	}
	daemontest.WriteEmptyStore(t, filepath.Dir(in.Config.Store.Path))
	(&whatIfSite{host: &host{t: t, dir: filepath.Dir(in.Config.Store.Path)}}).addHistory(mixKnown, policy.HistoryMessages+10)
	loaded := &historyLog{complete: make(chan struct{})}
	in.Config.Log.Level = "debug"
	d, err := daemon.New(context.Background(), in, daemonOptions(path, loaded))
	if err != nil {
		t.Fatal(err)
	}
	d.Start(context.Background())
	defer d.Shutdown(context.Background())
	select {
	case <-loaded.complete: // until then, the history of a sender is no evidence
	case <-time.After(mtaTime):
		t.Fatal("the history of senders is not complete in time")
	}
	rows := make([]results.Row, len(s.mix.mails))
	var wg sync.WaitGroup
	for k := range mixSessions {
		wg.Go(func() { s.send(t, &served{d, path}, k, rows) })
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return rows
}

// send sends a share of the mix.
func (s *keySite) send(t *testing.T, d *served, share int, rows []results.Row) {
	clients := make(map[string]*miltertest.Client)
	for i := share; i < len(s.mix.mails); i += mixSessions {
		m := s.mix.mails[i]
		if clients[m.listener] == nil {
			g := d.Listeners()[slices.Index([]string{"mta", "edge"}, m.listener)]
			c, err := miltertest.Dial(g.Config.Address.String(), miltertest.Options{Timeout: mtaTime})
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			clients[m.listener] = c
		}
		m.QueueID = mixID(0, i)
		if _, err := clients[m.listener].Send(m.Mail); err != nil {
			t.Errorf("message %s (%s): %v", m.QueueID, m.kind, err)
			return
		}
		found, err := d.Store().ByQueueID(context.Background(), m.QueueID)
		if err != nil || len(found) != 1 {
			t.Errorf("message %s has %d rows, %v", m.QueueID, len(found), err)
			return
		}
		rows[i] = found[0]
	}
}

// compare has what-if decide the rows of the base under a candidate, and counts
// those of which it is sure and those of these that the daemon decides
// otherwise.
func (s *keySite) compare(t *testing.T, path string) (sure, wrong int, doubts map[string]int) {
	t.Helper()
	tried, err := whatif.Load(whatif.Options{Config: path})
	if err != nil {
		t.Fatal(err)
	}
	after := s.record(t, path)
	doubts = make(map[string]int)
	for i, row := range s.base {
		d, doubt := tried.Decide(&row)
		if doubt != "" {
			doubts[doubt]++
			continue
		}
		sure++
		if !replay.Equal(&d, &after[i].Decision) {
			if wrong++; wrong <= 2 {
				t.Errorf("message %s, %s: what-if says\n%s\nthe daemon did\n%s", row.Facts.QueueID, s.mix.mails[i].kind, asJSON(d), asJSON(after[i].Decision))
			}
		}
	}
	return sure, wrong, doubts
}

// What what-if is sure of is what the daemon does, whichever key has another
// value.
func TestWhatIfPredictsEveryKey(t *testing.T) {
	n := mixSize / 10
	if scale.Of(t) > 1 {
		n = mixSize
	}
	s := newKeySite(t, n)
	for _, key := range config.Keys() {
		if _, ok := keyCandidates[key]; !ok && !config.Neutral(key) {
			t.Errorf("no candidate for key %s", key)
		}
	}
	limit := make(chan struct{}, 4) // daemons at a time: what they wait for are timeouts of the DNS
	for key, lines := range keyCandidates {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			limit <- struct{}{}
			defer func() { <-limit }()
			start := time.Now()
			sure, wrong, doubts := s.compare(t, s.write(t, strings.NewReplacer(",", "-", " ", "-").Replace(key), lines))
			t.Logf("sure of %d of %d, %d of them wrong, %v; doubts %v", sure, n, wrong, time.Since(start).Round(time.Millisecond), doubts)
			if config.Applied(key) && key != "listener.name" && key != "listener.trusted_networks" && sure != n || key == "listener.name,all neutral keys" && sure != n {
				t.Errorf("what-if is sure of %d of %d messages; want all", sure, n)
			}
		})
	}
}
