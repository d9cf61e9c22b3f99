package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func mustQuery(t testing.TB, name string, qtype uint16) query {
	t.Helper()
	q, err := newQuery(Query{Question: Question{qtype, name}, EDNS: true})
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// replyTo packs a reply to q after change has had its way with it.
func replyTo(t testing.TB, q query, change func(*dns.Msg)) []byte {
	t.Helper()
	var req dns.Msg
	if err := req.Unpack(q.wire); err != nil {
		t.Fatal(err)
	}
	rep := new(dns.Msg).SetReply(&req)
	rep.RecursionAvailable = true
	change(rep)
	wire, err := rep.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return wire
}

func records(t testing.TB, lines ...string) []dns.RR {
	t.Helper()
	var rrs []dns.RR
	for _, line := range lines {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		rrs = append(rrs, rr)
	}
	return rrs
}

func TestSendAcceptsOnlyReplyToQuestion(t *testing.T) {
	q := mustQuery(t, "example.com", dns.TypeTXT)
	for about, change := range map[string]func(*dns.Msg){
		"another ID":         func(m *dns.Msg) { m.Id++ },
		"a query":            func(m *dns.Msg) { m.Response = false },
		"another opcode":     func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify },
		"another name":       func(m *dns.Msg) { m.Question[0].Name = "example.net." },
		"another type":       func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeA },
		"another class":      func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS },
		"two questions":      func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) },
		"no question":        func(m *dns.Msg) { m.Question = nil },
		"NXDOMAIN of naught": func(m *dns.Msg) { m.Question, m.Rcode = nil, dns.RcodeNameError },
	} {
		if rep, err := parse(replyTo(t, q, change), q); !errors.Is(err, errNotOurs) {
			t.Errorf("parse of a reply with %s = %+v, %v; want %v", about, rep, err, errNotOurs)
		}
	}
	recased := replyTo(t, q, func(m *dns.Msg) { m.Question[0].Name = "Example.com." })
	if rep, err := parse(recased, q); err != nil || !rep.Recased {
		t.Errorf("parse of a reply with another case = %+v, %v; want it marked", rep, err)
	}
	for n := range headerLen {
		if _, err := parse(make([]byte, n), q); !errors.Is(err, errNotOurs) {
			t.Errorf("parse of %d bytes = %v; want %v", n, err, errNotOurs)
		}
	}
}

func TestReplyFailureNamesCode(t *testing.T) {
	q := mustQuery(t, "example.com", dns.TypeTXT)
	for _, c := range []struct {
		about  string
		change func(*dns.Msg)
		want   Kind
	}{
		{"no records", func(m *dns.Msg) {}, 0},
		{"NXDOMAIN", func(m *dns.Msg) { m.Rcode = dns.RcodeNameError }, 0},
		{"SERVFAIL", func(m *dns.Msg) { m.Rcode = dns.RcodeServerFailure }, ServFail},
		{"REFUSED without its question", func(m *dns.Msg) { m.Rcode, m.Question = dns.RcodeRefused, nil }, Refused},
		{"NOTIMP", func(m *dns.Msg) { m.Rcode = dns.RcodeNotImplemented }, ServFail},
		{"a code of EDNS above NOERROR", func(m *dns.Msg) { m.SetEdns0(1232, false); m.Rcode = dns.RcodeBadVers }, ServFail},
		{"a referral", func(m *dns.Msg) {
			m.RecursionAvailable = false
			m.Ns = records(t, "com. NS a.gtld.example.")
		}, Refused},
	} {
		rep, err := parse(replyTo(t, q, c.change), q)
		if err != nil || rep.Failure() != c.want {
			t.Errorf("parse of %s fails with %v, %v; want %v", c.about, rep.Failure(), err, c.want)
		}
	}
}

func TestReplyFailureNamesExtendedError(t *testing.T) {
	q := mustQuery(t, "example.com", dns.TypeTXT)
	withReason := func(rcode int, code uint16) []byte {
		return replyTo(t, q, func(m *dns.Msg) {
			m.SetEdns0(ednsSize, false)
			m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_NSID{Code: dns.EDNS0NSID}, &dns.EDNS0_EDE{InfoCode: code, ExtraText: "signature\r\nexpired"}}
			m.Rcode = rcode
		})
	}
	for code := range uint16(40) {
		want := ServFail
		if slices.Contains([]uint16{1, 2, 5, 6, 7, 8, 9, 10, 11, 12}, code) {
			want = Bogus
		}
		rep, err := parse(withReason(dns.RcodeServerFailure, code), q)
		if err != nil || rep.Failure() != want {
			t.Errorf("SERVFAIL with reason %d fails with %v, %v; want %v", code, rep.Failure(), err, want)
		}
		for rcode, want := range map[int]Kind{dns.RcodeRefused: Refused, dns.RcodeSuccess: 0} {
			if rep, err := parse(withReason(rcode, code), q); err != nil || rep.Failure() != want {
				t.Errorf("code %d with reason %d fails with %v, %v; want %v", rcode, code, rep.Failure(), err, want)
			}
		}
	}
	wire := withReason(dns.RcodeServerFailure, dns.ExtendedErrorCodeDNSBogus)
	for n := headerLen + len(q.question); n < len(wire); n++ {
		if rep, err := parse(wire[:n], q); err != nil || rep.Failure() != ServFail {
			t.Errorf("parse of %d of %d bytes fails with %v, %v; want %v", n, len(wire), rep.Failure(), err, ServFail)
		}
	}
}

func TestChaseCollectsAnswers(t *testing.T) {
	chain := func(n int) []string {
		lines := []string{fmt.Sprintf("c%d.example.com. 100 TXT end", n)}
		for i := range n {
			lines = append(lines, fmt.Sprintf("c%d.example.com. %d CNAME C%d.example.com.", i, 200+i, i+1))
		}
		return lines
	}
	many := make([]string, maxRecords+50)
	for i := range many {
		many[i] = fmt.Sprintf("c0.example.com. 100 TXT n%d", i)
	}
	for _, c := range []struct {
		about   string
		answers []string
		want    int
		ttl     time.Duration
		bad     bool
	}{
		{"one record", []string{"c0.example.com. 100 TXT x"}, 1, 100 * time.Second, false},
		{"the case of the owner does not matter", []string{"C0.Example.com. 100 TXT x"}, 1, 100 * time.Second, false},
		{"records of another name do not count", []string{"c1.example.com. 5 TXT x"}, 0, 0, false},
		{"records of another type do not count", []string{"c0.example.com. 5 A 192.0.2.1"}, 0, 0, false},
		{"records of another class do not count", []string{"c0.example.com. 5 CH TXT x"}, 0, 0, false},
		{"a chain in any order", chain(3), 1, 100 * time.Second, false},
		{"the longest chain", chain(maxAliases), 1, 100 * time.Second, false},
		{"a chain too long", chain(maxAliases + 1), 0, 0, true},
		{"a loop", []string{"c0.example.com. CNAME c1.example.com.", "c1.example.com. CNAME c0.example.com."}, 0, 0, true},
		{"more records than are read", many, maxRecords, 100 * time.Second, false},
		{"a TTL with its highest bit set is 0", []string{"c0.example.com. 2147483648 TXT x"}, 1, 0, false},
	} {
		t.Run(c.about, func(t *testing.T) {
			q := mustQuery(t, "c0.example.com", dns.TypeTXT)
			wire := replyTo(t, q, func(m *dns.Msg) { m.Answer = records(t, c.answers...) })
			rep, err := parse(wire, q)
			if got := rep.Answer; len(got.Records) != c.want || got.TTL != c.ttl || errors.Is(err, errMalformed) != c.bad {
				t.Errorf("%d records, TTL %v, %v; want %d, %v, malformed %v", len(got.Records), got.TTL, err, c.want, c.ttl, c.bad)
			}
		})
	}
}

func TestSendReportsCutReplyAsMalformed(t *testing.T) {
	q := mustQuery(t, "example.com", dns.TypeTXT)
	wire := replyTo(t, q, func(m *dns.Msg) { m.Answer = records(t, "example.com. TXT abc") })
	for n := headerLen + len(q.question); n < len(wire); n++ {
		if rep, err := parse(wire[:n], q); !errors.Is(err, errMalformed) {
			t.Errorf("parse of %d of %d bytes = %+v, %v; want %v", n, len(wire), rep, err, errMalformed)
		}
	}
}

func TestUnescapeGivesTheBytes(t *testing.T) {
	for in, want := range map[string]string{
		`plain; text`: `plain; text`, `a\"b`: `a"b`, `a\\b`: `a\b`, `\195\164`: "\xc3\xa4", `\000`: "\x00",
		`\\065`: `\065`, `\;`: `;`, `end\`: `end\`, `\9`: `9`, `\99x`: `99x`, `\255\256`: "\xff256",
	} {
		if got := unescape(in); got != want {
			t.Errorf("unescape(%q) = %q; want %q", in, got, want)
		}
	}
}

func TestNamesSurviveTheirEscape(t *testing.T) {
	for c := range 256 {
		if c == '.' || 'A' <= c && c <= 'Z' {
			continue
		}
		q := mustQuery(t, string([]byte{'x', byte(c)})+".example", dns.TypeTXT)
		if got := q.question[:3]; got[0] != 2 || got[1] != 'x' || got[2] != byte(c) {
			t.Errorf("byte %d is sent as %v", c, got)
		}
	}
}

func TestHostsArePlainNames(t *testing.T) {
	for in, want := range map[string]string{
		"A.Example.com.": "a.example.com", ".": ".", `a\.b.example.com.`: "", `\009.example.com.`: "", "": "",
	} {
		if got, ok := host(in); got != want || ok != (want != "") {
			t.Errorf("host(%q) = %q, %v; want %q", in, got, ok, want)
		}
	}
}

// FuzzParse reads any bytes as the rest of a reply to our question.
func FuzzParse(f *testing.F) {
	q := mustQuery(f, "c0.example.com", dns.TypeTXT)
	start := headerLen + len(q.question)
	for _, lines := range [][]string{
		nil,
		{`c0.example.com. 100 TXT "a\"b" "\195;"`},
		{"c0.example.com. CNAME c1.example.com.", "c1.example.com. 4294967295 TXT x"},
		{"c0.example.com. CNAME c0.example.com."},
		{`c0.example.com. MX 10 a\.b.example.com.`, "c0.example.com. MX 5 .", "c0.example.com. A 192.0.2.1", "c0.example.com. AAAA ::1"},
		{`c0.example.com. SOA ns.example.com. a\.b\@.example.com. 1 2 3 4 5`, "c0.example.com. SOA . . 1 2 3 4 5"},
	} {
		wire := replyTo(f, q, func(m *dns.Msg) {
			m.Answer = records(f, lines...)
			m.Ns = records(f, "com. 60 SOA a. b. 1 2 3 4 30")
			m.SetEdns0(1232, false)
		})
		for _, qtype := range []uint16{dns.TypeTXT, dns.TypeMX, dns.TypeSOA} {
			f.Add(qtype, binary.BigEndian.Uint16(wire[2:]), uint16(len(lines)), uint16(1), uint16(1), wire[start:])
		}
	}
	f.Fuzz(func(t *testing.T, qtype, bits, an, ns, ar uint16, rest []byte) {
		q := mustQuery(t, "c0.example.com", qtype)
		wire := append(append([]byte(nil), q.wire[:headerLen]...), q.question...)
		for i, v := range []uint16{q.id, bits | bitQR, 1, an, ns, ar} {
			binary.BigEndian.PutUint16(wire[2*i:], v)
		}
		rep, err := parse(append(wire, rest...), q)
		if err != nil {
			if !errors.Is(err, errMalformed) && !errors.Is(err, errNotOurs) {
				t.Errorf("unknown error %v", err)
			}
			return
		}
		checkAnswer(t, rep, qtype, len(rest))
	})
}

// checkAnswer holds for every answer that is believed.
func checkAnswer(t *testing.T, rep Reply, qtype uint16, size int) {
	t.Helper()
	a := rep.Answer
	if n := len(a.Records) + len(a.Addrs); n > maxRecords || a.NXDomain && n > 0 {
		t.Errorf("%d records, nxdomain %v", n, a.NXDomain)
	}
	if a.TTL < 0 || a.TTL > (1<<31-1)*time.Second {
		t.Errorf("TTL %v", a.TTL)
	}
	if (rep.Truncated || rep.Failure() == ServFail || rep.Failure() == Bogus) && !a.Empty() {
		t.Errorf("an answer from code %d, truncated %v", rep.rcode, rep.Truncated)
	}
	if qtype == dns.TypeSOA {
		if n := len(a.Records); n != 0 && n != 2 || n == 2 && strings.Count(a.Records[1], "@") == 0 && a.Records[1] != "" {
			t.Errorf("SOA as %q", a.Records)
		}
		return
	}
	bytes := 0
	for _, s := range a.Records {
		bytes += len(s)
		if name, ok := Clean(s); qtype != dns.TypeTXT && s != "." && (!ok || name != s) {
			t.Errorf("host %q", s)
		}
	}
	if qtype == dns.TypeTXT && bytes > size {
		t.Errorf("%d bytes of text from %d", bytes, size)
	}
}
