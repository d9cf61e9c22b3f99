package lint

import (
	"fmt"

	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
)

func tooMany(n int) policy.Finding {
	return policy.Finding{Level: policy.Error, Code: policy.CodeTooMany, Fault: pattern.Fault{
		Text: fmt.Sprintf("%d rules are more than %d", n, policy.MaxRules),
		Fix:  "merge rules with the same effect: a rule can name many networks and domains",
	}}
}

func takenID(ids map[string]*policy.Rule, r *policy.Rule) []policy.Finding {
	first, taken := ids[r.ID]
	if !taken {
		ids[r.ID] = r
		return nil
	}
	return []policy.Finding{{Level: policy.Error, Code: policy.CodeDuplicateID, Fault: pattern.Fault{
		Key: "id", Text: fmt.Sprintf("%q is the id of another rule%s", r.ID, place(first)), Fix: "give each rule its own id",
	}}}
}

// place tells where a rule is written.
func place(r *policy.Rule) string {
	if r.File == "" {
		return ""
	}
	return fmt.Sprintf(" at %s:%d", r.File, r.Line)
}
