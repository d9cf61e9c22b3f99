package config

import (
	"net/netip"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"dmarcgate/policy"
	"dmarcgate/policy/pattern"

	"dmarcgate/config/tomlfile"

	"github.com/pelletier/go-toml/v2"
)

const examplePath = "../deploy/dmarcgate.toml"

// option is a key that is commented out; prose has a space after the "#".
// So has no table.
var option = regexp.MustCompile(`(?m)^#([a-z_]+ = |\[\[)`)

func TestTheExampleConfigurationHasEveryOptionAtItsDefault(t *testing.T) {
	data, err := os.ReadFile(examplePath)
	if err != nil {
		t.Fatal(err)
	}
	data = option.ReplaceAll(data, []byte("$1"))
	got, err := Parse(examplePath, data)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	l := defaultListener()
	l.Name, l.Address, l.Profile = "mta", Address{"unix", "/run/dmarcgate/milter.sock"}, policy.Monitor
	want.Listeners = []Listener{l}
	if err := want.derive(); err != nil {
		t.Fatal(err)
	}
	// An empty list and none mean the same.
	if c := got.Conformant; len(c.TrustedSealers)+len(c.ForwarderNetworks)+len(c.ForwarderDomains) != 0 {
		t.Errorf("the example believes %+v; want nobody", c)
	}
	if len(got.TrustedRelays) != 1 {
		t.Errorf("the example shows %d trusted relays; want one", len(got.TrustedRelays))
	}
	got.TrustedRelays = nil // by default there is none
	if d := got.Reports.Destinations; len(d) != 1 {
		t.Errorf("the example shows %d destinations of reports; want one", len(d))
	}
	got.Reports.Destinations = nil
	if r := got.Reports; len(r.Addresses)+len(r.OwnDomains)+len(r.Include)+len(r.Exclude) != 0 {
		t.Errorf("the example has lists for reports: %+v; want none", r)
	}
	got.Reports.Addresses, got.Reports.OwnDomains, got.Reports.Include, got.Reports.Exclude = nil, nil, nil, nil
	got.AuthservIDsAlso, got.DNS.Servers, got.DNS.Trusted, got.Listeners[0].TrustedNetworks = nil, nil, nil, nil
	got.Conformant = Conformant{}
	got.source, got.written = tomlfile.Places{}, nil
	if !reflect.DeepEqual(*got, want) {
		t.Errorf("the example, uncommented = %+v; want the defaults %+v", *got, want)
	}

	var tree map[string]any
	if err := toml.Unmarshal(data, &tree); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"listener", "trusted_relay"} {
		tree[name] = tree[name].([]any)[0]
	}
	reports := tree["reports"].(map[string]any)
	reports["destination"] = reports["destination"].([]any)[0]
	inFile, inGo := treeKeys("", tree), Keys()
	slices.Sort(inFile)
	slices.Sort(inGo)
	if !slices.Equal(inFile, inGo) {
		t.Errorf("keys in the example = %q; want those of the table, %q", inFile, inGo)
	}
}

// treeKeys returns the dotted keys of all values in tree.
func treeKeys(path string, tree map[string]any) []string {
	var keys []string
	for name, v := range tree {
		if sub, ok := v.(map[string]any); ok {
			keys = append(keys, treeKeys(tomlfile.Join(path, name), sub)...)
		} else {
			keys = append(keys, tomlfile.Join(path, name))
		}
	}
	return keys
}

func TestTheExampleConfigurationEnforcesNothingAsShipped(t *testing.T) {
	c, err := Load(examplePath)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range c.Listeners {
		if l.Profile != policy.Monitor {
			t.Errorf("profile of listener %q = %v; want monitor", l.Name, l.Profile)
		}
	}
}

// Each leaf of Config must be reachable from the file: a field that the table
// forgets would keep its default for ever.
func TestEveryFieldOfConfigIsInTheTable(t *testing.T) {
	inTable := len(Keys())
	if got := leaves(reflect.TypeFor[Config]()); got != inTable {
		t.Errorf("Config has %d fields, the table %d keys", got, inTable)
	}
}

func leaves(t reflect.Type) int {
	switch {
	case t == reflect.TypeFor[[]Listener](), t == reflect.TypeFor[[]TrustedRelay](), t == reflect.TypeFor[[]ReportDestination]():
		return leaves(t.Elem())
	case t.Kind() == reflect.Struct && t != reflect.TypeFor[Address]():
		n := 0
		for f := range t.Fields() {
			if !f.IsExported() {
				continue // warnings
			}
			n += leaves(f.Type)
		}
		return n
	}
	return 1
}

func TestEveryOptionOfTheExampleIsExplained(t *testing.T) {
	data, err := os.ReadFile(examplePath)
	if err != nil {
		t.Fatal(err)
	}
	assignment := regexp.MustCompile(`^#?[a-z_]+ = `)
	lines := strings.Split(string(data), "\n")
	for i, line := range lines {
		if assignment.MatchString(line) && !strings.HasPrefix(lines[i-1], "# ") {
			t.Errorf("%s:%d: %s: no explanation in the line above", examplePath, i+1, line)
		}
	}
}

func TestAFullConfigurationIsReadAsWritten(t *testing.T) {
	c, err := Parse("full.toml", []byte(`
authserv_id = "mx.example.org"
authserv_ids_also = ["old.example.org"]
state_dir = "/srv/dmarcgate/"
listener = [{name = "in", address = "local:/run/a.sock", profile = "strict", socket_mode = "660", enforce_share = 0.07}]
[from]
missing = "reject"
several_fields = "quarantine"
null_path_missing = "accept"
[conformant]
trusted_sealers = ["Lists.example.org"]
forwarder_networks = ["192.0.2.0/24", "2001:db8::25"]
forwarder_domains = ["forwarder.example.net", ".lists.example.net"]
[dns]
servers = ["192.0.2.53", "2001:db8::53", "[2001:db8::54]:5353"]
trusted = ["2001:db8::53"]
timeout = "1m"
min_ttl = "30s"
failure_ttl = "1s"
stale_ttl = "0s"
stale_negative_ttl = "15m"
stale_after = "500ms"
cache_size = "50MB"
[limits]
message_budget = "1m30s"
idle_timeout = "1d"
[store]
path = "/srv/results.db"
retention = "7d"
max_size = "0B"
min_free = "1GB"
[store.postgres]
url = "postgres://dmarcgate@db.example.org/dmarcgate?sslmode=verify-full"
password_file = "/etc/dmarcgate/pg-password"
retention = "0s"
[privacy]
shorten_ip_after = "2d"
keep_recipients = false
hash_queue_ids = true
[reports]
send = true
schema = "rfc7489"
organization = "Example Ü"
email = "DMARC+reports@Reports.example.org"
submitter = "MX.example.org"
contact = "https://example.org/dmarc"
selector = "r1"
key_file = "/etc/dmarcgate/report-key.pem"
smarthost = "Mail.example.org:587"
tls = "implicit"
auth_file = "/etc/dmarcgate/smarthost"
bounce_listen = "tcp:[::1]:8894"
addresses = ["RUA@example.org"]
own_domains = ["Example.org"]
include = ["example.com", "org:shop.example"]
exclude = [".example.net"]
min_age = "30d"
dry_run = "0s"
max_new_hosts_per_day = 0
max_per_host_per_day = 5
max_per_day = 6
max_per_minute = 7
max_mail_size = "1MB"
max_xml_size = "2MiB"
destination = [{host = "Reports.example.com", schema = "rfc9990", max_per_day = 9}, {host = "b.example.com"}]
[admin]
listen = "[::]:9435"
allow_remote = true
`))
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.AuthservID = "mx.example.org"
	want.AuthservIDsAlso = []string{"old.example.org"}
	want.StateDir = "/srv/dmarcgate"
	want.Listeners = []Listener{{
		Name: "in", Address: Address{"unix", "/run/a.sock"}, Profile: policy.Strict, SocketMode: 0o660, EnforceShare: 7, Quarantine: policy.Tag,
		AuthservID: "mx.example.org",
	}}
	want.From.Missing, want.From.SeveralFields, want.From.NullPathMissing = policy.FromReject, policy.FromQuarantine, policy.FromAccept
	want.Conformant = Conformant{
		TrustedSealers:    []string{"lists.example.org"},
		ForwarderNetworks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::25/128")},
		ForwarderDomains:  forwarders(t, "forwarder.example.net", ".lists.example.net"),
	}
	want.DNS.Servers = []string{"192.0.2.53:53", "[2001:db8::53]:53", "[2001:db8::54]:5353"}
	want.DNS.Trusted = []string{"[2001:db8::53]:53"}
	want.DNS.Timeout = minute
	want.DNS.MinTTL, want.DNS.FailureTTL, want.DNS.StaleTTL = 30*second, second, 0
	want.DNS.StaleNegTTL, want.DNS.StaleAfter = 15*minute, second/2
	want.DNS.CacheSize = 50e6
	want.Limits.MessageBudget = 90 * second
	want.Limits.IdleTimeout = 24 * hour
	want.Store.Path = "/srv/results.db"
	want.Store.Retention, want.Store.MaxSize, want.Store.MinFree = 7*day, 0, 1e9
	want.Store.Postgres = Postgres{URL: "postgres://dmarcgate@db.example.org/dmarcgate?sslmode=verify-full", PasswordFile: "/etc/dmarcgate/pg-password"}
	want.Privacy = Privacy{ShortenIPAfter: 2 * day, HashQueueIDs: true, KeyFile: "/srv/dmarcgate/queueid.key"}
	want.Sampling.SecretFile = "/srv/dmarcgate/sampling.key"
	want.Reports = Reports{
		Send: true, Schema: "rfc7489", Organization: "Example Ü", Email: "dmarc+reports@reports.example.org", Submitter: "mx.example.org",
		Contact: "https://example.org/dmarc", Selector: "r1", KeyFile: "/etc/dmarcgate/report-key.pem",
		Smarthost: "mail.example.org:587", TLS: "implicit", AuthFile: "/etc/dmarcgate/smarthost",
		BounceDomain: "reports.example.org", BounceListen: Address{"tcp", "[::1]:8894"},
		Addresses: []string{"rua@example.org"}, OwnDomains: []string{"example.org"},
		Include: policyDomains(t, "example.com", "org:shop.example"), Exclude: policyDomains(t, ".example.net"),
		MinAge: 30 * day, MaxPerHost: 5, MaxPerDay: 6, MaxPerMinute: 7, MaxMailSize: 1e6, MaxXMLSize: 2 * tomlfile.MiB,
		Destinations: []ReportDestination{{Host: "reports.example.com", Schema: "rfc9990", MaxPerDay: 9}, {Host: "b.example.com"}},
	}
	want.Admin = Admin{Listen: "[::]:9435", AllowRemote: true, Control: "/srv/dmarcgate/control.sock"}
	want.host, want.source, want.written = c.host, c.source, c.written // of this host and this file
	if !reflect.DeepEqual(*c, want) {
		t.Errorf("Parse = %+v; want %+v", *c, want)
	}
}

func TestTrustedNetworksMayBeAddresses(t *testing.T) {
	tests := []struct{ in, want string }{
		{"192.0.2.0/24", "192.0.2.0/24"},
		{"192.0.2.7", "192.0.2.7/32"},
		{"2001:db8::7", "2001:db8::7/128"},
		{"2001:db8::/32", "2001:db8::/32"},
	}
	for _, tt := range tests {
		if got, err := parseNetwork(tt.in); err != nil || got != netip.MustParsePrefix(tt.want) {
			t.Errorf("parseNetwork(%q) = %v, %v; want %v", tt.in, got, err, tt.want)
		}
	}
}

func policyDomains(t *testing.T, texts ...string) []pattern.Domain {
	t.Helper()
	var out []pattern.Domain
	for _, s := range texts {
		p, err := parsePolicyDomain(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

func forwarders(t *testing.T, texts ...string) []pattern.Domain {
	t.Helper()
	var out []pattern.Domain
	for _, s := range texts {
		p, err := parseForwarder(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}
