package arc

import (
	"context"
	"strings"
	"testing"
)

// staleAnswer is the error beside a stale answer about a name.
type staleAnswer string

func (o staleAnswer) Error() string { return "no newer answer for " + string(o) }
func (o staleAnswer) Stale() bool   { return true }

// aged has stale answers for some names.
type aged struct {
	*dns
	old string // names that begin so
}

func (a aged) TXT(ctx context.Context, name string) ([]string, error) {
	txts, err := a.dns.TXT(ctx, name)
	if strings.HasPrefix(name, a.old) {
		return txts, staleAnswer(name)
	}
	return txts, err
}

func TestChainWithStaleKey(t *testing.T) {
	forged := newLetter().sealed(t, 1)
	forged.replace("ARC-Authentication-Results", "pass", "none")
	other := newLetter().sealed(t, 1)
	other.body = "x\r\n"
	for _, tt := range []struct {
		name   string
		l      *letter
		dns    aged
		want   Status
		oldest int
		why    string
		stale  bool
		failed string // the name of Err
	}{
		{"all keys", newLetter().sealed(t, 2), aged{&dns{}, ""}, Pass, 0, "all seals verified", true, ""},
		{"the key of the first seal", newLetter().seal(t, hop{selector: "first", message: "m"}).sealed(t, 1), aged{&dns{}, "first."}, Pass, 0, "all seals", true, ""},
		{"the key of the newest signature", newLetter().seal(t, hop{message: "m"}), aged{&dns{}, "m."}, Pass, 0, "all seals", true, ""},
		{"the key of an older signature", newLetter().seal(t, hop{message: "m"}).sealed(t, 1), aged{&dns{}, "m."}, Pass, 0, "all seals", true, ""},
		{"the key of an older signature, which is not there", newLetter().seal(t, hop{message: "m"}).sealed(t, 1), aged{&dns{without: "m."}, "m."}, Pass, 2, "all seals", true, ""},
		{"a key that nothing needs", newLetter().sealed(t, 1), aged{&dns{}, "zz."}, Pass, 0, "all seals", false, ""},
		{"a seal that does not verify", forged, aged{&dns{}, "s."}, Fail, 0, "ARC-Seal 1: signature did not verify; stale DNS answer", true, "s._domainkey.relay.example"},
		{"no key", newLetter().seal(t, hop{message: "m"}), aged{&dns{without: "m."}, "m."}, Fail, 0, "ARC-Message-Signature 1: no key record; stale DNS answer", true, "m._domainkey.relay.example"},
		{"another body", other, aged{&dns{}, "s."}, Fail, 0, "body hash did not verify", false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := validate(tt.dns, tt.l.text())
			if got.Status != tt.want || got.OldestPass != tt.oldest || !strings.Contains(got.Why, tt.why) || got.Stale != tt.stale {
				t.Errorf("result = %+v; want %v because of %q, OldestPass %d, Stale %v", got, tt.want, tt.why, tt.oldest, tt.stale)
			}
			if (got.Err != nil) != (tt.failed != "") || got.Err != nil && got.Err != staleAnswer(tt.failed) {
				t.Errorf("Err = %v; want that of the stale answer for %q", got.Err, tt.failed)
			}
		})
	}
}
