package results

import (
	"encoding/json"
	"fmt"

	"dmarcgate/policy"
)

// State says whether a row counts in reports.
type State uint8

// The states of a row.
const (
	Answered   State = iota // the MTA has the final answer
	Deferred                // answered with tempfail: the message will come again
	Unanswered              // the answer could not be written to the MTA
)

// Row is one message: what was known, and what was decided.
type Row struct {
	Sequence int64 // given by the store, rising
	State    State
	Facts    policy.Facts
	Decision policy.Decision
}

// columns are the values that rows are searched by, beside the two documents.
func (r Row) columns() ([]any, error) {
	facts, err := json.Marshal(r.Facts)
	if err != nil {
		return nil, fmt.Errorf("encoding facts: %w", err)
	}
	decision, err := json.Marshal(r.Decision)
	if err != nil {
		return nil, fmt.Errorf("encoding decision: %w", err)
	}
	author := r.author()
	return []any{
		r.Facts.Time.UTC().UnixMilli(), r.State, r.Facts.QueueID, r.Facts.Listener, addr(r.Facts),
		author.Domain, author.PolicyDomain, author.Verdict.Status.String(), r.Decision.Requested.String(),
		r.Decision.Disposition.String(), r.Decision.Action.String(), string(r.Decision.Override),
		string(r.Facts.Skip), facts, decision,
	}, nil
}

// author returns the author domain that decided, or else the first.
func (r Row) author() policy.Author {
	var out policy.Author
	for i, a := range r.Facts.Authors {
		if i == 0 || a.Domain == r.Decision.Author {
			out = a
		}
	}
	return out
}

func addr(f policy.Facts) string {
	if !f.Client.IsValid() {
		return ""
	}
	return f.Client.String()
}
