package enforce

import (
	"strings"
	"testing"

	"dmarcgate/policy"
)

// Postfix keeps 100 bytes of a reason, and 3.10 logs them; a domain can have 253.
func TestAnswerHoldsWithTheCauseHoweverLongTheDomain(t *testing.T) {
	why := "no aligned SPF or DKIM pass: nothing authenticated"
	for author, want := range map[string]string{
		"bank.example":                        "DMARC: " + why + " (bank.example)",
		strings.Repeat("a.", 120) + "example": "DMARC: " + why + " (a.a.",
		"":                                    "DMARC: " + why,
	} {
		m := &mail{}
		a := m.answer(policy.Facts{}, policy.Decision{Action: policy.Hold, Author: author, Why: why})
		if len(a.Edits) < 1 || !strings.HasPrefix(a.Edits[0].String(), "hold "+want) || author == "" && a.Edits[0].String() != "hold "+want {
			t.Errorf("a message of %.20q is held with %v; want %q", author, a.Edits, want)
		}
	}
}
