package dkim

import (
	"context"
	"crypto/sha256"
	"reflect"
	"strings"
	"sync"
	"testing"
)

// staleAnswer is the error beside a stale answer about a name.
type staleAnswer string

func (o staleAnswer) Error() string { return "no newer answer for " + string(o) }
func (o staleAnswer) Stale() bool   { return true }

// aged has the same records at every name, in a stale answer.
type aged []string

func (a aged) TXT(_ context.Context, name string) ([]string, error) { return a, staleAnswer(name) }

const ownName = "s1._domainkey.example.com"

func TestStaleKeyPassesOrTempErrors(t *testing.T) {
	signed := letterParts{}.signed(t)
	limited := letterParts{limit: 6}.signed(t)
	otherSubject := strings.Replace(signed, "Subject: hello", "Subject: hullo", 1)
	strict := letterParts{tags: "i=@sub.example.com; "}.signed(t)
	for _, tt := range []struct {
		name   string
		keys   aged
		text   string
		opt    Options
		want   Status
		why    string
		header bool // HeaderOK
	}{
		{"a signature that verifies", aged{own()}, signed, Options{}, Pass, "signature verified; stale DNS answer", true},
		{"the second of two keys", aged{edRecord(), own()}, signed, Options{}, Pass, "verified; stale", true},
		{"another subject", aged{own()}, otherSubject, Options{}, TempError, "signature did not verify; stale DNS answer", false},
		{"no key", aged{}, signed, Options{}, TempError, "no key record; stale", false},
		{"no key that can be read", aged{"v=spf1 -all"}, signed, Options{}, TempError, "key record cannot be read; stale", false},
		{"a revoked key", aged{"v=DKIM1; p="}, signed, Options{}, TempError, "key revoked; stale", false},
		{"a key of another kind", aged{edRecord()}, signed, Options{}, TempError, "key of another kind than a=; stale", false},
		{"a key that is too long", aged{bigKey(4097)}, signed, Options{}, TempError, "key too long; stale", false},
		{"a key for the domain itself", aged{own() + "; t=s"}, strict, Options{}, TempError, "key does not allow i= below d=; stale", false},
		{"another body", aged{own()}, signed + "more\r\n", Options{}, Fail, "body hash did not verify", true},
		{"another body and no key", aged{}, signed + "more\r\n", Options{}, Fail, "body hash did not verify", false},
		{"another body and a revoked key", aged{"p="}, signed + "more\r\n", Options{}, Fail, "body hash did not verify", false},
		{"a limit", aged{own()}, limited, Options{}, Policy, "l= is not accepted", true},
		{"a limit that leaves a part of the body", aged{own()}, limited, Options{BodyLength: AcceptWhole}, Policy, "l= leaves", true},
		{"a limit beyond the body", aged{own()}, letterParts{limit: 100}.signed(t), Options{BodyLength: AcceptWhole}, PermError, "l= is larger than the body", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := verifyWith(tt.keys, tt.text, tt.opt)[0]
			if got.Status != tt.want || !strings.Contains(got.Why, tt.why) || !got.Stale || got.HeaderOK != tt.header {
				t.Errorf("result = %+v; want %v, because of %q, Stale, HeaderOK %v", got, tt.want, tt.why, tt.header)
			}
			if strings.HasPrefix(got.Why, "key of another kind") && got.KeyBits != 0 {
				t.Errorf("KeyBits = %d; want 0 of a key that was not needed", got.KeyBits)
			}
			if got.Status == TempError && got.Err != staleAnswer(ownName) || got.Status != TempError && got.Err != nil {
				t.Errorf("Err = %v with %v; want that of the stale answer with temperror only", got.Err, got.Status)
			}
		})
	}
}

func TestStaleIsFalseForFreshKey(t *testing.T) {
	for _, text := range []string{letterParts{}.signed(t), letterParts{selector: "lame"}.signed(t)} {
		dns := zoneFile{"lame._domainkey.example.com": {RCode: "SERVFAIL"}}
		if got := verify(dns, text)[0]; got.Stale || strings.Contains(got.Why, "stale") {
			t.Errorf("result = %+v; want nothing old", got)
		}
	}
}

func TestStaleKeyOfSealNeverFails(t *testing.T) {
	run := linked(aged{own()}, "ARC-Seal: i=1; a=rsa-sha256; cv=none; d=example.com; s=s1; b=AAAA")
	l := run.Seal(0)
	run.Fetch(context.Background(), l)
	if got := l.VerifyAfter(sha256.New()); got.Status != TempError || !got.Stale || got.Err != staleAnswer(ownName) {
		t.Errorf("VerifyAfter() = %+v; want temperror with the stale answer", got)
	}
	run.Finish()
}

// keeper keeps what was made of an answer, and counts what was made.
type keeper struct {
	Resolver
	mu   sync.Mutex
	kept map[string]any
	made int
}

func newKeeper(r Resolver) *keeper { return &keeper{Resolver: r, kept: map[string]any{}} }

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

// TestKeeperSharesKeys is worth something under the race
// detector.
func TestKeeperSharesKeys(t *testing.T) {
	k := newKeeper(records{edRecord(), own()})
	var texts []string
	for _, l := range []letterParts{{}, {alg: "ed25519-sha256"}, {canon: "simple/simple"}, {tags: "i=@sub.example.com; "}, {selector: "s2"}} {
		signed := l.signed(t)
		texts = append(texts, signed, strings.Replace(signed, "hello", "hullo", 1), signed+"more\r\n")
	}
	var wg sync.WaitGroup
	for i := range 4 * len(texts) {
		wg.Go(func() {
			text := texts[i%len(texts)]
			if got, want := verify(k, text), verify(k.Resolver, text); !reflect.DeepEqual(got, want) {
				t.Errorf("results = %+v; want %+v", got, want)
			}
		})
	}
	wg.Wait()
	if k.made != 2 {
		t.Errorf("keys were read %d times; want once for each name", k.made)
	}
}

func TestKeeperFindsKeysOfAllResolvers(t *testing.T) {
	signed := letterParts{}.signed(t)
	servfail := zoneFile{ownName: {RCode: "SERVFAIL"}}
	foreign := newKeeper(records{own()})
	foreign.kept[ownName] = "an SPF record"
	foreignAndOld := newKeeper(aged{own()})
	foreignAndOld.kept[ownName] = "an SPF record"
	for _, tt := range []struct {
		name  string
		dns   Resolver
		known Resolver
		want  Status
		stale bool
	}{
		{"kept", newKeeper(records{own()}), nil, Pass, false},
		{"kept of a stale answer", newKeeper(aged{own()}), nil, Pass, true},
		{"kept of a stale answer, and revoked", newKeeper(aged{"p="}), nil, TempError, true},
		{"a failure", newKeeper(servfail), nil, TempError, false},
		{"what others keep is no key", foreign, nil, Pass, false},
		{"nor when it is old", foreignAndOld, nil, Pass, true},
		{"known and kept", broken{}, newKeeper(records{own()}), Pass, false},
		{"known", broken{}, records{own()}, Pass, false},
		{"known, and there is no key", broken{}, records{}, PermError, false},
		{"not known", records{own()}, servfail, Pass, false},
		{"not known by a keeper", records{own()}, newKeeper(servfail), Pass, false},
		{"known by a stale answer, when there is a newer one", records{own()}, aged{}, Pass, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := verifyWith(tt.dns, signed, Options{CacheOnly: tt.known})[0]
			if got.Status != tt.want || got.Stale != tt.stale {
				t.Errorf("result = %+v; want %v, Stale %v", got, tt.want, tt.stale)
			}
		})
	}
}

func TestKeeperHitAllocatesNothing(t *testing.T) {
	var r Resolver = newKeeper(records{own()})
	if got := testing.AllocsPerRun(100, func() { lookUp(t.Context(), r, ownName) }); got != 0 {
		t.Errorf("finding a key that is kept costs %v allocations; want 0", got)
	}
}
