package policy

import (
	"testing"

	"dmarcgate/auth/dmarc"
)

// What a third party could bring about is no proof: a flood of it would make a
// history.
func TestProofNeedsOneDomainThatPassed(t *testing.T) {
	bySPF := Proof{Org: "bank.example"}
	tests := []struct {
		name   string
		change func(*Facts)
		want   Proof
	}{
		{"one mailbox, by DKIM", func(*Facts) {}, Proof{Org: "bank.example", DKIM: true}},
		{"one mailbox, by SPF alone", func(f *Facts) { f.Authors[0].Verdict.AlignedDKIM = false }, bySPF},
		{"several mailboxes of one domain", func(f *Facts) { f.FromField = FromSeveralMailboxes }, Proof{Org: "bank.example", DKIM: true}},
		{"several domains", func(f *Facts) { f.FromField = FromSeveralDomains }, Proof{}},
		{"one mailbox with two author domains", func(f *Facts) { f.Authors = append(f.Authors, f.Authors[0]) }, Proof{}},
		{"no author domain", func(f *Facts) { f.Authors = nil }, Proof{}},
		{"a From field that gives nothing", func(f *Facts) { f.FromField = FromUnparsable }, Proof{}},
		{"a header that was cut", func(f *Facts) { f.HeaderTruncated = true }, Proof{}},
		{"a message that was not evaluated", func(f *Facts) { f.Skip = TrustedNetwork }, Proof{}},
		{"a fail", func(f *Facts) { f.Authors[0].Verdict.Status = dmarc.Fail }, Proof{}},
		{"no record", func(f *Facts) { f.Authors[0].Verdict.Status = dmarc.StatusNone }, Proof{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := ordinary()
			tt.change(&f)
			if got := f.Proof(); got != tt.want {
				t.Errorf("Proof() = %+v; want %+v", got, tt.want)
			}
		})
	}
}
