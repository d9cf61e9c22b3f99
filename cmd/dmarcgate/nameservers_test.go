package main

import (
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"dmarcgate/config"
	"dmarcgate/dnscache"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/miltertest"
)

// asksOf returns the addresses of the servers of a resolver, those that are
// trusted with a "!".
func asksOf(r *dnscache.Resolver) (list []string) {
	for _, s := range r.Servers() {
		if s.Trusted {
			s.Address += "!"
		}
		list = append(list, s.Address)
	}
	return list
}

func TestServersComeFromTheConfigurationOrTheFile(t *testing.T) {
	path := write(t, "resolv.conf", "nameserver 192.0.2.1\noptions trust-ad\n")
	dns, err := dnscache.New(dnscache.Config{Servers: []string{"192.0.2.9:53"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dns.Close()
	n := &nameservers{dns: dns, path: path, log: slog.New(slog.DiscardHandler), cfg: config.DNS{Servers: []string{"192.0.2.9:53"}}}
	n.start(t.Context())
	defer func() { n.stop() }()
	for _, tt := range []struct {
		name string
		cfg  config.DNS
		want []string
	}{
		{"none in the configuration", config.DNS{}, []string{"192.0.2.1:53!"}},
		{"one in the configuration", config.DNS{Servers: []string{"192.0.2.2:53"}}, []string{"192.0.2.2:53"}},
		{"two, one trusted", config.DNS{Servers: []string{"192.0.2.2:53", "192.0.2.3:53"}, Trusted: []string{"192.0.2.3:53"}}, []string{"192.0.2.2:53", "192.0.2.3:53!"}},
	} {
		if err := n.use(tt.cfg); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if got := asksOf(dns); !slices.Equal(got, tt.want) {
			t.Errorf("%s: servers = %q; want %q", tt.name, got, tt.want)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := n.use(n.cfg); err != nil {
		t.Errorf("use of what is in force = %v; want nil, whatever the file says", err)
	}
	if err := n.use(config.DNS{}); err == nil || !strings.Contains(err.Error(), "set servers in [dns]") {
		t.Errorf("use without a file = %v; want an error that says what to set", err)
	}
	if got, want := asksOf(dns), []string{"192.0.2.2:53", "192.0.2.3:53!"}; !slices.Equal(got, want) {
		t.Errorf("servers after a failure = %q; want %q as before", got, want)
	}
}

func TestAReloadAsksOtherServers(t *testing.T) {
	old, next := dnstest.New(t, reloadZone), dnstest.New(t, strings.ReplaceAll(reloadZone, "p=reject", "p=none"))
	d, _ := startDaemon(t, old.Addr(), testConfig{profile: "strict", quarantine: "tag", trusted: "192.0.2.255"})
	client, err := miltertest.Dial(d.gates[0].listener.Address.String(), miltertest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	send := func(qid string) int {
		t.Helper()
		res, err := client.Send(spoofMail(qid))
		if err != nil {
			t.Fatal(err)
		}
		return res.Code
	}
	if got := send("1"); got != 550 {
		t.Fatalf("before the reload: %d; want 550", got)
	}
	change(t, d, fmt.Sprintf("servers = [%q]", old.Addr()), fmt.Sprintf("servers = [%q]", next.Addr()))
	if r := d.reload(); !r.OK || len(r.Restart) != 0 {
		t.Errorf("reload() = %+v; want success without a restart", r)
	}
	if got, want := asksOf(d.dns), []string{next.Addr()}; !slices.Equal(got, want) {
		t.Errorf("servers after the reload = %q; want %q", got, want)
	}
	if got := send("2"); got != 550 {
		t.Errorf("after the reload, by the cache: %d; want 550 as before", got)
	}
	if code, out, stderr := command("cache", "flush", "bank.example", "-c", d.state.path); code != 0 || strings.HasPrefix(out, "0 ") {
		t.Errorf("cache flush = %d, %q, %s; want entries removed", code, out, stderr)
	}
	if got := send("3"); got != 0 {
		t.Errorf("after the flush: %d; want delivery by the record of the new server", got)
	}
}

func TestTheCacheOfADaemonIsShownAndFlushed(t *testing.T) {
	dns := dnstest.New(t, reloadZone)
	d, log := startDaemon(t, dns.Addr(), testConfig{profile: "strict", quarantine: "tag", trusted: "192.0.2.255"})
	client, err := miltertest.Dial(d.gates[0].listener.Address.String(), miltertest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Send(spoofMail("1")); err != nil {
		t.Fatal(err)
	}
	cfg := d.state.path
	for _, tt := range []struct {
		args []string
		want []string
	}{
		{[]string{"cache", "show", "_dmarc.bank.example"}, []string{"TXT (age ", `"v=DMARC1; p=reject"`}},
		{[]string{"cache", "dump"}, []string{`TXT _dmarc.bank.example: ["v=DMARC1; p=reject"] (age `, "TXT bank.example: "}},
		{[]string{"status"}, []string{"name server " + dns.Addr() + ": up", "DNS cache: ", "of them without a query"}},
		{[]string{"cache", "flush", "_dmarc.bank.example"}, []string{"1 entries removed\n"}},
		{[]string{"cache", "show", "_dmarc.bank.example"}, []string{"nothing is cached"}},
	} {
		code, out, stderr := command(append(tt.args, "-c", cfg)...)
		for _, want := range tt.want {
			if code != 0 || !strings.Contains(out, want) {
				t.Errorf("%q = %d, %s\n%s\nwant %q in it", tt.args, code, stderr, out, want)
			}
		}
	}
	if !strings.Contains(log.String(), "flushed from the DNS cache") {
		t.Error("the log does not say that a name was flushed")
	}
}

// Trust is in a server of the configuration, not in one that --dns names.
func TestOtherServersOfACommandAreNotTrusted(t *testing.T) {
	dns := dnstest.New(t, lookupZone)
	cfg := write(t, "dmarcgate.toml", "authserv_id = \"mx.example\"\n[[listener]]\nname = \"mta\"\naddress = \"unix:/run/x.sock\"\nprofile = \"strict\"\n[dns]\nservers = [\"192.0.2.53\"]\ntrusted = [\"192.0.2.53\"]\n")
	code, out, stderr := command("lookup", "-c", cfg, "--dns", dns.Addr(), "quiet.example")
	if code != 0 || !strings.Contains(out, "record: none") {
		t.Fatalf("lookup = %d, %s%s; want 0 and no record", code, out, stderr)
	}
}
