package dkim

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"dmarcgate/internal/suites"
)

// zoneFile is DNS as the suites write it.
type zoneFile map[string]struct {
	TXT   []string
	RCode string `json:"_rcode"`
}

var errDNS = errors.New("DNS failed")

func (z zoneFile) TXT(_ context.Context, name string) ([]string, error) {
	if r := z[name].RCode; r == "SERVFAIL" || r == "TIMEOUT" {
		return nil, errDNS
	}
	return z[name].TXT, nil
}

// expectation is one signature of a suite.
type expectation struct {
	D, S, A, Result, Why string
}

// agrees compares what both know.
func (e expectation) agrees(r Result) bool {
	return e.Result == r.Status.String() && (e.D == "" || e.D == r.Domain && e.S == r.Selector && e.A == r.Algorithm)
}

func readZone(t *testing.T, folder string) zoneFile {
	zone := make(zoneFile)
	if err := json.Unmarshal(suites.Read(t, folder+"/dns.json"), &zone); err != nil {
		t.Fatal(err)
	}
	return zone
}

func TestSamplesOfTheRFCs(t *testing.T) {
	zone := readZone(t, "dkim-rfc")
	var suite struct {
		Cases []struct {
			File   string
			Expect []expectation
		}
	}
	if err := json.Unmarshal(suites.Read(t, "dkim-rfc/expected.json"), &suite); err != nil {
		t.Fatal(err)
	}
	for _, c := range suite.Cases {
		t.Run(c.File, func(t *testing.T) {
			compare(t, verify(zone, string(suites.Read(t, "dkim-rfc/"+c.File))), c.Expect)
		})
	}
}

func compare(t *testing.T, got []Result, want []expectation) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("results = %+v; want %d", got, len(want))
	}
	for i, w := range want {
		if !w.agrees(got[i]) {
			t.Errorf("result %d = %+v; want %+v", i, got[i], w)
		}
		if words := inOurWords[w.Why]; !strings.Contains(got[i].Why, words) {
			t.Errorf("result %d because of %q; want %q", i, got[i].Why, words)
		}
	}
}

// inOurWords has the reasons of the corpus. Where a key does not exist or
// cannot be used and nothing else is wrong, the corpus agrees with us in the
// result; "i mismatch" is open, see TestCorpusOfMailDKIM.
var inOurWords = map[string]string{
	"version": "unknown version of the signature", "sha1": "SHA-1", "keylen": "key cannot be read", "signature": "signature did not verify",
	"body": "body hash", "nokey": "no key record", "keysyntax": "key record cannot be read", "hash not allowed": "key does not allow SHA-256",
	"query": "way to fetch the key", "canon": "unknown canonicalization", "expired": "signature expired", "sigsyntax": "signature cannot be read",
}

// TestCorpusOfMailDKIM has the messages of Mail::DKIM, evaluated by the rules of
// today. Nearly all have SHA-1, short keys or draft versions. In two the "@"
// of i= is quoted-printable; by RFC 6376, Section 3.5, it is one all the same,
// so they get as far as SHA-1: the same result for another reason.
func TestCorpusOfMailDKIM(t *testing.T) {
	zone := readZone(t, "dkim-mail-dkim")
	var suite struct {
		Cases []struct {
			File  string
			Today []expectation
		}
	}
	if err := json.Unmarshal(suites.Read(t, "dkim-mail-dkim/expected.json"), &suite); err != nil {
		t.Fatal(err)
	}
	opt := Options{Now: func() time.Time { return time.Unix(1795000000, 0) }}
	for _, c := range suite.Cases {
		t.Run(strings.TrimPrefix(c.File, "corpus/"), func(t *testing.T) {
			compare(t, verifyWith(zone, string(suites.Read(t, "dkim-mail-dkim/"+c.File)), opt), c.Today)
		})
	}
}
