package lint

import (
	"fmt"
	"slices"
	"testing"

	"dmarcgate/policy"
)

func who(t *testing.T, r policy.Rule, others ...policy.Rule) []string {
	t.Helper()
	found, _, err := Openings(append(others, r), r.ID, today)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, o := range found {
		if !o.Hides && o.To >= o.From {
			t.Errorf("opening %+v; want one that gains something", o)
		}
		list = append(list, o.Who)
	}
	return list
}

func TestOpeningsNameWhoCanUseARule(t *testing.T) {
	tests := []struct {
		name  string
		match policy.Match
		want  []string
	}{
		{"what anybody writes", policy.Match{HELO: pats("mail.partner.example")}, []string{"anybody"}},
		{"networks of two parties", policy.Match{Client: nets("192.0.2.0/24", "203.0.113.8/29")}, []string{"only the party at client 192.0.2.0/24", "only the party at client 203.0.113.8/29"}},
		{"a signer", policy.Match{DKIMPass: pats("lists.example.edu")}, []string{"only the party that signs for lists.example.edu"}},
		{"a mailbox provider among signers", policy.Match{DKIMPass: pats("lists.example.edu", "gmail.com")}, []string{"anyone with an account at gmail.com, a mailbox provider, where anybody can open an account", "only the party that signs for lists.example.edu"}},
		{"a gateway", policy.Match{SPFPass: pats("pphosted.com")}, []string{"every customer of pphosted.com, a mail gateway that sends for every organization that buys it"}},
		{"a sealer", policy.Match{ARCPass: pats("relay.example.net")}, []string{"only the sealer relay.example.net"}},
		{"a party in its own name", policy.Match{DKIMPass: pats("shop.example"), Author: pats("shop.example")}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := policy.Rule{ID: "r", Owner: "o", Comment: "c", Created: today, Mode: policy.Enforce, Action: policy.RuleAccept, Reason: policy.LocalPolicy, Match: tt.match}
			if got := who(t, r); !slices.Equal(got, tt.want) {
				t.Errorf("Openings() = %q; want %q", got, tt.want)
			}
		})
	}
}

func TestOpeningsOfARuleThatLetsNobodyIn(t *testing.T) {
	r := policy.Rule{ID: "r", Owner: "o", Created: today, Mode: policy.Enforce, Action: policy.RuleReject, Match: policy.Match{Author: pats("bank.example")}}
	if got := who(t, r); got != nil {
		t.Errorf("Openings() of a rule that refuses = %q; want none", got)
	}
	r.Action, r.Reason, r.Expires = policy.RuleAccept, policy.LocalPolicy, today
	r.Created = today.AddDate(0, 0, -1)
	if got := who(t, r); got != nil {
		t.Errorf("Openings() of a rule that has expired = %q; want none", got)
	}
}

// Each item is tried for itself, up to a limit that is said.
func TestOpeningsTryEachItemOfAList(t *testing.T) {
	var names []string
	for i := range maxItems + 20 {
		names = append(names, fmt.Sprintf("p%d.example", i))
	}
	r := policy.Rule{ID: "r", Owner: "o", Comment: "c", Created: today, Mode: policy.Enforce, Action: policy.RuleAccept, Reason: policy.LocalPolicy, Match: policy.Match{SPFPass: pats(names...)}}
	found, untried, err := Openings([]policy.Rule{r}, "r", today)
	if err != nil || len(found) != maxItems || untried != 20 {
		t.Errorf("Openings() of %d senders = %d, %d not tried, %v; want %d and 20", len(names), len(found), untried, err, maxItems)
	}
}
