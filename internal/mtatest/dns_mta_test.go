//go:build mta

package mtatest

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

var zone = `
_dmarc.victim.example.  TXT "v=DMARC1; p=reject"
mail.victim.example     A   192.0.2.1
mail.victim.example     AAAA 2001:db8::1
victim.example.         30 MX 10 mail.victim.example.
victim.example.         MX  0 other.victim.example.
alias.victim.example.   CNAME mail.victim.example.
a.test.                 TXT "in test"
b.invalid.              TXT "in invalid"
localhost.              A   192.0.2.9
1.2.0.192.in-addr.arpa. PTR mail.victim.example.
1.0.0.10.in-addr.arpa.  PTR inside.victim.example.
long.victim.example.    TXT "` + long + `" "` + long + `" "` + long + `" "` + long + `" "` + long + `" "` + long + `"
lame.example.           NS  ns.lame.example.
ns.lame.example.        A   127.0.0.9
`

// long is as long as one string of a TXT record may be.
var long = strings.Repeat("0123456789abcde", 17)

func ask(t *testing.T, network, addr, name string, qtype uint16) (*dns.Msg, error) {
	t.Helper()
	c := dns.Client{Net: network, Timeout: 5 * time.Second}
	q := new(dns.Msg).SetQuestion(dns.Fqdn(name), qtype)
	q.SetEdns0(1232, false)
	r, _, err := c.Exchange(q, addr)
	return r, err
}

func TestTheResolverKnowsTheZone(t *testing.T) {
	d := StartDNS(t, zone, "broken.example")
	tests := []struct {
		name  string
		qtype uint16
		want  string // rcode and answers, sorted
	}{
		{"_dmarc.victim.example", dns.TypeTXT, `NOERROR "v=DMARC1; p=reject"`},
		{"_DMARC.Victim.Example", dns.TypeTXT, `NOERROR "v=DMARC1; p=reject"`},
		{"mail.victim.example", dns.TypeA, "NOERROR 192.0.2.1"},
		{"mail.victim.example", dns.TypeAAAA, "NOERROR 2001:db8::1"},
		{"victim.example", dns.TypeMX, "NOERROR 0 other.victim.example. 10 mail.victim.example."},
		{"alias.victim.example", dns.TypeA, "NOERROR 192.0.2.1 mail.victim.example."},
		{"victim.example", dns.TypeTXT, "NOERROR"},
		{"example", dns.TypeTXT, "NOERROR"},
		{"none.victim.example", dns.TypeTXT, "NXDOMAIN"},
		{"nothing.tld", dns.TypeTXT, "NXDOMAIN"},
		{"a.test", dns.TypeTXT, `NOERROR "in test"`},
		{"b.invalid", dns.TypeTXT, `NOERROR "in invalid"`},
		{"localhost", dns.TypeA, "NOERROR 192.0.2.9"},
		{"1.2.0.192.in-addr.arpa", dns.TypePTR, "NOERROR mail.victim.example."},
		{"1.0.0.10.in-addr.arpa", dns.TypePTR, "NOERROR inside.victim.example."},
		{"1.100.51.198.in-addr.arpa", dns.TypePTR, "NXDOMAIN"},
		{"broken.example", dns.TypeTXT, "SERVFAIL"},
		{"_dmarc.a.broken.example", dns.TypeTXT, "SERVFAIL"},
		{".", dns.TypeNS, "NOERROR mtatest-root."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			start := time.Now()
			r, err := ask(t, "udp", d.Addr(), tt.name, tt.qtype)
			if err != nil {
				t.Fatal(err)
			}
			var answers []string
			for _, rr := range r.Answer {
				answers = append(answers, strings.TrimPrefix(rr.String(), rr.Header().String()))
			}
			slices.Sort(answers)
			got := strings.Join(append([]string{dns.RcodeToString[r.Rcode]}, answers...), " ")
			if got != tt.want {
				t.Errorf("%s %s = %q; want %q", tt.name, dns.TypeToString[tt.qtype], got, tt.want)
			}
			if took := time.Since(start); took > time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestTTLsAreThoseOfTheZone(t *testing.T) {
	d := StartDNS(t, "a.example. TXT x\nb.example. 7 TXT x\n")
	for name, want := range map[string]uint32{"a.example": 300, "b.example": 7, "none.example": 60} {
		r, err := ask(t, "udp", d.Addr(), name, dns.TypeTXT)
		if err != nil {
			t.Fatal(err)
		}
		for _, rr := range append(r.Answer, r.Ns...) {
			if got := rr.Header().Ttl; got > want || got < want-2 {
				t.Errorf("TTL of %v = %d; want %d", rr, got, want)
			}
		}
	}
}

func TestALongAnswerIsCutOverUDPAndWholeOverTCP(t *testing.T) {
	d := StartDNS(t, zone)
	r, err := ask(t, "udp", d.Addr(), "long.victim.example", dns.TypeTXT)
	if err != nil || !r.Truncated {
		t.Errorf("over UDP: %v, %v; want it truncated", r, err)
	}
	r, err = ask(t, "tcp", d.Addr(), "long.victim.example", dns.TypeTXT)
	if err != nil || len(r.Answer) != 1 || len(r.Answer[0].(*dns.TXT).Txt) != 6 {
		t.Errorf("over TCP: %v, %v; want one TXT of 6 strings", r, err)
	}
}

func TestAStoppedResolverIsSilentAndAResumedOneAnswers(t *testing.T) {
	d := StartDNS(t, zone)
	d.StopResolver()
	c := dns.Client{Timeout: 300 * time.Millisecond}
	q := new(dns.Msg).SetQuestion("mail.victim.example.", dns.TypeA)
	var timeout net.Error
	if _, _, err := c.Exchange(q, d.Addr()); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("suspended: %v; want a timeout", err)
	}
	d.ResumeResolver()
	if _, err := ask(t, "udp", d.Addr(), "mail.victim.example", dns.TypeA); err != nil {
		t.Errorf("resumed: %v", err)
	}
	d.StopResolver()
	pids := d.Processes()
	if len(pids) < 2 {
		t.Errorf("Processes() = %v; want those of both servers", pids)
	}
	start := time.Now()
	d.Stop() // suspended as it is
	t.Logf("stop: %v", time.Since(start))
	if left := d.Processes(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if _, _, err := c.Exchange(q, d.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("stopped: %v; want refused", err)
	}
}

func TestALameDelegationGetsNoAnswer(t *testing.T) {
	d := StartDNS(t, zone)
	c := dns.Client{Timeout: 300 * time.Millisecond}
	q := new(dns.Msg).SetQuestion("x.lame.example.", dns.TypeTXT)
	var timeout net.Error
	if r, _, err := c.Exchange(q, d.Addr()); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("below a lame delegation: %v, %v; want a timeout", r, err)
	}
	if _, err := ask(t, "udp", d.Addr(), "mail.victim.example", dns.TypeA); err != nil {
		t.Errorf("elsewhere, meanwhile: %v", err)
	}
}

func TestAWrongZoneIsExplained(t *testing.T) {
	d := &DNS{t: t, dir: Dir(t)}
	err := d.start("a.example. TXT \"x\na.example. A 300.0.0.1\n", nil, nil)
	if err == nil || !strings.Contains(err.Error(), "root.zone:") {
		t.Errorf("start = %v; want the line of the zone", err)
	}
	d.Stop()
}

func TestAChangedZoneIsServed(t *testing.T) {
	d := StartDNS(t, "a.example. TXT one\n")
	d.SetZone("a.example. TXT two\nb.example. TXT three\n")
	d.SetZone("a.example. TXT four\nb.example. TXT three\n")
	r, err := ask(t, "udp", d.Addr(), "a.example", dns.TypeTXT)
	if err != nil || len(r.Answer) != 1 || r.Answer[0].(*dns.TXT).Txt[0] != "four" {
		t.Errorf("after two changes: %v, %v; want the second", r, err)
	}
}

func TestASignedZoneIsValidated(t *testing.T) {
	signed, err := SignZone("signed.example", "good.signed.example. TXT good\nbad.signed.example. TXT bad\n", "bad.signed.example")
	if err != nil {
		t.Fatal(err)
	}
	d := StartValidatingDNS(t, "plain.example. TXT plain\n", signed)
	for name, want := range map[string]string{"good.signed.example": "NOERROR AD true EDE []", "bad.signed.example": "SERVFAIL AD false EDE [6]", "plain.example": "NOERROR AD false EDE []"} {
		c := dns.Client{Timeout: 5 * time.Second}
		q := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeTXT)
		q.SetEdns0(1232, false)
		q.AuthenticatedData = true
		r, _, err := c.Exchange(q, d.Addr())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		reasons := []uint16{}
		if opt := r.IsEdns0(); opt != nil {
			for _, o := range opt.Option {
				if ede, ok := o.(*dns.EDNS0_EDE); ok {
					reasons = append(reasons, ede.InfoCode)
				}
			}
		}
		if got := fmt.Sprintf("%s AD %v EDE %v", dns.RcodeToString[r.Rcode], r.AuthenticatedData, reasons); got != want {
			t.Errorf("%s = %s; want %s", name, got, want)
		}
	}
}
