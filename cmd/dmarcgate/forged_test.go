package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dmarcgate/auth"
	"dmarcgate/auth/dmarc"
	"dmarcgate/config"
	"dmarcgate/enforce"
	"dmarcgate/explain"
	"dmarcgate/internal/dkimtest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/scale"
	"dmarcgate/milter"
	"dmarcgate/policy"
	"dmarcgate/policy/sampling"
)

// forgedField is a field of a generated header. Its text has a mark of its own,
// "mark<n>.", by which it is found again.
type forgedField struct {
	raw    string // with CRLF
	mark   string
	forged bool // only we may write it
}

// forger makes headers of fields that are forged and of fields that look like
// it.
type forger struct {
	*rand.Rand
	made int
}

func newForger(seed uint64) *forger { return &forger{Rand: rand.New(rand.NewPCG(8601, seed))} }

func (g *forger) one(from ...string) string { return from[g.IntN(len(from))] }

// name writes a field name in some case, and now and then with white space
// before the colon (RFC 5322, Section 4.5).
func (g *forger) name(s string) string {
	switch g.IntN(4) {
	case 0:
		s = strings.ToLower(s)
	case 1:
		s = strings.ToUpper(s)
	case 2:
		b := []byte(s)
		for i := range b {
			if g.IntN(2) == 0 {
				b[i] = strings.ToLower(s)[i]
			}
		}
		s = string(b)
	}
	return s + g.one("", "", "", "", " ", "\t")
}

// space is CFWS, which may be empty.
func (g *forger) space() string {
	return g.one("", "", " ", "\t", "\r\n ", " (x)", " (other.example)", " (a (b) \\) c) ", "\r\n\t(mx.receiver.example; x=y)\r\n ")
}

// ours is an authserv-id that is ours, or that cannot be told from ours.
func (g *forger) ours() string {
	return g.one(
		"mx.receiver.example", "MX.Receiver.EXAMPLE", "mx.receiver.example.", `"mx.receiver.example"`, `"m\x.receiver.example"`,
		`"mx.receiver.example/4XyZ"`, "old.receiver.example", "mx.receiver.example 1", "mx.receiver.example 2", "other.example 7", "",
		";", "@", "(", `"mx.receiver.example`, "other.example other.example", "other.example/x", strings.Repeat("a", 300),
	)
}

// theirs is an authserv-id of somebody else.
func (g *forger) theirs() string {
	return g.one(
		"other.example", "receiver.example", "mx.receiver.example.evil.example", "xmx.receiver.example", "x.mx.receiver.example",
		"(mx.receiver.example) other.example", `"other.example"`, "other.example 1", "mx-receiver.example",
	)
}

// field makes one.
func (g *forger) field() forgedField {
	g.made++
	f := forgedField{mark: fmt.Sprintf("mark%d.", g.made)}
	switch g.IntN(11) {
	case 0, 1:
		f.forged = true
		f.raw = g.name("Authentication-Results") + ":" + g.space() + g.ours() + "; dmarc=pass header.from=" + f.mark
	case 2, 3:
		f.raw = g.name("Authentication-Results") + ":" + g.space() + g.theirs() + g.space() + "; bimi=pass dmarc=pass header.from=" + f.mark
	case 4:
		f.forged = true
		f.raw = g.name("X-DMARC-Quarantine") + ": " + f.mark
	case 5:
		f.forged = true
		f.raw = g.name(g.one("BIMI-Location", "BIMI-Indicator", "BIMI-Logo-Preference")) + ":" + g.space() + f.mark
	case 6:
		f.raw = g.name(g.one("X-Authentication-Results", "Authentication-Results-X", "ARC-Authentication-Results", "BIMI-Selector", "BIMI-Locations", "Received-SPF")) +
			": mx.receiver.example; dmarc=pass header.from=" + f.mark
	case 7: // for Unicode, and for no MTA, the letter is an "s"
		f.raw = "Authentication-Re\u017fults: mx.receiver.example; dmarc=pass header.from=" + f.mark
	case 8:
		f.raw = "X-Long: " + strings.Repeat("x", g.IntN(2000)) + f.mark
	default:
		f.raw = g.one("Received", "Subject", "To", "List-Id", "X") + ": " + f.mark
	}
	f.raw += "\r\n"
	return f
}

// header makes up to n fields. They are apart from the From field, which stands
// anywhere among them.
func (g *forger) header(n int) []forgedField {
	fields := make([]forgedField, g.IntN(n))
	for i := range fields {
		fields[i] = g.field()
	}
	from := forgedField{raw: "From: a@shop.example (mark0.)\r\n", mark: "mark0."}
	return slices.Insert(fields, g.IntN(len(fields)+1), from)
}

// limits are some that most headers of up to n fields are beyond.
func (g *forger) limits(n int) milter.Limits {
	l := milter.Limits{HeaderFields: 1 + g.IntN(n), HeaderBytes: 1 << 20}
	if g.IntN(2) == 0 {
		l = milter.Limits{HeaderFields: n + 2, HeaderBytes: 1 + g.IntN(n*200)}
	}
	return l
}

// forgedSnapshot is the daemon's for one listener, with DNS of its own.
func forgedSnapshot(t *testing.T, zone string) (config.Listener, *enforce.Snapshot) {
	t.Helper()
	z := dnstest.NewZone(t, zone)
	l := config.Listener{Name: "mta", Profile: policy.Monitor}
	return l, &enforce.Snapshot{
		Settings: enforce.Settings{
			Policy: policy.Settings{Profile: policy.Monitor}, Sampler: sampling.NewSampler(nil), TagField: "X-DMARC-Quarantine", RemoveBIMI: true,
			AuthservID: "mx.receiver.example", AuthservIDs: []string{"mx.receiver.example", "old.receiver.example"},
		},
		Checker: &auth.Checker{SPF: z, DKIM: z, Finder: &dmarc.Finder{Resolver: z}, Budget: time.Minute},
	}
}

const forgedZone = `
shop.example.        TXT "v=spf1 ip4:192.0.2.10 -all"
_dmarc.shop.example. TXT "v=DMARC1; p=reject"
!any
`

// removed makes the removals as an MTA does: Postfix renumbers the fields behind
// one that is deleted, Sendmail does not. It returns the fields that are left.
func removed(t *testing.T, fields []forgedField, edits []string, renumbers bool) []forgedField {
	t.Helper()
	left := slices.Clone(fields)
	gone := make([]bool, len(fields))
	for _, e := range edits {
		words := strings.Fields(e)
		if words[0] != "delete" {
			continue
		}
		nth, err := strconv.Atoi(words[2])
		if err != nil {
			t.Fatal(err)
		}
		for i, f := range left {
			name, _, _ := strings.Cut(f.raw, ":")
			name = strings.TrimRight(name, " \t")
			if len(name) != len(words[1]) || !strings.EqualFold(name, words[1]) || renumbers && gone[i] {
				continue
			}
			if nth--; nth == 0 {
				gone[i] = true
				break
			}
		}
		if nth != 0 {
			t.Fatalf("%s: there is no such field", e)
		}
	}
	var out []forgedField
	for i, f := range left {
		if !gone[i] {
			out = append(out, f)
		}
	}
	return out
}

// Whatever the header and the limits are, the same fields are removed: those
// that only we may write, and no other. DMARCGATE_SCALE multiplies the headers.
func TestForgedFieldsAreRemovedBeyondLimits(t *testing.T) {
	const most = 40
	l, now := forgedSnapshot(t, forgedZone)
	g := newForger(1)
	for n := range 2000 * scale.Of(t) {
		fields := g.header(most)
		var raw [][]byte
		var want []forgedField
		for _, f := range fields {
			raw = append(raw, []byte(f.raw))
			if !f.forged {
				want = append(want, f)
			}
		}
		env := &milter.Envelope{Client: netip.MustParseAddr("192.0.2.10"), MailFrom: "a@shop.example", Helo: "[192.0.2.10]"}
		if n%2 == 0 {
			env.Authenticated = "alice"
		}
		limits := g.limits(most)
		x := explain.Passage(l, limits, now, explain.Letter{Env: env, Header: raw, Body: nil}, nil)
		if x.Facts.Forged != len(fields)-len(want) || x.Decision.Action != policy.Accept {
			t.Fatalf("header %d, %+v: %d forged fields, %v; want %d, accept\n%q", n, limits, x.Facts.Forged, x.Decision.Action, len(fields)-len(want), raw)
		}
		for _, renumbers := range []bool{true, false} {
			if got := removed(t, fields, x.Edits, renumbers); !slices.Equal(got, want) {
				t.Fatalf("header %d, %+v, renumbers %v: %+v are left; want %+v\n%q", n, limits, renumbers, got, want, x.Edits)
			}
		}
	}
}

// Beyond the limits results say what is known: a signature gives what it gives
// with the whole header, or neutral; and there is one outcome, wherever From
// stands. DMARCGATE_SCALE multiplies the headers.
func TestAuthenticationResultsBeyondLimits(t *testing.T) {
	const most = 40
	key := testKey(t, "rsa")
	l, now := forgedSnapshot(t, forgedZone+key.Zone("s1", "shop.example"))
	now.Settings.Policy = policy.Settings{Profile: policy.Strict, EnforceShare: 100}
	g := newForger(2)
	signed := signedFields(t, key)
	known, unknown := 0, 0
	for n := range 2000 * scale.Of(t) {
		fields := g.header(most)
		var raw [][]byte
		for _, f := range fields {
			if !strings.HasPrefix(f.raw, "From:") {
				raw = append(raw, []byte(f.raw))
			}
		}
		for _, s := range signed[g.IntN(len(signed))] {
			raw = slices.Insert(raw, g.IntN(len(raw)+1), s)
		}
		env := milter.Envelope{Client: netip.MustParseAddr("203.0.113.66"), MailFrom: "a@stranger.example", Helo: "[203.0.113.66]"}
		cutEnv := env
		whole := explain.Passage(l, milter.Limits{HeaderFields: 1 << 20, HeaderBytes: 1 << 30}, now, explain.Letter{Env: &env, Header: raw, Body: []byte("body\r\n")}, nil)
		cut := explain.Passage(l, g.limits(most), now, explain.Letter{Env: &cutEnv, Header: raw, Body: []byte("body\r\n")}, nil)
		if !cut.Facts.HeaderTruncated {
			known += compareSignatures(t, cut.Facts, whole.Facts)
			continue
		}
		unknown++
		f := cut.Facts
		if f.FromField != policy.FromTruncated || f.ARC.Result != "" || len(f.Authors) > 0 || cut.Decision.Action != policy.Reject || cut.Decision.Why != "header longer than the limits" {
			t.Fatalf("header %d: From %s, ARC %q, %d authors, %v for %q\n%q", n, f.FromField, f.ARC.Result, len(f.Authors), cut.Decision.Action, cut.Decision.Why, raw)
		}
		known += compareSignatures(t, f, whole.Facts)
		if t.Failed() {
			t.Fatalf("header %d\n%q", n, raw)
		}
	}
	if known < 100 || unknown < 100 {
		t.Errorf("%d signatures were verified, and %d headers were beyond the limits; want at least 100 of each", known, unknown)
	}
}

// signedFields are headers with a signature on top, whose fields may then be
// put in any order.
func signedFields(t *testing.T, key dkimtest.Key) [][][]byte {
	t.Helper()
	var out [][][]byte
	for i := range 20 {
		head := fmt.Sprintf("From: a@shop.example\r\nX-Signed: %d\r\n", i)
		text, err := key.Sign([]byte(head+"\r\nbody\r\n"), "shop.example", "s1")
		if err != nil {
			t.Fatal(err)
		}
		header, _, _ := bytes.Cut(text, []byte("\r\n\r\n"))
		var fields [][]byte
		for line := range bytes.Lines(append(header, "\r\n"...)) {
			if line[0] == ' ' || line[0] == '\t' {
				fields[len(fields)-1] = append(fields[len(fields)-1], line...)
				continue
			}
			fields = append(fields, bytes.Clone(line))
		}
		out = append(out, fields)
	}
	return out
}

// compareSignatures fails the test where a signature has another result than
// with the whole header, but neutral. It returns how many have one.
func compareSignatures(t *testing.T, got, whole policy.Facts) (known int) {
	t.Helper()
	for _, s := range got.DKIM {
		if s.Result == "neutral" {
			continue
		}
		known++
		same := func(w policy.DKIM) bool { return w.B == s.B && w.Result == s.Result && w.Why == s.Why }
		if !slices.ContainsFunc(whole.DKIM, same) {
			t.Errorf("signature %+v; with the whole header %+v", s, whole.DKIM)
		}
	}
	return known
}
