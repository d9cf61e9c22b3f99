package dkim

import (
	"context"
	"errors"
	"strings"
	"testing"

	"dmarcgate/internal/dkimtest"
)

// published is the DNS of one name.
type published struct {
	txts []string
	err  error
}

func (p published) TXT(context.Context, string) ([]string, error) { return p.txts, p.err }

func TestKeysTellsWhatIsPublished(t *testing.T) {
	rsa, err := dkimtest.RSA(1024)
	if err != nil {
		t.Fatal(err)
	}
	ed, err := dkimtest.Ed25519()
	if err != nil {
		t.Fatal(err)
	}
	short, err := dkimtest.AnyRSA(512)
	if err != nil {
		t.Fatal(err)
	}
	key := "v=DKIM1; p=" + rsa.Public("")
	for _, tt := range []struct {
		about string
		txts  []string
		want  []Published
		why   string
	}{
		{"RSA", []string{key}, []Published{{Kind: "rsa", Bits: 1024}}, ""},
		{"Ed25519", []string{"k=ed25519; p=" + ed.Public("")}, []Published{{Kind: "ed25519", Bits: 256}}, ""},
		{"flags", []string{"t=y:s; p=" + rsa.Public("")}, []Published{{Kind: "rsa", Bits: 1024, Testing: true, Strict: true}}, ""},
		{"a short key", []string{"p=" + short.Public("")}, []Published{{Kind: "rsa", Bits: 512, Why: "key too short"}}, ""},
		{"a revoked key", []string{"v=DKIM1; p="}, []Published{{Kind: "rsa", Why: "key revoked"}}, ""},
		{"an old hash", []string{"h=sha1; p=" + rsa.Public("")}, []Published{{Kind: "rsa", Why: "key does not allow SHA-256"}}, ""},
		{"no key", []string{"p=!"}, []Published{{Kind: "rsa", Why: "key cannot be read"}}, ""},
		{"two keys", []string{key, "v=spf1 -all", key}, []Published{{Kind: "rsa", Bits: 1024}, {Kind: "rsa", Bits: 1024}}, ""},
		{"none", nil, nil, "no key record"},
		{"other text", []string{"v=spf1 -all"}, nil, "key record cannot be read"},
	} {
		got, why, err := Keys(t.Context(), published{txts: tt.txts}, "s._domainkey.a.example")
		if err != nil || why != tt.why || len(got) != len(tt.want) {
			t.Errorf("%s: Keys = %+v, %q, %v; want %+v, %q", tt.about, got, why, err, tt.want, tt.why)
			continue
		}
		for i := range got {
			if got[i] != tt.want[i] {
				t.Errorf("%s: key %d = %+v; want %+v", tt.about, i, got[i], tt.want[i])
			}
		}
	}
	if _, _, err := Keys(t.Context(), published{err: errors.New("timeout")}, "x"); err == nil {
		t.Error("Keys without an answer gives no error")
	}
}

func TestKeyNameIsTheNameOfTheRecord(t *testing.T) {
	if got, err := KeyName("S1", "bücher.example"); err != nil || got != "s1._domainkey.xn--bcher-kva.example" {
		t.Errorf("KeyName = %q, %v", got, err)
	}
	for _, s := range []string{"", "a b", strings.Repeat("x", 64)} {
		if got, err := KeyName(s, "a.example"); err == nil {
			t.Errorf("KeyName(%q) = %q; want an error", s, got)
		}
	}
}
