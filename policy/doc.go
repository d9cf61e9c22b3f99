// Package policy decides what this site does with a message.
//
// auth/dmarc says what the standards conclude; this package turns that, with
// the site's own settings, into an answer. Everything here is a pure function:
// no network, no clock, no milter. Facts is all that Decide looks at and
// exactly what the store keeps, so a decision can be made again later from
// the stored facts and comes out the same.
//
// The profile Conformant weighs evidence before it rejects (evidence.go has its
// tables). Override rules (Rule, Rules) are tried after the profile has
// decided: package index finds those that could match, so that the cost grows with
// their number and not with that of all rules, and long lists are maps
// (package pattern). All of it looks at facts and settings and at nothing
// else; package replay decides about stored facts of which some are missing.
//
// It is not the place for checks of mail (auth), nor for words of the milter
// protocol (enforce turns a Decision into reply and header edits).
//
//	d := policy.Settings{Profile: policy.Strict, EnforceShare: 100}.Decide(facts)
//	fmt.Println(d.Action, d.Reason, d.Why)
//
// The zero values are the safe ones: zero Settings enforce nothing, a zero
// Decision delivers, zero Facts carry no author domain and so no pass.
package policy
