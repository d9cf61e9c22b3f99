package verp

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

var at = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

const domain = "reports.receiver.example"

func key(t testing.TB, fill byte) Key {
	t.Helper()
	k, err := NewKey(bytes.Repeat([]byte{fill}, MinKey))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestAddressHasTheFormThatCheckAccepts(t *testing.T) {
	k := key(t, 1)
	form := regexp.MustCompile(`^b\+[a-z2-7]{20}@reports\.receiver\.example$`)
	seen := map[string]bool{}
	for i := range 500 {
		delivery := fmt.Sprintf("report %d", i)
		address := k.Address(delivery, at, domain)
		if !form.MatchString(address) || seen[address] {
			t.Fatalf("Address(%q) = %q; want a new address of the form %s", delivery, address, form)
		}
		seen[address] = true
		for _, given := range []string{address, strings.ToUpper(address)} { // MTAs may change the case
			if token, err := k.Check(given, domain, at); err != nil || token != k.Token(delivery, at) {
				t.Fatalf("Check(%q) = %q, %v; want %q", given, token, err, k.Token(delivery, at))
			}
		}
	}
}

func TestTokenIsTheSameAllDay(t *testing.T) {
	k := key(t, 1)
	want := k.Token("a", at)
	for _, same := range []time.Time{at.Truncate(24 * time.Hour), at.Truncate(24 * time.Hour).Add(24*time.Hour - 1), at.In(time.FixedZone("NZDT", 13*3600))} {
		if got := k.Token("a", same); got != want {
			t.Errorf("Token() at %v = %q; want %q as at %v", same, got, want, at)
		}
	}
	if k.Token("a", at.Add(24*time.Hour)) == want || k.Token("b", at) == want || key(t, 2).Token("a", at) == want {
		t.Error("Token() of another day, delivery or key is the same")
	}
}

func TestCheckRefusesEveryChangedLetter(t *testing.T) {
	k := key(t, 1)
	address := k.Address("a", at, domain)
	for i := len("b+"); i < len("b+")+20; i++ {
		for _, letter := range "abcdefghijklmnopqrstuvwxyz234567" {
			if address[i] == byte(letter) {
				continue
			}
			changed := address[:i] + string(letter) + address[i+1:]
			if _, err := k.Check(changed, domain, at); !errors.Is(err, ErrForged) {
				t.Fatalf("Check(%q) = %v; want %v", changed, err, ErrForged)
			}
		}
	}
	if _, err := key(t, 2).Check(address, domain, at); !errors.Is(err, ErrForged) {
		t.Errorf("Check() by another key = %v; want %v", err, ErrForged)
	}
	if _, err := (Key{}).Check(address, domain, at); !errors.Is(err, ErrForged) {
		t.Errorf("Check() by the zero key = %v; want %v", err, ErrForged)
	}
}

func TestCheckKnowsOtherAddresses(t *testing.T) {
	k := key(t, 1)
	token := k.Token("a", at)
	for name, address := range map[string]string{
		"null":                      "",
		"no domain":                 "b+" + token,
		"other domain":              "b+" + token + "@receiver.example",
		"domain above":              "b+" + token + "@x." + domain,
		"two at signs":              "b+" + token + "@" + domain + "@" + domain,
		"other local part":          "c+" + token + "@" + domain,
		"no plus":                   "b-" + token + "@" + domain,
		"short token":               "b+" + token[1:] + "@" + domain,
		"long token":                "b+" + token + "a@" + domain,
		"letters beyond base32":     "b+" + token[:19] + "1@" + domain,
		"line end within the token": "b+" + token[:18] + "\r\n@" + domain,
		"line feeds alone":          "b+" + strings.Repeat("\n", 20) + "@" + domain,
		"local part of people":      "dmarc@" + domain,
	} {
		if got, err := k.Check(address, domain, at); !errors.Is(err, ErrForeign) {
			t.Errorf("%s: Check(%q) = %q, %v; want %v", name, address, got, err, ErrForeign)
		}
	}
}

func TestCheckEndsWithMaxAge(t *testing.T) {
	k := key(t, 1)
	address := k.Address("a", at, domain)
	for _, tt := range []struct {
		name string
		now  time.Time
		want error
	}{
		{"the same day", at, nil},
		{"a clock that is a day behind", at.Add(-24 * time.Hour), nil},
		{"a clock that is two days behind", at.Add(-48 * time.Hour), ErrAge},
		{"30 days later", at.Add(MaxAge), nil},
		{"31 days later", at.Add(MaxAge + 24*time.Hour), ErrAge},
		{"a year later", at.AddDate(1, 0, 0), ErrAge},
		{"across the turn of the day number", time.Unix(4096*86400*5, 0), ErrAge},
	} {
		if _, err := k.Check(address, domain, tt.now); !errors.Is(err, tt.want) {
			t.Errorf("%s: Check() = %v; want %v", tt.name, err, tt.want)
		}
	}
	turn := time.Unix(4096*86400*6-1, 0) // the last day before the number begins again
	if _, err := k.Check(k.Address("a", turn, domain), domain, turn.Add(48*time.Hour)); err != nil {
		t.Errorf("Check() two days later, where the day number begins again: %v", err)
	}
}

func TestNewKeyWantsAWholeSecret(t *testing.T) {
	if _, err := NewKey(make([]byte, MinKey-1)); err == nil {
		t.Error("NewKey() took 31 bytes")
	}
	secret := bytes.Repeat([]byte{1}, MinKey)
	k, err := NewKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	want := k.Token("a", at)
	clear(secret)
	if k.Token("a", at) != want {
		t.Error("the key changes with the bytes that it was made of")
	}
}

// What Check accepts is an address that the key has made.
func FuzzCheck(f *testing.F) {
	k := key(f, 1)
	f.Add(k.Address("a", at, domain))
	f.Add("b+" + strings.Repeat("a", 20) + "@" + domain)
	f.Add("b+\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n@" + domain)
	f.Add("b+\r\r@" + domain)
	f.Fuzz(func(t *testing.T, address string) {
		token, err := k.Check(address, domain, at)
		if err == nil && !strings.EqualFold(address, Address(token, domain)) {
			t.Errorf("Check(%q) = %q", address, token)
		}
		if err == nil && token != k.Token("a", at) {
			t.Errorf("Check(%q) = %q, which nobody made", address, token)
		}
	})
}

func TestEqualTellsKeysApart(t *testing.T) {
	one, same, other := key(t, 1), key(t, 1), key(t, 2)
	if !one.Equal(same) || one.Equal(other) || one.Equal(Key{}) {
		t.Errorf("Equal = %v, %v, %v; want true for the same secret alone", one.Equal(same), one.Equal(other), one.Equal(Key{}))
	}
}
