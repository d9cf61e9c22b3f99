package results

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
)

func TestScrubRemovesLocalParts(t *testing.T) {
	const jane = "jane.doe"
	for _, tt := range []struct {
		name string
		at   func(*policy.Facts) *string
		text string
		want string
	}{
		{"HELO", func(f *policy.Facts) *string { return &f.Helo }, jane + "@mx.example", "mx.example"},
		{"HELO with two signs", func(f *policy.Facts) *string { return &f.Helo }, jane + "@" + jane + "@mx.example", "mx.example"},
		{"HELO that ends with one", func(f *policy.Facts) *string { return &f.Helo }, jane + "@", ""},
		{"a name without one", func(f *policy.Facts) *string { return &f.Helo }, "mx.example", "mx.example"},
		{"the client's name", func(f *policy.Facts) *string { return &f.ClientName }, jane + "@mx.example", "mx.example"},
		{"List-Id", func(f *policy.Facts) *string { return &f.ListID }, jane + "@list.example", "list.example"},
		{"MAIL FROM", func(f *policy.Facts) *string { return &f.MailFrom }, jane + "@a.example", "a.example"},
		{"the domain of SPF", func(f *policy.Facts) *string { return &f.SPF.Domain }, jane + "@a.example", "a.example"},
		{"include", func(f *policy.Facts) *string { return &f.SPF.Term }, "include:" + jane + "@a.example", "include:*"},
		{"a, of HELO", func(f *policy.Facts) *string { return &f.HELO.Term }, "-a:" + jane + "@a.example/24", "-a:*"},
		{"redirect", func(f *policy.Facts) *string { return &f.SPF.Term }, "redirect=" + jane + "@a.example", "redirect=*"},
		{"a term that is an address", func(f *policy.Facts) *string { return &f.SPF.Term }, jane + "@a.example:" + jane, "*"},
		{"a term without one", func(f *policy.Facts) *string { return &f.SPF.Term }, "include:_spf.a.example", "include:_spf.a.example"},
		{"a reason", func(f *policy.Facts) *string { return &f.SPF.Why }, "no name for " + jane + "@a.example here", "no name for someone at a.example here"},
		{"a quoted local part", func(f *policy.Facts) *string { return &f.DKIM[0].Why }, `i="jane doe"@a.example is wrong`, "i=someone at a.example is wrong"},
		{"two addresses", func(f *policy.Facts) *string { return &f.ARC.Why }, jane + "@a.example and " + jane + "@b.example", "someone at b.example"},
		{"a reason of DMARC", func(f *policy.Facts) *string { return &f.Authors[0].Verdict.Why }, "for " + jane + "@a.example", "for someone at a.example"},
		{"a signature's domain", func(f *policy.Facts) *string { return &f.DKIM[0].Domain }, jane + "@a.example", "a.example"},
		{"a sealer's selector", func(f *policy.Facts) *string { return &f.ARC.Sealers[0].Selector }, jane + "@a.example", "a.example"},
		{"what a sealer recorded", func(f *policy.Facts) *string { return &f.ARC.Sealers[0].Recorded[0].Domain }, jane + "@a.example", "a.example"},
		{"rua", func(f *policy.Facts) *string { return &f.Authors[0].Record }, "v=DMARC1; p=reject; rua=mailto:" + jane + "@a.example", "v=DMARC1; p=reject"},
		{"rua without a mailbox", func(f *policy.Facts) *string { return &f.Authors[0].Record }, "v=DMARC1; p=reject; rua=https://a.example/" + jane, "v=DMARC1; p=reject"},
		{"policy tags", func(f *policy.Facts) *string { return &f.Authors[0].Record }, "v=DMARC1; p=none; sp=reject; adkim=s; fo=1:d:s; t=y; psd=n; pct=10; ri=3600",
			"v=DMARC1; p=none; sp=reject; adkim=s; fo=1:d:s; t=y; psd=n; pct=10; ri=3600"},
	} {
		f := policy.Facts{Authors: make([]policy.Author, 1), DKIM: make([]policy.DKIM, 1), ARC: policy.ARC{Sealers: []policy.Sealer{{Recorded: make([]policy.Recorded, 1)}}}}
		*tt.at(&f) = tt.text
		shared := f
		before, err := json.Marshal(shared)
		if err != nil {
			t.Fatal(err)
		}
		changed := Scrub(&f)
		if got := *tt.at(&f); got != tt.want || changed != (tt.text != tt.want) {
			t.Errorf("%s: %q became %q, changed %v; want %q", tt.name, tt.text, got, changed, tt.want)
		}
		if after, err := json.Marshal(shared); err != nil || string(after) != string(before) {
			t.Errorf("%s: facts that share lists became %s; want %s as before", tt.name, after, before)
		}
		if Scrub(&f) {
			t.Errorf("%s: scrubbed again it changes to %+v", tt.name, f)
		}
	}
}

// Whatever a text is, what stands before an @ is gone from it, and nothing panics.
func FuzzScrub(f *testing.F) {
	for _, seed := range []string{"", "@", "jane@a.example", `"jane doe"@a.example`, "include:jane@a", "a@b@c", "v=DMARC1; p=none; rua=mailto:a@b", "=@", ":@:"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		facts := policy.Facts{
			Helo: text, SPF: policy.SPF{Term: text, Why: text}, DKIM: []policy.DKIM{{Domain: text, Why: text}},
			Authors: []policy.Author{{Record: text, Verdict: dmarc.Verdict{Why: text}}},
		}
		Scrub(&facts)
		if strings.Contains(fmt.Sprintf("%+v", facts), "@") {
			t.Errorf("Scrub() of %q leaves %+v", text, facts)
		}
		if Scrub(&facts) {
			t.Errorf("Scrub() of %q, which was scrubbed before, changes it", text)
		}
	})
}
