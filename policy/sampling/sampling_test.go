package sampling

import (
	"fmt"
	"net/netip"
	"testing"
)

func TestDrawIsStableForRetryAndDiffersByPurpose(t *testing.T) {
	s := NewSampler([]byte("0123456789abcdef0123456789abcdef"))
	m := Sample{Author: "a.example", MessageID: "<1@a.example>", Date: "Mon, 2 Nov 2026 10:00:00 +0000",
		MailFrom: "x@a.example", Client: netip.MustParseAddr("192.0.2.1")}
	retry := m
	retry.Client = netip.MustParseAddr("192.0.2.77") // another host of the same /24
	if got, want := s.Draw("pct", retry), s.Draw("pct", m); got != want {
		t.Errorf("Draw of a retry = %d; want %d as before", got, want)
	}
	if got := draws(s, "pct"); got == draws(s, "ramp") {
		t.Error("draws for pct and for ramp are equal; want them independent")
	}
	if got := draws(NewSampler([]byte("another secret of thirty-two byt")), "pct"); got == draws(s, "pct") {
		t.Error("draws under another secret are equal; a sender could compute them")
	}
}

// draws returns the draws of 64 messages, which are never all equal by
// accident.
func draws(s Sampler, purpose string) (out [64]uint8) {
	for i := range out {
		out[i] = s.Draw(purpose, Sample{MessageID: string(rune('A' + i))})
	}
	return out
}

func TestSampleFieldsAreSeparated(t *testing.T) {
	s := NewSampler([]byte("0123456789abcdef0123456789abcdef"))
	for _, between := range []string{"", "\x00", "\x00\x00\x00\x00\x00\x00\x00\x00"} {
		same := 0
		for i := range 64 {
			c := string(rune('A' + i))
			if s.Draw("pct", Sample{MessageID: "x" + between + c, Date: "y"}) == s.Draw("pct", Sample{MessageID: "x", Date: c + between + "y"}) {
				same++
			}
		}
		if same == 64 {
			t.Errorf("the parts of a sample are joined with %q for a boundary, which they can have", between)
		}
	}
}

func TestNetworkCutsAddress(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.77":        "192.0.2.0/24",
		"::ffff:192.0.2.77": "192.0.2.0/24",
		"2001:db8:1:2:3::4": "2001:db8:1:2::/64",
	} {
		if got := Network(netip.MustParseAddr(in)); got != want {
			t.Errorf("Network(%s) = %s; want %s", in, got, want)
		}
	}
	if got := Network(netip.Addr{}); got != "" {
		t.Errorf("Network of no address = %q; want nothing", got)
	}
}

// What a sender can choose, here the Message-ID, selects no more and no fewer
// than pct says, for every pct, and the draws for two purposes have nothing to
// do with each other.
func TestSamplerDrawIsUniformWithoutKey(t *testing.T) {
	const n, every = 100_000, 4 // that many draws for a second purpose, too
	s := NewSampler([]byte("0123456789abcdef0123456789abcdef"))
	var pct, ramp [100]int
	var both [100]int // by the larger of the two draws: both are selected above it
	for i := range n {
		m := Sample{Author: "bank.example", MessageID: fmt.Sprintf("<%d@bank.example>", i), MailFrom: "a@bank.example"}
		a := s.Draw("pct", m)
		pct[a]++
		if i%every == 0 {
			b := s.Draw("ramp", m)
			ramp[b]++
			both[max(a, b)]++
		}
		if i%20 == 0 && s.Draw("pct", m) != a {
			t.Fatalf("Draw of a retry of %s differs", m.MessageID)
		}
	}
	for p := range 101 {
		within(t, "pct", p, sum(pct[:p]), n, p*n/100)
		within(t, "another purpose", p, sum(ramp[:p]), n/every, p*n/every/100)
		within(t, "both", p, sum(both[:p]), n/every, p*p*n/every/10000)
	}
}

// within wants as many messages selected at a percentage as its share, give or
// take one percent of all.
func within(t *testing.T, what string, percent, got, all, share int) {
	t.Helper()
	if off := got - share; off < -all/100 || off > all/100 {
		t.Errorf("of %d messages %d are selected at %d by %s; want about %d", all, got, percent, what, share)
	}
}

func sum(counts []int) (total int) {
	for _, n := range counts {
		total += n
	}
	return total
}
