package resultstest

import (
	"fmt"
	"net/netip"
	"reflect"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/results"
)

// Today is the time of MixRow(0).
var Today = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

// MixRow is the row of a message of the fixed mix (internal/bench): everything
// passes, one domain in three is a subdomain, one message in ten has two
// signatures.
func MixRow(i int) results.Row {
	org := fmt.Sprintf("d%04d.example", i%2000)
	author := org
	if i%3 == 0 {
		author = "mail." + org
	}
	bounce := author
	spf := policy.SPF{Result: "pass", Term: fmt.Sprintf("ip4:198.18.%d.%d", i%2000>>8, i%256), Why: "matched ip4"}
	if i%2 == 0 {
		bounce, spf.Term, spf.Why = "bounce."+org, "include:_spf.esp.example", "matched include"
	}
	spf.Domain = bounce
	sig := policy.DKIM{
		Result: "pass", Domain: org, Selector: "r1", Algorithm: "rsa-sha256", B: fmt.Sprintf("%08x", uint32(i)*2654435761),
		Canon: "relaxed/relaxed", KeyBits: 2048, Why: "signature verified", HeaderOK: true, SignedAt: Today,
	}
	sigs := []policy.DKIM{sig}
	if i%10 == 0 {
		sig.Domain, sig.B = "esp.example", "Zz"+sig.B[2:]
		sigs = append(sigs, sig)
	}
	reason := fmt.Sprintf("aligned SPF pass for %s, DKIM pass for %s", bounce, org)
	return results.Row{
		Facts: policy.Facts{
			Time: Today.Add(time.Duration(i) * 777 * time.Microsecond), Listener: "bench", TLS: true, Version: policy.FactsVersion,
			QueueID: MixID(i),
			Client:  netip.AddrFrom4([4]byte{198, 18, byte(i % 2000 >> 8), byte(i)}), Helo: "mx." + org, MailFrom: bounce,
			Recipients: []string{"receiver.example"}, FromField: policy.FromOneMailbox,
			SPF: spf, HELO: policy.SPF{Result: "pass", Domain: "mx." + org, Term: "a", Why: "matched a"},
			DKIM: sigs,
			Authors: []policy.Author{{
				Domain: author, Org: org, PolicyDomain: org, Source: "org", Draw: uint8(i % 100),
				Record:  "v=DMARC1; p=reject; adkim=s",
				Verdict: dmarc.Verdict{Status: dmarc.Pass, Policy: dmarc.Reject, Pct: 100, AlignedSPF: true, AlignedDKIM: true, Why: reason},
			}},
		},
		Decision: policy.Decision{Why: reason, Author: author, Effective: []policy.Policy{{Applied: dmarc.Reject}}},
		Settings: "3f9a0c51d27e",
	}
}

// MixID is one of Postfix's short queue ids: microseconds, which come in no
// order, and an inode.
func MixID(i int) string {
	return fmt.Sprintf("%05X%06X", uint32(i)*2654435761%1000000, i%512+0x3a0000)
}

// Spoof is the row of a message that was refused.
func Spoof(qid string) results.Row {
	return results.Row{
		Facts: policy.Facts{
			Time: time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC), Listener: "mta", QueueID: qid,
			Client: netip.MustParseAddr("2001:db8::1"), Helo: "mx.example", MailFrom: "bounce.example",
			Recipients: []string{"receiver.example"}, FromField: policy.FromOneMailbox,
			SPF:  policy.SPF{Result: "pass", Domain: "bounce.example"},
			DKIM: []policy.DKIM{{Result: "fail", Domain: "bank.example", Selector: "s1"}},
			Authors: []policy.Author{{
				Domain: "bank.example", Org: "bank.example", PolicyDomain: "bank.example", Source: "author", Draw: 42,
				Verdict: dmarc.Verdict{Status: dmarc.Fail, Policy: dmarc.Reject, Pct: 100, Why: "nothing aligned"},
			}},
		},
		Decision: policy.Decision{
			Action: policy.Reject, Disposition: policy.Rejected, Requested: dmarc.Reject, Author: "bank.example",
			Effective: []policy.Policy{{Applied: dmarc.Reject}},
		},
	}
}

// filler gives every field of a value something else than zero, each something
// of its own.
type filler struct{ n int }

func (f *filler) fill(v reflect.Value) {
	f.n++
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Unix(int64(f.n)*86400, int64(f.n)*1_000_001).UTC()))
		return
	case netip.Addr:
		a := netip.AddrFrom4([4]byte{192, 0, 2, byte(f.n)})
		if f.n%2 == 0 {
			a = netip.AddrFrom16([16]byte{0xfe, 0x80, 15: byte(f.n)}).WithZone(fmt.Sprint("eth", f.n))
		}
		v.Set(reflect.ValueOf(a))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if field := v.Field(i); field.CanSet() { // what is not exported is never stored
				f.fill(field)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		f.fill(v.Index(0))
		f.fill(v.Index(1))
	case reflect.String:
		v.SetString(fmt.Sprint("text ", f.n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8:
		v.SetUint(uint64(f.n%2 + 1)) // every enumeration has that many values
	case reflect.Uint64:
		v.SetUint(uint64(f.n) << 56)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(f.n) << 20)
	default:
		panic("a kind of field that the test does not know: " + v.Kind().String())
	}
}

// Filled is a row in which everything is set.
func Filled() results.Row {
	var r results.Row
	var f filler
	f.fill(reflect.ValueOf(&r.Facts).Elem())
	f.fill(reflect.ValueOf(&r.Decision).Elem())
	r.Sequence, r.State, r.Settings, r.Shape = 7, results.Unanswered, "00c0ffee1234", "1a8.bZm9v."
	return r
}
