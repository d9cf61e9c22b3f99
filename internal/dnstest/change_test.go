package dnstest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// says returns what a zone says to a question for TXT.
func says(z *Zone, name string) string {
	txts, err := z.TXT(context.Background(), name)
	if err != nil {
		_, kind, _ := strings.Cut(err.Error(), name+": ")
		return kind
	}
	return fmt.Sprintf("%q", txts)
}

func TestRecordsAreSetWhileOthersStay(t *testing.T) {
	z := NewZone(t, "a.example. TXT old\na.example. TXT older\na.example. A 192.0.2.1\nx.b.example. TXT b\n!servfail sf.example")
	if err := z.Set("a.example. 7 TXT new\nb.example. TXT apex\ny.x.b.example. TXT y"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"a.example": `["new"]`, "b.example": `["apex"]`, "x.b.example": `["b"]`, "y.x.b.example": `["y"]`, "sf.example": "servfail",
	} {
		if got := says(z, name); got != want {
			t.Errorf("TXT %s = %s; want %s", name, got, want)
		}
	}
	if ips, err := z.A(context.Background(), "a.example"); len(ips) > 0 || err != nil {
		t.Errorf("A of a name that was set to a TXT record = %v, %v; want nothing", ips, err)
	}
	if err := z.Replace("a.example. TXT base"); err != nil {
		t.Fatal(err)
	}
	if got := says(z, "a.example"); got != `["base"]` {
		t.Errorf("TXT after Replace = %s; want what the new text says", got)
	}
}

func TestFaultsAreSwitchedOnAndOff(t *testing.T) {
	z := NewZone(t, "a.example. TXT a\nb.example. TXT b\n!refuse b.example")
	fixA, err := z.Fault("!servfail a.example\n!servfail b.example")
	if err != nil {
		t.Fatal(err)
	}
	fixAll, err := z.Fault("!down")
	if err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		about string
		do    func()
		a, b  string
	}{
		{"both faults", func() {}, "timeout", "timeout"},
		{"records set under faults", func() { err = z.Set("a.example. TXT new") }, "timeout", "timeout"},
		{"the second fault off", fixAll, "servfail", "servfail"},
		{"the first fault off", fixA, `["new"]`, "refused"},
		{"switched off twice", fixA, `["new"]`, "refused"},
	}
	for _, step := range steps {
		step.do()
		if a, b := says(z, "a.example"), says(z, "b.example"); a != step.a || b != step.b {
			t.Errorf("%s: a = %s, b = %s; want %s and %s", step.about, a, b, step.a, step.b)
		}
	}
	if err != nil {
		t.Error(err)
	}
}

func TestChangesThatAreWrongChangeNothing(t *testing.T) {
	z := NewZone(t, "a.example. TXT a")
	if err := z.Set("a.example. TXT b\n!down"); err == nil {
		t.Error("Set took a directive")
	}
	if err := z.Set("a.example. TXTT b"); err == nil {
		t.Error("Set took a record that is none")
	}
	if _, err := z.Fault("!down\na.example. TXT b"); err == nil {
		t.Error("Fault took a record")
	}
	if _, err := z.Fault("!dwon"); err == nil {
		t.Error("Fault took a directive that is none")
	}
	if got := says(z, "a.example"); got != `["a"]` {
		t.Errorf("TXT = %s; want what it was", got)
	}
}

func TestWhatAChangeNamesIsExpected(t *testing.T) {
	z := NewZone(t, "a.example. TXT a")
	if err := z.Set("b.test. TXT b"); err != nil {
		t.Fatal(err)
	}
	if _, err := z.Fault("!servfail c.invalid"); err != nil {
		t.Fatal(err)
	}
	says(z, "b.test")
	says(z, "c.invalid")
	says(z, "d.nothing")
	if got := z.Unexpected(); !slices.Equal(got, []string{"TXT d.nothing"}) {
		t.Errorf("Unexpected() = %q; want the one that nothing names", got)
	}
	z.unexpected = nil // or this test fails for it
}
