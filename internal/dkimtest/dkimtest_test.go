package dkimtest

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-msgauth/dkim"
)

const text = "From: a@shop.example\r\nsubject:  two  words \r\nTo: b@receiver.example,\r\n\tc@receiver.example\r\n\r\n" +
	" Hello,  \t you.\r\n.\r\n\r\nBye \r\n\r\n\r\n"

var rsaKey = sync.OnceValues(func() (Key, error) { return AnyRSA(1024) })

func tags(pairs ...string) []Tag {
	list := []Tag{{"v", "1"}, {"d", "shop.example"}, {"s", "s1"}}
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, Tag{pairs[i], pairs[i+1]})
	}
	return append(list, Tag{"bh", ""}, Tag{"b", ""})
}

// verify asks a verifier of others.
func verify(t *testing.T, k Key, message []byte) error {
	t.Helper()
	record := "v=DKIM1; k=" + k.Kind() + "; p=" + k.Public("")
	found, err := dkim.VerifyWithOptions(bytes.NewReader(message), &dkim.VerifyOptions{
		LookupTXT: func(string) ([]string, error) { return []string{record}, nil },
	})
	if err != nil || len(found) != 1 {
		t.Fatalf("VerifyWithOptions = %d results, %v; want one", len(found), err)
	}
	return found[0].Err
}

func TestSignaturesVerifyElsewhere(t *testing.T) {
	r, err := rsaKey()
	if err != nil {
		t.Fatal(err)
	}
	e, err := Ed25519()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		key  Key
		tags []Tag
	}{
		{"relaxed", r, tags("a", "rsa-sha256", "c", "relaxed/relaxed", "h", "From:Subject:To")},
		{"simple", r, tags("a", "rsa-sha256", "c", "simple/simple", "h", "from:to:subject")},
		{"without c=", r, tags("a", "rsa-sha256", "h", "from:subject")},
		{"half a c=", r, tags("a", "rsa-sha256", "c", "relaxed", "h", "from:subject")},
		{"more names than fields", r, tags("a", "rsa-sha256", "c", "relaxed/simple", "h", "from:subject:subject:cc")},
		{"a tag behind b=", r, append(tags("a", "rsa-sha256", "h", "from"), Tag{"n", "c"})},
		{"white space around a name", r, tags("a", "rsa-sha256", " h ", "from : subject", " q", "dns/txt ")},
		{"Ed25519", e, tags("a", "ed25519-sha256", "c", "relaxed/relaxed", "h", "from:subject")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			signed, err := tt.key.SignTags([]byte(text), tt.tags)
			if err != nil {
				t.Fatal(err)
			}
			if err := verify(t, tt.key, signed); err != nil {
				t.Errorf("verification of\n%s = %v; want no error", signed, err)
			}
			if err := verify(t, tt.key, bytes.Replace(signed, []byte("Hello"), []byte("Hullo"), 1)); err == nil {
				t.Error("the same with another body verifies")
			}
		})
	}
}

func TestTagsAreWrittenAsGiven(t *testing.T) {
	k, err := rsaKey()
	if err != nil {
		t.Fatal(err)
	}
	signed, err := k.SignTags([]byte(text), []Tag{{"v", "2"}, {"d", "a.example"}, {"d", "b.example"}, {"bh", "x"}, {"b", "y"}, {"t", ""}})
	if err != nil {
		t.Fatal(err)
	}
	want := "DKIM-Signature: v=2; d=a.example; d=b.example; bh=x;\r\n\tb=y; t=\r\nFrom: "
	if !strings.HasPrefix(string(signed), want) {
		t.Errorf("SignTags = %q; want %q at its start", signed, want)
	}
}

func TestKeysOfAnySizeSign(t *testing.T) {
	sum := sha256.Sum256([]byte("anything"))
	for _, bits := range []int{1024, 2048, 4096, 8192} {
		k, err := AnyRSA(bits)
		if err != nil {
			t.Fatal(err)
		}
		b, err := k.signer.Sign(nil, sum[:], crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		public := k.signer.Public().(*rsa.PublicKey)
		if got := public.N.BitLen(); got != bits {
			t.Errorf("AnyRSA(%d) has %d bits", bits, got)
		}
		if err := rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], b); err != nil {
			t.Errorf("signature of %d bits: %v", bits, err)
		}
	}
	if k, err := AnyRSA(256); err != nil {
		t.Error(err)
	} else if _, err := k.signer.Sign(nil, sum[:], crypto.SHA256); err == nil {
		t.Error("a key of 256 bits signs a hash of as many")
	}
}

func TestCanonicalizationsDifferWhereTheyShould(t *testing.T) {
	tests := []struct {
		name, body, simple, relaxed string
	}{
		{"empty", "", "\r\n", ""},
		{"empty lines", "\r\n\r\n", "\r\n", ""},
		{"blanks", " \t\r\n", " \t\r\n", ""},
		{"without a line end", "x", "x\r\n", "x\r\n"},
		{"runs of blanks", " a \t b\t\r\n\r\n", " a \t b\t\r\n", " a b\r\n"},
	}
	for _, tt := range tests {
		if got := canonicalBody(false, []byte(tt.body)); string(got) != tt.simple {
			t.Errorf("%s: simple body of %q = %q; want %q", tt.name, tt.body, got, tt.simple)
		}
		if got := canonicalBody(true, []byte(tt.body)); string(got) != tt.relaxed {
			t.Errorf("%s: relaxed body of %q = %q; want %q", tt.name, tt.body, got, tt.relaxed)
		}
	}
	field := "SUBject \t:  a\r\n\t b \r\n"
	if got, want := canonicalField(true, field), "subject:a b\r\n"; got != want {
		t.Errorf("relaxed field of %q = %q; want %q", field, got, want)
	}
	if got := canonicalField(false, field); got != field {
		t.Errorf("simple field of %q = %q; want it unchanged", field, got)
	}
}
