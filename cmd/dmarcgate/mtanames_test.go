package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"dmarcgate/daemon"
	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/miltertest"
	"dmarcgate/site"
)

const namesConfig = `
state_dir = "%%s"
%s
[[listener]]
name = "inside"
address = "unix:%%s/inside.sock"
profile = "strict"
[[listener]]
name = "relay"
address = "tcp:127.0.0.1:0"
profile = "strict"
%s
[dns]
servers = [%q]
[admin]
listen = ""
`

// namesMail passes, and brings a field under each of the ids.
func namesMail(qid, mta string, ids ...string) miltertest.Mail {
	m := processMail("good.example", qid)
	m.MTA = mta
	var fields strings.Builder
	for _, id := range ids {
		fmt.Fprintf(&fields, "Authentication-Results: %s; dmarc=pass header.from=%s.example\r\n", id, strings.ReplaceAll(id, ".", "-"))
	}
	m.Message = append([]byte(fields.String()), m.Message...)
	return m
}

// sendNamed sends such a message to a gate and returns what is delivered.
func sendNamed(t *testing.T, g *daemon.Listener, m miltertest.Mail) string {
	t.Helper()
	final, res := daemontest.Send(t, g.Addr(), m)
	if res.Action != miltertest.Continue {
		t.Fatalf("answer %+v; want delivery", res.Reply)
	}
	return final
}

func wantNamed(t *testing.T, final, id string, kept ...string) {
	t.Helper()
	if !strings.HasPrefix(final, "Authentication-Results: "+id+";") || strings.Count(final, "Authentication-Results:") != 1+len(kept) {
		t.Errorf("delivered:\n%s\nwant our field under %s on top, and those under %q", final, id, kept)
	}
	for _, k := range kept {
		if !strings.Contains(final, "Authentication-Results: "+k+";") {
			t.Errorf("delivered:\n%s\nwant the field under %s", final, k)
		}
	}
}

// Who connects over TCP could take over any name, and with it have the results
// of others removed.
func TestTrustMTANameIsAskedForOverTCP(t *testing.T) {
	dns := dnstest.New(t, processZone)
	d, _ := startAt(t, daemontest.Write(t, fmt.Sprintf(namesConfig, "", "", dns.Addr())))
	final := sendNamed(t, d.Listeners()[1], namesMail("1", "mx1.site.example", "mx1.site.example", hostName(t)))
	wantNamed(t, final, hostName(t), "mx1.site.example")
	for _, l := range d.Status(t.Context()).Listeners {
		if len(l.MTANames) > 0 {
			t.Errorf("names on %s = %v; want none", l.Name, l.MTANames)
		}
	}

	d, _ = startAt(t, daemontest.Write(t, fmt.Sprintf(namesConfig, "", "trust_mta_name = true", dns.Addr())))
	final = sendNamed(t, d.Listeners()[1], namesMail("2", "mx1.site.example", "mx1.site.example", hostName(t), "other.example"))
	wantNamed(t, final, "mx1.site.example", "other.example")
}

// Mail readers believe the results of each of the MTAs, wherever a message
// came in.
func TestMTANamesAreRemovedOnAllListeners(t *testing.T) {
	dns := dnstest.New(t, processZone)
	d, _ := startAt(t, daemontest.Write(t, fmt.Sprintf(namesConfig, `authserv_ids_also = ["old.site.example"]`, "authserv_id = \"relay.site.example\"", dns.Addr())))
	wantNamed(t, sendNamed(t, d.Listeners()[1], namesMail("1", "x", "mx1.site.example")), "relay.site.example", "mx1.site.example")
	wantNamed(t, sendNamed(t, d.Listeners()[0], namesMail("2", "mx1.site.example", "relay.site.example", "mx2.site.example")), "mx1.site.example", "mx2.site.example")
	wantNamed(t, sendNamed(t, d.Listeners()[0], namesMail("3", "mx2.site.example", "mx1.site.example")), "mx2.site.example")
	wantNamed(t, sendNamed(t, d.Listeners()[1], namesMail("4", "x", "mx1.site.example", "MX2.site.example", "relay.site.example", "old.site.example", "mx3.site.example")),
		"relay.site.example", "mx3.site.example")
}

func TestMTANamesPersist(t *testing.T) {
	dns := dnstest.New(t, processZone)
	h := newHost(t, hostConfig{dns: dns.Addr()})
	text, err := os.ReadFile(h.config())
	if err != nil {
		t.Fatal(err)
	}
	text = []byte(strings.Replace(string(text), `authserv_id = "mx.receiver.example"`, "", 1))
	if err := os.WriteFile(h.config(), text, 0o600); err != nil {
		t.Fatal(err)
	}
	send := func(m miltertest.Mail) string {
		t.Helper()
		c := h.session()
		defer c.Close()
		res, err := c.Send(m)
		if err != nil || res.Action != miltertest.Continue {
			t.Fatalf("Send = %+v, %v; want delivery", res, err)
		}
		return string(miltertest.Apply(m.Message, res))
	}
	p := h.start()
	send(namesMail("1", "mx1.site.example"))
	if code, out, stderr := command("status", "-c", h.config()); code != 0 || !strings.Contains(out, "results are written under the name of the MTA: mx1.site.example") {
		t.Errorf("status = %d, %s%s; want the name of the MTA", code, out, stderr)
	}
	p.stop()
	if !p.logged("new MTA name", "listener=mta", "name=mx1.site.example") {
		t.Error("the log does not say which name the MTA gave")
	}

	p = h.start()
	final := send(namesMail("2", "mx2.site.example", "mx1.site.example"))
	wantNamed(t, final, "mx2.site.example")
	c := h.session()
	spoof := processMail("bad.example", "3")
	spoof.MTA = "mx2.site.example"
	if res, err := c.Send(spoof); err != nil || res.Code != 550 {
		t.Fatalf("Send = %+v, %v; want 550", res, err)
	}
	c.Close()
	p.stop()

	message := write(t, "m.eml", "Authentication-Results: mx1.site.example; dmarc=pass\r\nFrom: a@good.example\r\n\r\nhello\r\n")
	code, out, stderr := command("explain", message, "-c", h.config(), "--client", "192.0.2.10", "--helo", "h", "--mail-from", "a@good.example", "--json", "--no-daemon")
	if code != 0 || !strings.Contains(out, "Authentication-Results: mx1.site.example;") && !strings.Contains(out, "Authentication-Results: mx2.site.example;") {
		t.Errorf("explain = %d, %s%s; want results under the name of the MTA", code, out, stderr)
	}
	if !strings.Contains(strings.ToLower(out), "delete") && !strings.Contains(strings.ToLower(out), "remove") {
		t.Errorf("explain = %s; want the forged field removed", out)
	}
	if got := site.Name(mustInputs(t, h.config()).Config); got != "mx1.site.example" && got != "mx2.site.example" {
		t.Errorf("siteName = %q; want the name of the MTA", got)
	}
}

func mustInputs(t *testing.T, path string) site.Site {
	t.Helper()
	in, err := site.Load(path, site.AllParts)
	if err != nil {
		t.Fatal(err)
	}
	return in
}
