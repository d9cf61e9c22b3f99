package dmarc

import (
	"context"
	"testing"
)

// remembered answers from a map at once, as a warm cache does.
type remembered map[string][]string

func (r remembered) TXT(_ context.Context, name string) ([]string, error) { return r[name], nil }
func (r remembered) Exists(context.Context, string) (bool, error)         { return true, nil }

const published = "v=DMARC1; p=reject; sp=quarantine; adkim=r; aspf=r; rua=mailto:dmarc@example.com,mailto:reports@example.net!10m; fo=1; pct=100"

// message is discovery and evaluation of one message with an aligned SPF
// identifier and one signature of a third party.
func message(dns Resolver) Verdict {
	ctx := context.Background()
	f := Finder{Resolver: dns, Immediate: true}
	d := f.Find(ctx, "example.com")
	ids := []Identifier{
		f.Identify(ctx, Identifier{Mechanism: SPF, Domain: "bounce.example.com", Passed: true}, d),
		f.Identify(ctx, Identifier{Mechanism: DKIM, Domain: "example.net", Passed: true}, d),
	}
	return Evaluate(d, ids)
}

func BenchmarkMessage(b *testing.B) {
	dns := remembered{"_dmarc.example.com": {published}}
	b.ReportAllocs()
	for b.Loop() {
		if v := message(dns); v.Status != Pass {
			b.Fatal(v)
		}
	}
}

func BenchmarkParseRecord(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := ParseRecord(published); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEvaluate(b *testing.B) {
	f := &Finder{Resolver: zone("example.com p=reject")}
	d := f.Find(context.Background(), "example.com")
	ids := []Identifier{
		f.Identify(context.Background(), spf("bounce.example.com", true), d),
		f.Identify(context.Background(), dkim("example.net", true), d),
	}
	b.ReportAllocs()
	for b.Loop() {
		if v := Evaluate(d, ids); v.Status != Pass {
			b.Fatal(v)
		}
	}
}

func BenchmarkRecordString(b *testing.B) {
	r, _, _ := ParseRecord(published)
	b.ReportAllocs()
	for b.Loop() {
		if r.String() == "" {
			b.Fatal("nothing printed")
		}
	}
}

// TestDiscoveryFromAWarmCacheIsCheap holds what is promised for a message with
// the decision of policy: together at most 30 allocations.
func TestDiscoveryFromAWarmCacheIsCheap(t *testing.T) {
	const most = 18
	dns := remembered{"_dmarc.example.com": {published}}
	if got := testing.AllocsPerRun(100, func() { message(dns) }); got > most {
		t.Errorf("a message costs %v allocations; want at most %d", got, most)
	}
}
