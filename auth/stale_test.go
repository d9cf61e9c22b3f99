package auth

import (
	"context"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"dmarcgate/auth/arc"
	"dmarcgate/auth/dkim"
	"dmarcgate/auth/dmarc"
	"dmarcgate/auth/spf"
	"dmarcgate/internal/dkimtest"
	"dmarcgate/internal/dnstest"
)

// staleAnswer is the error beside a stale answer: whether it is our resolver that
// got no newer one.
type staleAnswer bool

func (staleAnswer) Error() string { return "no newer answer" }
func (staleAnswer) Stale() bool   { return true }
func (o staleAnswer) Ours() bool  { return bool(o) }

// aged is a zone with stale answers for some names, "*" for all.
type aged struct {
	*dnstest.Zone
	names []string
	ours  bool
}

func (a aged) beside(name string, err error) error {
	if err == nil && (slices.Contains(a.names, name) || slices.Contains(a.names, "*")) {
		return staleAnswer(a.ours)
	}
	return err
}

func (a aged) TXT(ctx context.Context, name string) ([]string, error) {
	txts, err := a.Zone.TXT(ctx, name)
	return txts, a.beside(name, err)
}
func (a aged) A(ctx context.Context, name string) ([]netip.Addr, error) {
	addrs, err := a.Zone.A(ctx, name)
	return addrs, a.beside(name, err)
}
func (a aged) AAAA(ctx context.Context, name string) ([]netip.Addr, error) {
	addrs, err := a.Zone.AAAA(ctx, name)
	return addrs, a.beside(name, err)
}
func (a aged) MX(ctx context.Context, name string) ([]string, error) {
	hosts, err := a.Zone.MX(ctx, name)
	return hosts, a.beside(name, err)
}
func (a aged) PTR(ctx context.Context, ip netip.Addr) ([]string, error) {
	names, err := a.Zone.PTR(ctx, ip)
	return names, a.beside(ip.String(), err)
}
func (a aged) Exists(ctx context.Context, name string) (bool, error) {
	exists, err := a.Zone.Exists(ctx, name)
	return exists, a.beside(name, err)
}

const (
	agedKey = "s1._domainkey.shop.example"
	fromUs  = "From: a@shop.example\r\nSubject: x\r\n\r\nhello\r\n"
)

// agedCase is a message of shop.example with one signature.
type agedCase struct {
	spf, dkim bool // what passes
	names     []string
	ours      bool
}

func (c agedCase) zone(t *testing.T, key dkimtest.Key) *dnstest.Zone {
	record := "v=spf1 -all"
	if c.spf {
		record = "v=spf1 ip4:192.0.2.1 -all"
	}
	return dnstest.NewZone(t, key.Zone("s1", "shop.example")+`
shop.example.        TXT "`+record+`"
mx.shop.example.     TXT "v=spf1 ip4:192.0.2.1 -all"
_dmarc.shop.example. TXT "v=DMARC1; p=reject"
`)
}

func (c agedCase) run(t *testing.T, key dkimtest.Key) Results {
	t.Helper()
	signed, err := key.Sign([]byte(fromUs), "shop.example", "s1")
	if err != nil {
		t.Fatal(err)
	}
	text := string(signed)
	if !c.dkim {
		text = strings.Replace(text, "Subject: x", "Subject: y", 1)
	}
	return checkWith(aged{c.zone(t, key), c.names, c.ours}, text)
}

// resolver is what all mechanisms ask.
type resolver interface {
	spf.Resolver
	dmarc.Resolver
}

func checkWith(dns resolver, text string) Results {
	c := checker(nil)
	c.SPF, c.DKIM, c.Finder = dns, dns, &dmarc.Finder{Resolver: dns}
	h, body := header(text)
	run := c.Start(context.Background(), Query{Client: client, Helo: "mx.shop.example", MailFrom: "b@shop.example", Authors: []string{"shop.example"}}, h)
	run.Write(body)
	return run.Finish()
}

func TestStaleAnswersInVerdict(t *testing.T) {
	key, err := dkimtest.Ed25519()
	if err != nil {
		t.Fatal(err)
	}
	const spfName, record = "shop.example", "_dmarc.shop.example"
	for _, tt := range []struct {
		name  string
		c     agedCase
		want  dmarc.Status
		cause dmarc.Cause
		stale bool
	}{
		{"nothing is old, and all pass", agedCase{spf: true, dkim: true}, dmarc.Pass, dmarc.CauseNone, false},
		{"nothing is old, and all fail", agedCase{}, dmarc.Fail, dmarc.CauseNone, false},
		{"SPF does not pass on a stale answer, DKIM fails, by our fault", agedCase{names: []string{spfName}, ours: true}, dmarc.TempError, dmarc.CauseOurs, true},
		{"SPF does not pass on a stale answer, DKIM fails, by the domain's fault", agedCase{names: []string{spfName}}, dmarc.TempError, dmarc.CauseDomain, true},
		{"DKIM does not pass with an old key, SPF fails", agedCase{names: []string{agedKey}, ours: true}, dmarc.TempError, dmarc.CauseOurs, true},
		{"DKIM does not pass with an old key, SPF passes", agedCase{spf: true, names: []string{agedKey}}, dmarc.Pass, dmarc.CauseNone, true},
		{"SPF passes on a stale answer", agedCase{spf: true, names: []string{spfName}}, dmarc.Pass, dmarc.CauseNone, true},
		{"DKIM passes with an old key, under an old record", agedCase{dkim: true, names: []string{agedKey, record}}, dmarc.Pass, dmarc.CauseNone, true},
		{"all fail on fresh answers, under an old record", agedCase{names: []string{record}}, dmarc.Fail, dmarc.CauseNone, true},
		{"all is old, and all pass", agedCase{spf: true, dkim: true, names: []string{"*"}}, dmarc.Pass, dmarc.CauseNone, true},
		{"all is old, and all fail", agedCase{names: []string{"*"}, ours: true}, dmarc.TempError, dmarc.CauseOurs, true},
		{"the record of HELO alone is old", agedCase{spf: true, names: []string{"mx.shop.example"}}, dmarc.Pass, dmarc.CauseNone, true},
		{"what nobody asks for is old", agedCase{spf: true, names: []string{"other.example"}}, dmarc.Pass, dmarc.CauseNone, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			res := tt.c.run(t, key)
			a := res.Authors[0]
			v := dmarc.Evaluate(a.Discovery, a.Identifiers)
			if v.Status != tt.want || v.Cause != tt.cause || v.Policy != dmarc.Reject {
				t.Errorf("Evaluate() = %+v; want %v by %v, p=reject", v, tt.want, tt.cause)
			}
			if res.Stale() != tt.stale {
				t.Errorf("Stale() = %v of %+v; want %v", res.Stale(), res, tt.stale)
			}
		})
	}
}

func TestStaleNegativeAnswerIsNoRecord(t *testing.T) {
	res := checkWith(aged{Zone: dnstest.NewZone(t, "shop.example. A 192.0.2.1\n"), names: []string{"_dmarc.shop.example"}}, fromUs)
	if v := dmarc.Evaluate(res.Authors[0].Discovery, res.Authors[0].Identifiers); v.Status != dmarc.StatusNone || !res.Stale() {
		t.Errorf("Evaluate() = %+v, Stale() = %v; want none, on a stale answer", v, res.Stale())
	}
}

func TestStaleKeyOfSealMarksChain(t *testing.T) {
	key, err := dkimtest.Ed25519()
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := key.Seal([]byte(fromUs), dkimtest.Hop{Domain: "lists.example", Selector: "arc", Results: "lists.example; dmarc=pass header.from=shop.example"})
	if err != nil {
		t.Fatal(err)
	}
	zone := dnstest.NewZone(t, key.Zone("arc", "lists.example")+"_dmarc.shop.example. TXT \"v=DMARC1; p=reject\"\n")
	for name, want := range map[string]bool{"arc._domainkey.lists.example": true, "other.example": false} {
		res := checkWith(aged{Zone: zone, names: []string{name}}, string(sealed))
		if res.ARC.Status != arc.Pass || res.ARC.Stale != want || res.Stale() != want {
			t.Errorf("with a stale answer for %s: chain = %+v, Stale() = %v; want a pass, %v", name, res.ARC, res.Stale(), want)
		}
	}
}

func TestStaleOrganizationMarksIdentifier(t *testing.T) {
	zone := dnstest.NewZone(t, `
_dmarc.shop.example. TXT "v=DMARC1; p=reject"
x.shop.example.      TXT "v=spf1 ip4:192.0.2.1 -all"
`)
	dns := aged{Zone: zone, names: []string{"_dmarc.x.shop.example"}}
	c := checker(nil)
	c.SPF, c.DKIM, c.Finder = dns, dns, &dmarc.Finder{Resolver: dns}
	h, _ := header(fromUs)
	res := c.Start(context.Background(), Query{Client: client, Helo: "x", MailFrom: "b@x.shop.example", Authors: []string{"shop.example"}}, h).Finish()
	if v := dmarc.Evaluate(res.Authors[0].Discovery, res.Authors[0].Identifiers); v.Status != dmarc.Pass || res.Authors[0].Discovery.Stale || !res.Stale() {
		t.Errorf("Evaluate() = %+v, Stale() = %v; want a pass on a stale answer for the identifier", v, res.Stale())
	}
}

func TestStaleAnswersAreNoStanding(t *testing.T) {
	const record = `_dmarc.example. TXT "v=DMARC1; p=reject; psd=y"` + "\n"
	for _, tt := range []struct{ name, zone string }{
		{"a name that did not exist", "!any\n"},
		{"an SPF record that permits no host", "shop.example. TXT \"v=spf1 -all\"\n"},
		{"a null MX", "shop.example. MX 0 .\n"},
	} {
		zone := dnstest.NewZone(t, record+tt.zone)
		fresh := sendsMail(t.Context(), CacheOnly{SPF: zone, DMARC: zone}, "shop.example")
		if !fresh.Queried || !fresh.NoSPF && !fresh.NullMX && !fresh.Missing {
			t.Errorf("%s: standing = %+v; want evidence", tt.name, fresh)
		}
		old := aged{Zone: zone, names: []string{"shop.example"}}
		for _, dns := range []CacheOnly{{SPF: old, DMARC: old}, {SPF: old, DMARC: zone}, {SPF: zone, DMARC: old}} {
			got := sendsMail(t.Context(), dns, "shop.example")
			if got.Err = nil; got != (SendsMail{}) && (dns.DMARC != dmarc.Resolver(zone) || !fresh.Missing) {
				t.Errorf("%s, old: standing = %+v; want none", tt.name, got)
			}
		}
	}
}

func TestOtherMethodUsesStaleAnswers(t *testing.T) {
	dns := aged{Zone: dnstest.NewZone(t, "_dmarc.shop.example. TXT \"v=DMARC1; p=reject\"\n"), names: []string{"*"}}
	c := checker(nil)
	c.SPF, c.DKIM, c.Finder = dns, dns, &dmarc.Finder{Resolver: dns}
	c.Other = &dmarc.Finder{Resolver: dns, Method: dmarc.PSL}
	h, _ := header(fromUs)
	run := c.Start(context.Background(), Query{Client: client, Helo: "x", Authors: []string{"shop.example"}}, h)
	<-run.others[0].done
	if o := run.Finish().Authors[0].Other; o == nil || o.Discovery.Err != nil || o.Discovery.PolicyDomain != "shop.example" || !o.Discovery.Stale {
		t.Errorf("other = %+v; want the record, by a stale answer", o)
	}
}

// keeper keeps what was made of the records of a name. SPF and DKIM have one
// each.
type keeper struct {
	aged
	mu   *sync.Mutex
	kept map[string]any
	made *int
}

func newKeeper(a aged) keeper {
	return keeper{aged: a, mu: &sync.Mutex{}, kept: map[string]any{}, made: new(int)}
}

func (k keeper) Parsed(ctx context.Context, name string, parse func([]string) any) (any, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	txts, err := k.TXT(ctx, name)
	if err != nil && k.beside(name, nil) == nil {
		return nil, err
	}
	v, ok := k.kept[name]
	if !ok {
		v = parse(txts)
		k.kept[name] = v
		*k.made++
	}
	return v, err
}

// TestKeeperIsSharedByMessages is worth something under the race detector. Of
// each message half is known without asking.
func TestKeeperIsSharedByMessages(t *testing.T) {
	key, err := dkimtest.Ed25519()
	if err != nil {
		t.Fatal(err)
	}
	signed, err := key.Sign([]byte(fromUs), "shop.example", "s1")
	if err != nil {
		t.Fatal(err)
	}
	zone := aged{Zone: agedCase{spf: true}.zone(t, key)}
	want := checkWith(zone, string(signed))
	if want.SPF.Status != spf.Pass || want.DKIM[0].Status != dkim.Pass {
		t.Fatalf("results = %+v; want passes", want)
	}
	s, k := newKeeper(zone), newKeeper(zone)
	c := checker(nil)
	c.SPF, c.DKIM, c.Finder = s, k, &dmarc.Finder{Resolver: zone}
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			c := *c
			if i%2 == 0 {
				c.CacheOnly = func() CacheOnly {
					return CacheOnly{SPF: s, DKIM: k, DMARC: zone, Complete: func() bool { return true }}
				}
			}
			h, body := header(string(signed))
			run := c.Start(context.Background(), Query{Client: client, Helo: "mx.shop.example", MailFrom: "b@shop.example", Authors: []string{"shop.example"}}, h)
			run.Write(body)
			if got := run.Finish(); !reflect.DeepEqual(got, want) {
				t.Errorf("results = %+v; want %+v", got, want)
			}
		})
	}
	wg.Wait()
	if *s.made != 2 || *k.made != 1 {
		t.Errorf("%d SPF records and %d keys were read; want two and one", *s.made, *k.made)
	}
}

// TestKeeperQueriesUnknownKey has a memory that says so in each way, for
// the first of two keys: the second is known all the same.
func TestKeeperQueriesUnknownKey(t *testing.T) {
	zone := dnstest.NewZone(t, "a.example. TXT one\nb.example. TXT two\n")
	for _, kept := range []bool{false, true} {
		p := &partial{zone: zone, knows: func(name string) bool { return name != "a.example" }}
		m := p.cacheOnly()
		if kept {
			m.DKIM = keptPartial{p}
		}
		keys := m.keys()
		for name, want := range map[string]bool{"a.example": false, "b.example": true} {
			for range 2 {
				if _, err := keys.TXT(t.Context(), name); (err == nil) != want {
					t.Errorf("TXT(%s) = %v; want an answer: %v", name, err, want)
				}
			}
			keeper, ok := keys.(dkim.Keeper)
			if ok != kept {
				t.Fatalf("what is known is a Keeper: %v; want %v", ok, kept)
			}
			if ok {
				if v, err := keeper.Parsed(t.Context(), name, func(txts []string) any { return len(txts) }); (err == nil) != want || want && v != 1 {
					t.Errorf("Parsed(%s) = %v, %v; want an answer: %v", name, v, err, want)
				}
			}
		}
	}
	if keys := (CacheOnly{}).keys(); keys != nil {
		t.Errorf("keys without Memory = %v; want nil", keys)
	}
}

// keptPartial says of what it does not know what it made of it nevertheless.
type keptPartial struct{ *partial }

func (k keptPartial) Parsed(ctx context.Context, name string, parse func([]string) any) (any, error) {
	txts, _ := k.TXT(ctx, name)
	return parse(txts), nil
}
