package arc

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"dmarcgate/auth/dkim"
)

var errDNS = errors.New("DNS failed")

// dns has our keys at every name, counts, and fails where told.
type dns struct {
	mu      sync.Mutex
	queried []string
	fails   string // at names that begin so
	without string // at names that begin so
}

func (d *dns) TXT(_ context.Context, name string) ([]string, error) {
	d.mu.Lock()
	d.queried = append(d.queried, name)
	d.mu.Unlock()
	switch {
	case d.fails != "" && strings.HasPrefix(name, d.fails):
		return nil, errDNS
	case d.without != "" && strings.HasPrefix(name, d.without):
		return nil, nil
	}
	return []string{rsaSealer().record, edSealer().record}, nil
}

func TestChainsThatPass(t *testing.T) {
	ed := edSealer()
	for _, tt := range []struct {
		name   string
		l      *letter
		sets   int
		oldest int
	}{
		{"one set", newLetter().sealed(t, 1), 1, 0},
		{"two sets", newLetter().sealed(t, 2), 2, 0},
		{"five sets", newLetter().sealed(t, 5), 5, 0},
		{"as many as are tried", newLetter().sealed(t, maxTried), maxTried, 0},
		{"one more", newLetter().sealed(t, maxTried+1), maxTried + 1, 2},
		{"fifty sets", newLetter().sealed(t, MaxSets), MaxSets, MaxSets - maxTried + 1},
		{"Ed25519", newLetter().seal(t, hop{by: ed}), 1, 0},
		{"sealers with keys of either kind", newLetter().sealed(t, 1).seal(t, hop{by: ed}).sealed(t, 1), 3, 0},
		{"simple canonicalization", newLetter().seal(t, hop{canon: "simple/simple"}).seal(t, hop{canon: "relaxed/simple"}).seal(t, hop{canon: "simple/relaxed"}), 3, 0},
		{"c= with its default", newLetter().seal(t, hop{canon: "relaxed"}), 1, 0},
		{"an empty body", (&letter{header: newLetter().header}).sealed(t, 2), 2, 0},
		{"v= is ignored", newLetter().seal(t, hop{tags: "v=2; "}), 1, 0},
		{"tags nobody knows", newLetter().seal(t, hop{tags: "zz=; ", sealed: "c=x; bh=!; q=x; x=1; zz=1;"}), 1, 0},
		{"the results are signed, as drafts had it", newLetter().sealed(t, 1).seal(t, hop{names: "from:arc-authentication-results"}), 2, 0},
		{"instances of two digits", newLetter().seal(t, hop{instance: "01"}).seal(t, hop{instance: "02"}), 2, 0},
		{"cv= in another case", newLetter().seal(t, hop{cv: "None"}).seal(t, hop{cv: "PASS"}), 2, 0},
		{"t= of the seal far ahead", newLetter().seal(t, hop{sealed: "t=99999999999;"}), 1, 0},
		{"results that others cannot read", newLetter().seal(t, hop{payload: " mx.example; (null)=pass; (null)=pass (found) smtp.domain=example.com"}), 1, 0},
		{"results of nothing", newLetter().seal(t, hop{payload: " "}), 1, 0},
		{"long results", newLetter().seal(t, hop{payload: strings.Repeat(" x.example;\r\n ", 1000)}), 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := &dns{}
			got := validate(d, tt.l.text())
			if got.Status != Pass || got.OldestPass != tt.oldest || len(got.Sets) != tt.sets || got.Err != nil {
				t.Errorf("result = %+v; want pass of %d sets, OldestPass %d", got, tt.sets, tt.oldest)
			}
			if len(d.queried) != 1 {
				t.Errorf("lookups = %q; want one for the one name", d.queried)
			}
		})
	}
}

func TestSealKeySizes(t *testing.T) {
	for _, bits := range []int{1024, 2048, 3072} {
		by := newRSA(bits)
		got := validate(texts{"s._domainkey.relay.example": by.record}, newLetter().seal(t, hop{by: by}).text())
		if got.Status != Pass || got.Sets[0].KeyBits != bits {
			t.Errorf("result with a key of %d bits = %+v; want pass", bits, got)
		}
	}
}

// TestChainStructuresThatFail has what is wrong before any key is needed, so that
// none is looked up and no body is hashed.
func TestChainStructuresThatFail(t *testing.T) {
	two := func() *letter { return newLetter().sealed(t, 2) }
	without := func(name string) *letter {
		l := two()
		l.remove(name)
		return l
	}
	twice := func(name string) *letter {
		l := two()
		f := l.remove(name)
		return l.top(f, f)
	}
	more := newLetter().sealed(t, MaxSets)
	for _, tt := range []struct {
		name string
		l    *letter
		why  string
	}{
		{"51 sets", more.seal(t, hop{}), "more than 50 sets"},
		{"instance 51", newLetter().sealed(t, 1).seal(t, hop{instance: "51"}), "without a valid i="},
		{"instance 0", newLetter().seal(t, hop{instance: "0"}), "without a valid i="},
		{"an instance with a sign", newLetter().seal(t, hop{instance: "+1"}), "without a valid i="},
		{"an instance of three digits", newLetter().seal(t, hop{instance: "001"}), "without a valid i="},
		{"an instance with a blank", newLetter().seal(t, hop{instance: "1 1"}), "without a valid i="},
		{"an instance of other digits", newLetter().seal(t, hop{instance: "\xd9\xa1"}), "without a valid i="},
		{"an instance twice in one field", newLetter().seal(t, hop{sealed: "i=1;"}), "ARC-Seal without a valid i="},
		{"a gap", newLetter().sealed(t, 1).seal(t, hop{instance: "3"}), "no ARC-Authentication-Results 2"},
		{"no first set", newLetter().seal(t, hop{instance: "2"}), "no ARC-Authentication-Results 1"},
		{"two sets of one instance", newLetter().sealed(t, 1).seal(t, hop{instance: "1"}), "two of ARC-Seal 1"},
		{"no results", without("ARC-Authentication-Results"), "no ARC-Authentication-Results 2"},
		{"no message signature", without("ARC-Message-Signature"), "no ARC-Message-Signature 2"},
		{"no seal", without("ARC-Seal"), "no ARC-Seal 2"},
		{"results twice", twice("ARC-Authentication-Results"), "two of ARC-Authentication-Results 2"},
		{"a message signature twice", twice("ARC-Message-Signature"), "two of ARC-Message-Signature 2"},
		{"a seal twice", twice("ARC-Seal"), "two of ARC-Seal 2"},
		{"a seal alone", newLetter().top("ARC-Seal: i=1; cv=none\r\n"), "no ARC-Authentication-Results 1"},
		{"sealed as failed", two().seal(t, hop{cv: "fail"}), "ARC-Seal 3: sealed as failed"},
		{"sealed as failed long ago", newLetter().sealed(t, 1).seal(t, hop{cv: "Fail"}).sealed(t, 1), "ARC-Seal 2: sealed as failed"},
		{"cv=pass in the first", newLetter().seal(t, hop{cv: "pass"}), "ARC-Seal 1: cv= is not none"},
		{"cv=none in the second", newLetter().sealed(t, 1).seal(t, hop{cv: "none"}), "ARC-Seal 2: cv= is not pass"},
		{"cv= of no word", newLetter().seal(t, hop{cv: "(none)"}), "cv= is not none"},
		{"cv= with text behind it", newLetter().seal(t, hop{cv: "none x"}), "cv= is not none"},

		{"a seal with h=", newLetter().seal(t, hop{sealed: "h=from;"}), "a seal has no h="},
		{"a seal of no algorithm", newLetter().sealed(t, 1).replace("ARC-Seal", "a=rsa-sha256; ", ""), "tag a= is missing"},
		{"an old seal of SHA-1", newLetter().sealed(t, 1).replace("ARC-Seal", "rsa-sha256", "rsa-sha1").sealed(t, 1), "ARC-Seal 1: SHA-1"},
		{"a seal with a time that is none", newLetter().seal(t, hop{sealed: "t=-1;"}), "t= is not a time"},
		{"the seal is signed", newLetter().sealed(t, 1).seal(t, hop{names: "from:arc-seal"}), "ARC-Message-Signature 2: h= covers"},
		{"an older signature is signed", newLetter().sealed(t, 1).seal(t, hop{names: "from:ARC-Message-Signature"}), "ARC-Message-Signature 2: h= covers"},
		{"From is not signed", newLetter().seal(t, hop{names: "subject"}), "From is not signed"},
		{"the signature has expired", newLetter().seal(t, hop{tags: "x=1; "}), "expired"},

		{"a tag without its value", newLetter().sealed(t, 1).replace("ARC-Seal", "cv=none", "cv"), "ARC-Seal without a valid i="},
		{"nothing but a word", newLetter().sealed(t, 1).replace("ARC-Seal", "i=1; a=", "i=1; none; a="), "ARC-Seal without a valid i="},
		{"an empty seal", newLetter().top("ARC-Seal:\r\n"), "ARC-Seal without a valid i="},
		{"results without an end of i=", newLetter().top("ARC-Authentication-Results: i=1 x\r\n"), "ARC-Authentication-Results without"},
		{"results with i= elsewhere", newLetter().top("ARC-Authentication-Results: x.example; i=1;\r\n"), "ARC-Authentication-Results without"},
		{"a seal of 17 KiB", newLetter().seal(t, hop{sealed: "z=" + strings.Repeat("x", 17<<10) + ";"}), "too long"},
		{"results of 20 KiB", newLetter().seal(t, hop{payload: strings.Repeat(" x", 10<<10)}), "too long"},
		{"300 KiB of results", bulky(t, 15<<10, 20), "too long"},
		{"10,000 seals", newLetter().top(slices.Repeat([]string{"ARC-Seal: i=1; a=rsa-sha256; cv=none; d=relay.example; s=s; b=AAAA\r\n"}, 10_000)...), "more than 50 sets"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := &dns{}
			h, _ := headerOf(tt.l.text())
			run := dkim.Start(t.Context(), d, h, dkim.Options{})
			got := Start(run).Finish(t.Context())
			if got.Status != Fail || !strings.Contains(got.Why, tt.why) || got.Err != nil || got.OldestPass != 0 {
				t.Errorf("result = %+v; want fail, because of %q", got, tt.why)
			}
			if run.Finish(); len(d.queried) != 0 || run.Wanted() {
				t.Errorf("lookups = %q, Wanted() = %v; want nothing", d.queried, run.Wanted())
			}
		})
	}
}

// bulky is a message with results of a size in each of n sets.
func bulky(t testing.TB, size, n int) *letter {
	l := newLetter()
	for range n {
		l.seal(t, hop{payload: strings.Repeat(" x", size/2)})
	}
	return l
}

func TestChainSignaturesThatFail(t *testing.T) {
	change := func(l *letter, f func(*letter)) *letter {
		f(l)
		return l
	}
	for _, tt := range []struct {
		name   string
		l      *letter
		dns    *dns
		why    string
		failed bool // DNS
	}{
		{"another body", change(newLetter().sealed(t, 2), func(l *letter) { l.body += "more\r\n" }), &dns{}, "ARC-Message-Signature 2: body hash", false},
		{"another subject", newLetter().sealed(t, 2).replace("Subject", "hello", "hullo"), &dns{}, "ARC-Message-Signature 2: signature did not", false},
		{"other results", newLetter().sealed(t, 2).replace("ARC-Authentication-Results", "pass", "fail"), &dns{}, "ARC-Seal 2: signature did not", false},
		{"other results in the first set", change(newLetter().sealed(t, 1), func(l *letter) {
			l.replace("ARC-Authentication-Results", "pass", "fail")
			l.sets[0][0] = relaxedField(l.header[2])
			l.sealed(t, 1)
		}), &dns{}, "ARC-Seal 1: signature did not", false},
		{"l=", newLetter().seal(t, hop{tags: "l=16; "}), &dns{}, "l= is not accepted", false},
		{"no key", newLetter().sealed(t, 1), &dns{without: "s."}, "ARC-Message-Signature 1: no key record", false},
		{"no key of the seal", newLetter().seal(t, hop{message: "m"}), &dns{without: "s."}, "ARC-Seal 1: no key record", false},
		{"no key of the first seal", newLetter().seal(t, hop{selector: "first"}).sealed(t, 1), &dns{without: "first."}, "ARC-Seal 1: no key record", false},
		{"DNS fails", newLetter().sealed(t, 1), &dns{fails: "s."}, "ARC-Message-Signature 1: key lookup failed", true},
		{"DNS fails for the first seal", newLetter().seal(t, hop{selector: "first"}).sealed(t, 1), &dns{fails: "first."}, "ARC-Seal 1: key lookup failed", true},
		{"DNS fails for another body", change(newLetter().sealed(t, 1), func(l *letter) { l.body = "x\r\n" }), &dns{fails: "s."}, "body hash", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := validate(tt.dns, tt.l.text())
			if got.Status != Fail || !strings.Contains(got.Why, tt.why) || got.OldestPass != 0 || len(got.Sets) != len(tt.l.sets) {
				t.Errorf("result = %+v; want fail, because of %q, with all sets", got, tt.why)
			}
			if errors.Is(got.Err, errDNS) != tt.failed || (got.Err == nil) == tt.failed {
				t.Errorf("Err = %v; want the failure of DNS: %v", got.Err, tt.failed)
			}
		})
	}
}

// TestOldestPass has messages that were changed on their way, or of which
// an older signature cannot be verified for another reason. The chain passes.
func TestOldestPass(t *testing.T) {
	change := func(before, after int) *letter {
		l := newLetter().sealed(t, before)
		l.body += "-- \r\nlist\r\n"
		return l.sealed(t, after)
	}
	for _, tt := range []struct {
		name string
		l    *letter
		dns  *dns
		want int
	}{
		{"changed by the second", change(1, 1), &dns{}, 2},
		{"changed by the third of five", change(2, 3), &dns{}, 3},
		{"changed by the last", change(4, 1), &dns{}, 5},
		{"changed long before those that are tried", change(2, 15), &dns{}, 17 - maxTried + 1},
		{"an old signature of SHA-1", newLetter().sealed(t, 1).seal(t, hop{alg: "rsa-sha1"}).sealed(t, 2), &dns{}, 3},
		{"an old signature with l=", newLetter().seal(t, hop{tags: "l=16; "}).sealed(t, 1), &dns{}, 2},
		{"an old signature without key", newLetter().seal(t, hop{message: "m"}).sealed(t, 2), &dns{without: "m."}, 2},
		{"an old signature whose key cannot be fetched", newLetter().seal(t, hop{message: "m"}).sealed(t, 2), &dns{fails: "m."}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := validate(tt.dns, tt.l.text()); got.Status != Pass || got.OldestPass != tt.want || got.Err != nil {
				t.Errorf("result = %+v; want pass, OldestPass %d", got, tt.want)
			}
		})
	}
}

func TestResultListsEachSet(t *testing.T) {
	l := newLetter().seal(t, hop{domain: "First.Example", selector: "a.B", payload: "\r\n\tmx.example (x;\r\n y); dmarc=pass"})
	l.seal(t, hop{by: edSealer(), domain: "second.example", payload: " mx\x01.example; dmarc=pass"})
	want := []Set{
		{1, "first.example", "a.B", "rsa-sha256", 1024, "\tmx.example (x; y); dmarc=pass"},
		{2, "second.example", "s", "ed25519-sha256", 256, ""},
	}
	if got := validate(&dns{}, l.text()); got.Status != Pass || !slices.Equal(got.Sets, want) {
		t.Errorf("result = %+v; want pass, sets %+v", got, want)
	}
	want[0].KeyBits = 0
	l.replace("ARC-Authentication-Results", "pass", "none")
	if got := validate(&dns{}, l.text()); got.Status != Fail || !slices.Equal(got.Sets, want) {
		t.Errorf("result = %+v; want fail, sets %+v", got, want)
	}
}

func TestChainFieldOrderIsFree(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	l := newLetter().sealed(t, 4)
	for range 20 {
		r.Shuffle(len(l.header), func(i, k int) { l.header[i], l.header[k] = l.header[k], l.header[i] })
		if got := validate(&dns{}, l.text()); got.Status != Pass || got.OldestPass != 0 {
			t.Fatalf("result of %q = %+v; want pass", l.header, got)
		}
	}
}

func TestFinishWithoutChainIsNone(t *testing.T) {
	if got := validate(nil, newLetter().text()); got.Status != None || got.Why != "" || got.Sets != nil {
		t.Errorf("result = %+v; want none", got)
	}
}

func TestChainSharesKeysAndBodyWithSignatures(t *testing.T) {
	l := newLetter().sealed(t, 2)
	l.top("DKIM-Signature: v=1; a=rsa-sha256; d=relay.example; s=s; h=from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\n")
	h, body := headerOf(l.text())
	for _, first := range []string{"chain", "signatures"} {
		d := &dns{}
		run := dkim.Start(t.Context(), d, h, dkim.Options{})
		chain := Start(run)
		if !run.Wanted() {
			t.Error("Wanted() = false; want true")
		}
		run.Write(body)
		var signatures []dkim.Result
		if first == "signatures" {
			signatures = run.Finish()
		}
		got := chain.Finish(t.Context())
		if first == "chain" {
			signatures = run.Finish()
		}
		if got.Status != Pass || len(signatures) != 1 || signatures[0].Status != dkim.Fail || len(d.queried) != 1 {
			t.Errorf("%s first: result = %+v, signatures %+v after %d lookups; want pass, one fail and one lookup", first, got, signatures, len(d.queried))
		}
	}
}

func TestWantedForChainAlone(t *testing.T) {
	h, _ := headerOf(newLetter().sealed(t, 1).text())
	run := dkim.Start(t.Context(), &dns{}, h, dkim.Options{})
	if run.Wanted() {
		t.Error("Wanted() = true without a DKIM signature; want false")
	}
	if chain := Start(run); !run.Wanted() {
		t.Errorf("Wanted() = false with %+v; want true", chain)
	}
	run.Finish()
}

func TestStartAfterBodyFails(t *testing.T) {
	h, body := headerOf(newLetter().sealed(t, 1).text())
	run := dkim.Start(t.Context(), &dns{}, h, dkim.Options{})
	run.Write(body)
	if got := Start(run).Finish(t.Context()); got.Status != Fail || !strings.Contains(got.Why, "begun behind the body") {
		t.Errorf("result = %+v; want fail", got)
	}
	run.Finish()
}

func TestBodyLengthFollowsSignatures(t *testing.T) {
	h, body := headerOf(newLetter().seal(t, hop{tags: "l=16; "}).text())
	run := dkim.Start(t.Context(), &dns{}, h, dkim.Options{BodyLength: dkim.AcceptWhole})
	chain := Start(run)
	run.Write(body)
	if got := chain.Finish(t.Context()); got.Status != Pass {
		t.Errorf("result = %+v; want pass", got)
	}
	run.Finish()
}

func TestChainLookupsAreLimited(t *testing.T) {
	l := newLetter()
	for i := range MaxSets {
		l.seal(t, hop{selector: fmt.Sprint("s", i), message: fmt.Sprint("m", i)})
	}
	d := &dns{}
	if got := validate(d, l.text()); got.Status != Pass || got.OldestPass != MaxSets-maxTried+1 {
		t.Errorf("result = %+v; want pass", got)
	}
	if len(d.queried) != MaxKeys {
		t.Errorf("%d lookups; want %d", len(d.queried), MaxKeys)
	}
}
