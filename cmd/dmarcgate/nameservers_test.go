package main

import (
	"fmt"
	"strings"
	"testing"

	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/miltertest"
)

func TestReloadReplacesNameServers(t *testing.T) {
	old, next := dnstest.New(t, daemontest.Zone), dnstest.New(t, strings.ReplaceAll(daemontest.Zone, "p=reject", "p=none"))
	d, _ := startDaemon(t, old.Addr(), daemontest.Config{})
	client, err := miltertest.Dial(d.Listeners()[0].Addr(), miltertest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	send := func(qid string) int {
		t.Helper()
		res, err := client.Send(daemontest.SpoofedMail(qid))
		if err != nil {
			t.Fatal(err)
		}
		return res.Code
	}
	if got := send("1"); got != 550 {
		t.Fatalf("before the reload: %d; want 550", got)
	}
	daemontest.Change(t, d.path, fmt.Sprintf("servers = [%q]", old.Addr()), fmt.Sprintf("servers = [%q]", next.Addr()))
	if r := d.Reload(); !r.OK || len(r.Restart) != 0 {
		t.Errorf("reload() = %+v; want success without a restart", r)
	}
	if got, want := d.Status(t.Context()).DNS.Servers, next.Addr(); len(got) != 1 || got[0].Address != want || got[0].Trusted {
		t.Errorf("servers after the reload = %+v; want %s", got, want)
	}
	if got := send("2"); got != 550 {
		t.Errorf("after the reload, by the cache: %d; want 550 as before", got)
	}
	if code, out, stderr := command("cache", "flush", "bank.example", "-c", d.path); code != 0 || strings.HasPrefix(out, "0 ") {
		t.Errorf("cache flush = %d, %q, %s; want entries removed", code, out, stderr)
	}
	if got := send("3"); got != 0 {
		t.Errorf("after the flush: %d; want delivery by the record of the new server", got)
	}
}

func TestCacheShowAndFlushOfDaemon(t *testing.T) {
	dns := dnstest.New(t, daemontest.Zone)
	d, log := startDaemon(t, dns.Addr(), daemontest.Config{})
	client, err := miltertest.Dial(d.Listeners()[0].Addr(), miltertest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Send(daemontest.SpoofedMail("1")); err != nil {
		t.Fatal(err)
	}
	cfg := d.path
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
	if !strings.Contains(log.String(), "flushed from DNS cache") {
		t.Error("the log does not say that a name was flushed")
	}
}

// Trust is in a server of the configuration, not in one that --dns names.
func TestLookupDNSServersAreNotTrusted(t *testing.T) {
	dns := dnstest.New(t, lookupZone)
	cfg := write(t, "dmarcgate.toml", "authserv_id = \"mx.example\"\n[[listener]]\nname = \"mta\"\naddress = \"unix:/run/x.sock\"\nprofile = \"strict\"\n[dns]\nservers = [\"192.0.2.53\"]\ntrusted = [\"192.0.2.53\"]\n")
	code, out, stderr := command("lookup", "-c", cfg, "--dns", dns.Addr(), "quiet.example")
	if code != 0 || !strings.Contains(out, "record: none") {
		t.Fatalf("lookup = %d, %s%s; want 0 and no record", code, out, stderr)
	}
}
