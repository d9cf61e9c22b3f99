package spf

import (
	"context"
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"dmarcgate/internal/dnstest"
)

// staleAnswer is the error beside a stale answer, with the question.
type staleAnswer string

func (o staleAnswer) Error() string { return "no newer answer to " + string(o) }
func (o staleAnswer) Stale() bool   { return true }

// aged is a zone with stale answers to some questions, "*" for all.
type aged struct {
	*dnstest.Zone
	old []string // as "TXT x.example"
}

func (a aged) beside(question string, err error) error {
	if err == nil && (slices.Contains(a.old, question) || slices.Contains(a.old, "*")) {
		return staleAnswer(question)
	}
	return err
}

func (a aged) TXT(ctx context.Context, name string) ([]string, error) {
	txts, err := a.Zone.TXT(ctx, name)
	return txts, a.beside("TXT "+name, err)
}

func (a aged) A(ctx context.Context, name string) ([]netip.Addr, error) {
	addrs, err := a.Zone.A(ctx, name)
	return addrs, a.beside("A "+name, err)
}

func (a aged) AAAA(ctx context.Context, name string) ([]netip.Addr, error) {
	addrs, err := a.Zone.AAAA(ctx, name)
	return addrs, a.beside("AAAA "+name, err)
}

func (a aged) MX(ctx context.Context, name string) ([]string, error) {
	hosts, err := a.Zone.MX(ctx, name)
	return hosts, a.beside("MX "+name, err)
}

func (a aged) PTR(ctx context.Context, ip netip.Addr) ([]string, error) {
	names, err := a.Zone.PTR(ctx, ip)
	return names, a.beside("PTR "+ip.String(), err)
}

const agedZone = `
pass.example  TXT "v=spf1 ip4:192.0.2.1 -all"
fail.example  TXT "v=spf1 -all exp=why.example"
soft.example  TXT "v=spf1 ~all"
open.example  TXT "v=spf1 ?all"
bad.example   TXT "v=spf1 nonsense"
none.example  TXT "no record"
host.example  A   192.0.2.1
host.example  AAAA 2001:db8::1
other.example A   203.0.113.9
mx.example    MX  10 host.example.
why.example   TXT "no mail from here"
mail.ptr.example A 192.0.2.1
mail.ptr.example AAAA 2001:db8::1
1.2.0.192.in-addr.arpa PTR mail.ptr.example.
!servfail lame.example
!any`

func TestCheckStaleAnswerNeverFails(t *testing.T) {
	for _, tt := range []struct {
		name, record, old string
		want              Status
		why               string
	}{
		{"the record, for a pass", "ip4:192.0.2.1 -all", "TXT x.example", Pass, "matched ip4; stale DNS answer"},
		{"the record, for a fail", "-all", "TXT x.example", TempError, "matched all; stale DNS answer"},
		{"the record, for a softfail", "~all", "TXT x.example", TempError, "matched all; stale"},
		{"the record, for neutral", "?all", "TXT x.example", TempError, "matched all; stale"},
		{"the record, without a match", "a", "TXT x.example", TempError, "no mechanism matched; stale"},
		{"a record that cannot be read", "nonsense", "TXT x.example", TempError, "syntax error: unknown mechanism; stale"},
		{"addresses that match", "a:host.example -all", "A host.example", Pass, "stale"},
		{"addresses that do not", "a:other.example -all", "A other.example", TempError, "matched all; stale"},
		{"addresses that match a fail", "-a:host.example +all", "A host.example", TempError, "matched a; stale"},
		{"addresses that another mechanism does not need", "a:other.example ip4:192.0.2.1 -all", "A other.example", Pass, "stale"},
		{"addresses that were not queried for", "ip4:192.0.2.1 a:host.example -all", "A host.example", Pass, "matched ip4"},
		{"mail hosts that match", "mx:mx.example -all", "MX mx.example", Pass, "stale"},
		{"mail hosts of which there are none", "mx:none.example -all", "MX none.example", TempError, "matched all; stale"},
		{"the address of a mail host", "mx:mx.example -all", "A host.example", Pass, "stale"},
		{"a name that exists", "exists:host.example -all", "A host.example", Pass, "stale"},
		{"a name that exists, for a fail", "-exists:host.example +all", "A host.example", TempError, "matched exists; stale"},
		{"a name that does not exist", "exists:no.example -all", "A no.example", TempError, "matched all; stale"},
		{"an included record that passes", "include:pass.example -all", "TXT pass.example", Pass, "stale"},
		{"an included record that does not", "include:soft.example -all", "TXT soft.example", TempError, "matched all; stale"},
		{"an included record that is not there", "include:none.example -all", "TXT none.example", TempError, "the included domain has no SPF record; stale"},
		{"a redirect to one that passes", "redirect=pass.example", "TXT pass.example", Pass, "stale"},
		{"a redirect to one that fails", "redirect=fail.example", "TXT fail.example", TempError, "matched all; stale"},
		{"a redirect to nothing", "redirect=none.example", "TXT none.example", TempError, "has no SPF record; stale"},
		{"a claimed name that matches", "ptr:ptr.example -all", "PTR 192.0.2.1", Pass, "matched ptr; stale"},
		{"its address", "ptr:ptr.example -all", "A mail.ptr.example", Pass, "matched ptr; stale"},
		{"a claimed name that matches a fail", "-ptr:ptr.example +all", "PTR 192.0.2.1", TempError, "matched ptr; stale"},
		{"a claimed name in a macro", "exists:%{p}.no.example -all", "PTR 192.0.2.1", TempError, "matched all; stale"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dns := aged{dnstest.NewZone(t, "x.example TXT \"v=spf1 "+tt.record+"\"\n"+agedZone), []string{tt.old}}
			got := ask(t, dns, v4)
			if got.Status != tt.want || !strings.Contains(got.Why, tt.why) || got.Stale != strings.Contains(tt.why, "stale") {
				t.Errorf("Check() = %+v; want %v, because of %q", got, tt.want, tt.why)
			}
			if got.Status == TempError && got.Err != staleAnswer(tt.old) || got.Status != TempError && got.Err != nil {
				t.Errorf("Err = %v with %v; want that of the stale answer with temperror only", got.Err, got.Status)
			}
			if got.Explanation != "" {
				t.Errorf("Explanation = %q; want none of what is no fail", got.Explanation)
			}
		})
	}
}

func TestCheckStaleNegativeAnswerIsTempError(t *testing.T) {
	dns := aged{dnstest.NewZone(t, agedZone), []string{"TXT x.example"}}
	if got := ask(t, dns, v4); got.Status != TempError || got.Why != "no SPF record; stale DNS answer" || !got.Stale {
		t.Errorf("Check() = %+v; want temperror", got)
	}
}

func TestCheckStaleAddressesOfIPv6Client(t *testing.T) {
	dns := aged{dnstest.NewZone(t, "x.example TXT \"v=spf1 a:host.example -all\"\n"+agedZone), []string{"AAAA host.example"}}
	if got := ask(t, dns, v6); got.Status != Pass || !got.Stale {
		t.Errorf("Check() = %+v; want pass, Stale", got)
	}
}

// Without any answer these are a fail, too (RFC 7208, Section 5.5): who sends
// may have the power over their DNS, and lets it go silent.
func TestCheckStaleNamesWithoutMatch(t *testing.T) {
	for _, tt := range []struct{ name, record, old string }{
		{"a name elsewhere", "ptr -all", "PTR 192.0.2.1"},
		{"a name whose address is another", "ptr:ptr.example -all", "A mail.ptr.example"},
		{"no name", "ptr:ptr.example a:no1.example a:no2.example -all", "PTR 192.0.2.1"},
	} {
		zone := agedZone
		switch {
		case strings.HasPrefix(tt.old, "A "):
			zone = strings.Replace(zone, "mail.ptr.example A 192.0.2.1", "mail.ptr.example A 203.0.113.1", 1)
		case tt.name == "no name":
			zone = strings.Replace(zone, "1.2.0.192.in-addr.arpa", "9.2.0.192.in-addr.arpa", 1)
		}
		dns := aged{dnstest.NewZone(t, "x.example TXT \"v=spf1 "+tt.record+"\"\n"+zone), []string{tt.old}}
		if got := ask(t, dns, v4); got.Status != Fail || got.Stale || got.Err != nil {
			t.Errorf("%s: Check() = %+v; want fail on fresh answers", tt.name, got)
		}
	}
}

func TestCheckLimitsCountStaleAnswers(t *testing.T) {
	dns := aged{dnstest.NewZone(t, "x.example TXT \"v=spf1 a:n1.example a:n2.example a:n3.example +all\"\n"+agedZone), []string{"A n1.example", "A n3.example"}}
	got := ask(t, dns, v4)
	if got.Status != TempError || !strings.Contains(got.Why, "more than two terms that found nothing") || got.Term != "a:n3.example" {
		t.Errorf("Check() = %+v; want temperror because of three terms that found nothing", got)
	}
	if got.Err != staleAnswer("A n1.example") {
		t.Errorf("Err = %v; want that of the first stale answer", got.Err)
	}
}

func TestCheckCauseBehindStaleAnswer(t *testing.T) {
	dns := aged{dnstest.NewZone(t, "x.example TXT \"v=spf1 a:lame.example -all\"\n"+agedZone), []string{"TXT x.example"}}
	got := ask(t, dns, v4)
	if got.Status != TempError || !got.Stale || got.Term != "a:lame.example" || errors.As(got.Err, new(staleAnswer)) {
		t.Errorf("Check() = %+v; want temperror because of lame.example", got)
	}
}

func TestExplanationFromStaleAnswer(t *testing.T) {
	for _, old := range []string{"TXT why.example", "PTR 192.0.2.1"} {
		dns := aged{dnstest.NewZone(t, "x.example TXT \"v=spf1 -all exp=why.example\"\n"+strings.Replace(agedZone, "no mail", "%{p}: no mail", 1)), []string{old}}
		if got := ask(t, dns, v4); got.Status != Fail || got.Stale || got.Explanation != "mail.ptr.example: no mail from here" {
			t.Errorf("with a stale answer to %s: Check() = %+v; want fail, with the explanation", old, got)
		}
	}
}

// keeper keeps what was made of an answer, and counts what was made.
type keeper struct {
	aged
	mu   sync.Mutex
	kept map[string]any
	made int
}

func (k *keeper) Parsed(ctx context.Context, name string, parse func([]string) any) (any, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	txts, err := k.TXT(ctx, name)
	if err != nil && !isStale(err) {
		return nil, err
	}
	v, ok := k.kept[name]
	if !ok {
		v, k.made = parse(txts), k.made+1
		k.kept[name] = v
	}
	return v, err
}

func newKeeper(t *testing.T, zone string, old ...string) *keeper {
	return &keeper{aged: aged{dnstest.NewZone(t, zone), old}, kept: map[string]any{}}
}

// TestKeeperSharesRecords is worth something under the race
// detector.
func TestKeeperSharesRecords(t *testing.T) {
	k := newKeeper(t, agedZone+`
x.example   TXT "v=spf1 a:other.example exists:%{ir}.no.example include:soft.example mx:mx.example ptr -all"
two.example TXT "v=spf1 -all"
two.example TXT "v=spf1 +all"`)
	domains := []string{"x.example", "fail.example", "bad.example", "two.example", "none.example", "absent.example"}
	want := map[string]Result{}
	for _, d := range domains {
		want[d] = Check(t.Context(), k.Zone, Query{IP: v4, Domain: d, Local: "user", Helo: "h", Explain: true})
	}
	var wg sync.WaitGroup
	for i := range 8 * len(domains) {
		wg.Go(func() {
			d := domains[i%len(domains)]
			if got := Check(t.Context(), k, Query{IP: v4, Domain: d, Local: "user", Helo: "h", Explain: true}); got != want[d] {
				t.Errorf("Check(%s) = %+v; want %+v", d, got, want[d])
			}
		})
	}
	wg.Wait()
	if k.made != len(domains)+1 { // and soft.example
		t.Errorf("%d records were read; want each once", k.made)
	}
}

func TestKeeperMarksStaleRecord(t *testing.T) {
	for domain, want := range map[string]Status{"pass.example": Pass, "fail.example": TempError, "bad.example": TempError, "none.example": TempError} {
		got := Check(t.Context(), newKeeper(t, agedZone, "*"), Query{IP: v4, Domain: domain, Local: "user", Helo: "h"})
		if got.Status != want || !got.Stale {
			t.Errorf("Check(%s) = %+v; want %v, Stale", domain, got, want)
		}
	}
}

func TestKeeperErrorIsDNSFailure(t *testing.T) {
	k := newKeeper(t, agedZone)
	got := Check(t.Context(), k, Query{IP: v4, Domain: "lame.example", Local: "user", Helo: "h"})
	if n := len(k.Queries()); got.Status != TempError || got.Err == nil || got.Stale || n != 1 {
		t.Errorf("Check() = %+v after %d lookups; want temperror after one", got, n)
	}
}

func TestKeeperIgnoresForeignValues(t *testing.T) {
	for _, old := range []string{"", "TXT fail.example"} {
		k := newKeeper(t, agedZone, old)
		k.kept["fail.example"] = "a key"
		got := Check(t.Context(), k, Query{IP: v4, Domain: "fail.example", Local: "user", Helo: "h"})
		if want := map[bool]Status{false: Fail, true: TempError}[old != ""]; got.Status != want || !strings.HasPrefix(got.Why, "matched all") {
			t.Errorf("Check() with a stale answer to %q = %+v; want %v by the record", old, got, want)
		}
	}
}

func TestKeeperHitAllocatesNothingForRecord(t *testing.T) {
	kept := readToKeep([]string{"v=spf1 ip4:192.0.2.1 -all"})
	var r Resolver = remembering{kept: kept}
	if got := testing.AllocsPerRun(100, func() { lookupRecord(t.Context(), r, "x.example") }); got != 0 {
		t.Errorf("finding a record that is kept costs %v allocations; want 0", got)
	}
}

// TestKeeperSizeIsProportionalToText has the size of what a cache holds for a
// record, of which it knows the text.
func TestKeeperSizeIsProportionalToText(t *testing.T) {
	for _, tt := range []struct {
		terms string
		whole bool
	}{
		{" ip4:192.0.2.0/24 include:_spf.example.net -all", true},
		{strings.Repeat(" ip4:192.0.2.0/24", 20) + " -all", true},
		{strings.Repeat(" a", 20) + " -all", false},
		{" a a a", true},    // 3 terms, 17 bytes with the other text
		{" a a a a", false}, // 4 terms, 19 bytes
		{strings.Repeat(" a", 30000) + " -all", false},
		{" nonsense" + strings.Repeat(" a", 30000), true},
	} {
		txts := []string{"other", "v=spf1" + tt.terms}
		got := readToKeep(txts).(*reading)
		terms, room := len(got.record.terms), cap(got.record.terms)
		if most := 6*len(txts[1]) + 256; (got.text == "") != tt.whole || room*int(unsafe.Sizeof(term{})) > most || room > terms+terms/8+1 {
			t.Errorf("of %.40s... %d terms are kept in room for %d; want the record as read: %v, and at most %d bytes", tt.terms, terms, room, tt.whole, most)
		}
		if want := read(txts); !reflect.DeepEqual(got.whole(), want) {
			t.Errorf("of %.40s... is kept %+v; want %+v", tt.terms, got.whole(), want)
		}
	}
}

// remembering has one record at every name.
type remembering struct {
	*dnstest.Zone
	kept any
}

func (r remembering) Parsed(context.Context, string, func([]string) any) (any, error) {
	return r.kept, nil
}
