package daemon

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
)

// pageOf asks the status pages of a daemon.
func pageOf(t *testing.T, d *Daemon, path string) (int, string) {
	t.Helper()
	at := d.Pages()
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, at.Network(), at.String())
	}}}
	res, err := c.Get("http://localhost" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func TestPagesShowWhatTheDaemonDecides(t *testing.T) {
	dns := dnstest.New(t, daemontest.Zone)
	for _, listen := range []string{"unix:%s/pages.sock", "tcp:127.0.0.1:0"} {
		d, _ := startAt(t, daemontest.Write(t, `
authserv_id = "mx.receiver.example"
state_dir = "%s"
[[listener]]
name = "mta"
address = "unix:%s/milter.sock"
profile = "strict"
[dns]
servers = ["`+dns.Addr()+`"]
[admin]
listen = "127.0.0.1:0"
[pages]
listen = "`+listen+`"
`))
		if _, res := daemontest.Send(t, d.Listeners()[0].Addr(), daemontest.SpoofedMail("4Qpages")); res.Code != 550 {
			t.Fatalf("the spoof is answered %+v; want 550", res.Reply)
		}
		for path, want := range map[string]string{
			"/": "strict on mta", "/decisions": "bank.example", "/decisions?qid=4Qpages": "bank.example", "/decisions/1": "dmarc bank.example: fail",
			"/senders": "bank.example", "/rules": "no override rules", "/what-if": "what-if --profile strict", "/reports": "There is no queue of reports", "/dns": "Name servers",
		} {
			if code, text := pageOf(t, d, path); code != 200 || !strings.Contains(text, want) {
				t.Errorf("%s: %s = %d %s; want a page with %q", listen, path, code, text, want)
			}
		}
		res, err := http.Get("http://" + d.Web().String() + "/decisions")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusNotFound {
			t.Errorf("the listener of metrics answers /decisions with %d; want 404", res.StatusCode)
		}
		if at := d.Pages(); at.Network() == "unix" {
			info, err := os.Stat(at.String())
			if err != nil || info.Mode().Perm() != controlMode {
				t.Errorf("the socket has mode %v, %v; want %v", info.Mode(), err, os.FileMode(controlMode))
			}
		}
	}
}

func TestPagesAreOffUnlessConfigured(t *testing.T) {
	dns := dnstest.New(t, daemontest.Zone)
	d, _ := startAt(t, daemontest.Config{}.Write(t, dns.Addr()))
	if d.Pages() != nil {
		t.Errorf("the pages are served at %v; want nowhere", d.Pages())
	}
}

// The page reads the queue beside the sender, and knows the identity check of the daemon.
func TestPagesShowReportsOfTheDaemon(t *testing.T) {
	settings, zone := reportsOn(t, "")
	dns := dnstest.New(t, zone)
	d, _ := startDaemon(t, dns.Addr(), daemontest.Config{Extra: settings + "[pages]\nlisten = \"tcp:127.0.0.1:0\"\n"})
	var text string
	daemontest.Eventually(t, "the page of reports of a site in its dry run", func() bool {
		_, text = pageOf(t, d, "/reports")
		return strings.Contains(text, "dry run until") && strings.Contains(text, "succeeded just now")
	})
	if strings.Contains(text, "There is no queue") || !strings.Contains(text, "No day is closed yet.") {
		t.Errorf("the page does not show the queue:\n%s", text)
	}
	if err := os.Remove(d.Inputs().Config.Reports.KeyFile); err != nil {
		t.Fatal(err)
	}
	daemontest.Eventually(t, "the page of reports without a key", func() bool {
		_, text = pageOf(t, d, "/reports")
		return strings.Contains(text, "nothing is sent") && strings.Contains(text, "key.pem")
	})
}
