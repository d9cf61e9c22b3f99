package dnstest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const sampleZone = `
	example.com.             TXT  "v=spf1 " "-all"
	example.com.             TXT  "a\"b\\c\195\164;"
	example.com.             MX   20 b.example.com.
	example.com.             MX   10 A.example.com.
	null.example.com         MX   0 .
	a.example.com.      60   A    192.0.2.1
	a.example.com.           AAAA 2001:db8::1
	*.wild.example.com.      TXT  "wild"
	there.wild.example.com.  A    192.0.2.2
	x.empty.example.com.     A    192.0.2.3
	alias.example.com.       CNAME a.example.com.
	dangling.example.com.    CNAME gone.example.com.
	loop.example.com.        CNAME loop.example.com.
	1.2.0.192.in-addr.arpa.  PTR  a.example.com.
	!servfail sf.example.com
	!drop     drop.example.com TXT
	!refuse   *.refused.example.com
	!broken   broken.example.com
	!lie      lie.example.com
	!bogus    bogus.example.com
	!garbage  garbage.example.com
	!loop     circle.example.com
	!elsewhere elsewhere.example.com
	!truncate notcp.example.com
	!notcp    notcp.example.com
	cut.example.com.         TXT  "cut"
	!truncate cut.example.com
`

func TestAZoneAnswersDirectly(t *testing.T) {
	z := NewZone(t, sampleZone)
	ctx := context.Background()
	txt := func(name string) func() (any, error) {
		return func() (any, error) { return z.TXT(ctx, name) }
	}
	for _, c := range []struct {
		about string
		ask   func() (any, error)
		want  string
	}{
		{"strings are joined and unescaped", txt("EXAMPLE.com."), fmt.Sprintf("%q", []string{"v=spf1 -all", "a\"b\\c\xc3\xa4;"})},
		{"a wildcard answers below its encloser", txt("x.wild.example.com"), `["wild"]`},
		{"a wildcard answers several labels below", txt("y.x.wild.example.com"), `["wild"]`},
		{"a wildcard does not answer for a name that is there", txt("there.wild.example.com"), `[]`},
		{"a wildcard does not answer below a name that is there", txt("x.there.wild.example.com"), `[]`},
		{"bytes that cannot be a name are nothing", txt("a..example.com"), `[]`},
		{"a truncated answer is whole over TCP", txt("cut.example.com"), `["cut"]`},
		{"the empty name is nothing", txt(""), `[]`},
		{"addresses come through an alias", func() (any, error) { return z.A(ctx, "alias.example.com") }, `["192.0.2.1"]`},
		{"IPv6 addresses", func() (any, error) { return z.AAAA(ctx, "a.example.com") }, `["2001:db8::1"]`},
		{"mail hosts are sorted", func() (any, error) { return z.MX(ctx, "example.com") }, `["a.example.com" "b.example.com"]`},
		{"a null MX is a dot", func() (any, error) { return z.MX(ctx, "null.example.com") }, `["."]`},
		{"reverse names", func() (any, error) { return z.PTR(ctx, netip.MustParseAddr("::ffff:192.0.2.1")) }, `["a.example.com"]`},
	} {
		t.Run(c.about, func(t *testing.T) {
			got, err := c.ask()
			if text := fmt.Sprintf("%q", got); text != c.want || err != nil {
				t.Errorf("got %s, %v; want %s", text, err, c.want)
			}
		})
	}
}

func TestNamesExistWithOrWithoutRecords(t *testing.T) {
	z := NewZone(t, sampleZone)
	for name, want := range map[string]bool{
		"example.com": true, "empty.example.com": true, "gone.example.com": false, "com": true,
		"dangling.example.com": true, "wild.example.com": true, "q.wild.example.com": true, "q.there.wild.example.com": false,
	} {
		if got, err := z.Exists(context.Background(), name); got != want || err != nil {
			t.Errorf("Exists(%q) = %v, %v; want %v", name, got, err, want)
		}
	}
}

func TestDirectivesFail(t *testing.T) {
	z := NewZone(t, sampleZone)
	for name, want := range map[string]string{
		"sf.example.com": "servfail", "drop.example.com": "timeout", "x.refused.example.com": "refused",
		"broken.example.com": "malformed", "lie.example.com": "timeout", "loop.example.com": "servfail",
		"bogus.example.com": "bogus", "garbage.example.com": "timeout", "circle.example.com": "malformed",
		"elsewhere.example.com": "timeout", "notcp.example.com": "network",
	} {
		_, err := z.TXT(context.Background(), name)
		var e *Error
		if !errors.As(err, &e) || e.Kind != want || !e.Temporary() || e.Ours() {
			t.Errorf("TXT(%q) = %v; want a temporary %s of the domain", name, err, want)
		}
	}
	if ips, err := z.A(context.Background(), "drop.example.com"); len(ips) > 0 || err != nil {
		t.Errorf("A of a name of which TXT is dropped = %v, %v; want nothing", ips, err)
	}
	if err := z.Replace("!down\n!any"); err != nil {
		t.Fatal(err)
	}
	_, err := z.TXT(context.Background(), "example.com")
	var e *Error
	if !errors.As(err, &e) || !e.Ours() {
		t.Errorf("TXT while down = %v; want an error of ours", err)
	}
}

func TestSlowLookupsEndWithTheContext(t *testing.T) {
	z := NewZone(t, "!slow slow.example.com 1h")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		_, err := z.TXT(ctx, "slow.example.com")
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("TXT with a cancelled context = %v; want %v", err, context.Canceled)
	}
}

func TestADelayHoldsForEveryNameThatIsNotSlow(t *testing.T) {
	d, err := parse("!delay 20ms\n!slow slow.example.com 1h\nexample.com. TXT x")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]time.Duration{
		"example.com.": 20 * time.Millisecond, "other.example.": 20 * time.Millisecond, "slow.example.com.": time.Hour,
	} {
		if got := d.latency(name, dns.TypeTXT); got != want {
			t.Errorf("latency(%q) = %v; want %v", name, got, want)
		}
	}
	z := NewZone(t, "example.com. TXT x\n!delay 1h")
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if _, err := z.TXT(ctx, "example.com"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("TXT of a delayed zone = %v; want %v", err, context.DeadlineExceeded)
	}
}

func TestUnexpectedNamesHaveAnotherTail(t *testing.T) {
	d, err := parse("_dmarc.example.com. TXT x\nwww.example.org. CNAME host.example.net.")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		"example.com.": true, "a.b.example.com.": true, "_dmarc.com.": true, "com.": true, "_dmarc.": true, ".": true,
		"example.net.": true, "_dmarc.net.": true,
		"example2.com.": false, "com.example.": false, "_dmarc.info.": false, "info.": false, "x.com.": false,
	} {
		if got := d.expected(name); got != want {
			t.Errorf("expected(%q) = %v; want %v", name, got, want)
		}
	}
}

// recorder is a testing.TB that keeps what would fail the test.
type recorder struct {
	testing.TB
	errors   []string
	cleanups []func()
}

func (r *recorder) Helper()          {}
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

func (r *recorder) finish() {
	for _, f := range slices.Backward(r.cleanups) {
		f()
	}
}

func TestAnUnexpectedQueryFailsTheTest(t *testing.T) {
	for text, want := range map[string]int{"example.com. TXT x": 1, "example.com. TXT x\n!any": 0} {
		r := &recorder{TB: t}
		z := NewZone(r, text)
		if txts, err := z.TXT(context.Background(), "other.example"); len(txts) > 0 || err != nil {
			t.Errorf("TXT(other.example) = %q, %v; want nothing", txts, err)
		}
		r.finish()
		if len(r.errors) != want {
			t.Errorf("zone %q: failures %q; want %d", text, r.errors, want)
		}
		if want > 0 && !slices.Equal(z.Unexpected(), []string{"TXT other.example"}) {
			t.Errorf("Unexpected() = %q", z.Unexpected())
		}
	}
}

func TestBadZoneTextIsRefusedWithItsLine(t *testing.T) {
	for text, want := range map[string]string{
		"\n!nonsense x":                  "line 2",
		"!":                              "line 1",
		"!slow a.example":                "line 1",
		"!slow a.example soon":           "line 1",
		"!drop a.example NOTYPE":         "line 1",
		"!negttl many":                   "line 1",
		"!delay soon":                    "line 1",
		"!delay a.example 1s":            "line 1",
		"!down now":                      "line 1",
		"a.example. A 192.0.2.1\nb. A x": "line: 2",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q) = %v; want an error with %q", text, err, want)
		}
	}
}

func TestNegativeAnswersCarryAnSOA(t *testing.T) {
	for _, c := range []struct{ text, owner string }{
		{"a.example.com. TXT x\n!negttl 60", "com."},
		{"example.com. 60 SOA ns.example.com. root.example.com. 1 2 3 4 60", "example.com."},
		{"a.example.com. TXT x\n!nosoa", ""},
	} {
		d, err := parse(c.text)
		if err != nil {
			t.Fatal(err)
		}
		rep := d.answer("gone.example.com.", dns.TypeTXT)
		owner := ""
		if len(rep.authority) == 1 {
			soa := rep.authority[0].(*dns.SOA)
			if owner = soa.Hdr.Name; soa.Hdr.Ttl != 60 || soa.Minttl != 60 {
				t.Errorf("SOA for %q has TTL %d and MINIMUM %d; want 60", c.text, soa.Hdr.Ttl, soa.Minttl)
			}
		}
		if owner != c.owner || rep.rcode != dns.RcodeNameError {
			t.Errorf("answer from %q has code %d and SOA of %q; want NXDOMAIN and %q", c.text, rep.rcode, owner, c.owner)
		}
	}
}
