package history

import (
	"testing"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
)

// proved is a message that passes by both mechanisms.
func proved() policy.Facts {
	return policy.Facts{
		FromField: policy.FromOneMailbox,
		Authors: []policy.Author{{
			Domain: "bank.example", Org: "bank.example", Verdict: dmarc.Verdict{Status: dmarc.Pass, Policy: dmarc.Reject, Pct: 100, AlignedSPF: true, AlignedDKIM: true},
		}},
	}
}

// What a third party could bring about is no proof: a flood of it would make a
// history.
func TestProofNeedsOneDomainThatPassed(t *testing.T) {
	bySPF := proof{org: "bank.example"}
	tests := []struct {
		name   string
		change func(*policy.Facts)
		want   proof
	}{
		{"one mailbox, by DKIM", func(*policy.Facts) {}, proof{org: "bank.example", dkim: true}},
		{"one mailbox, by SPF alone", func(f *policy.Facts) { f.Authors[0].Verdict.AlignedDKIM = false }, bySPF},
		{"several mailboxes of one domain", func(f *policy.Facts) { f.FromField = policy.FromSeveralMailboxes }, proof{org: "bank.example", dkim: true}},
		{"several domains", func(f *policy.Facts) { f.FromField = policy.FromSeveralDomains }, proof{}},
		{"one mailbox with two author domains", func(f *policy.Facts) { f.Authors = append(f.Authors, f.Authors[0]) }, proof{}},
		{"no author domain", func(f *policy.Facts) { f.Authors = nil }, proof{}},
		{"a From field that gives nothing", func(f *policy.Facts) { f.FromField = policy.FromUnparsable }, proof{}},
		{"a header that was cut", func(f *policy.Facts) { f.HeaderTruncated = true }, proof{}},
		{"a message that was not evaluated", func(f *policy.Facts) { f.Skip = policy.TrustedNetwork }, proof{}},
		{"a fail", func(f *policy.Facts) { f.Authors[0].Verdict.Status = dmarc.Fail }, proof{}},
		{"no record", func(f *policy.Facts) { f.Authors[0].Verdict.Status = dmarc.StatusNone }, proof{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := proved()
			tt.change(&f)
			if got := proofOf(&f); got != tt.want {
				t.Errorf("proofOf() = %+v; want %+v", got, tt.want)
			}
		})
	}
}
