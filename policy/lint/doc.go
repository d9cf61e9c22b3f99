// Package lint finds errors and warnings in a set of rules, and in the lists of the
// configuration that exempt mail from DMARC.
//
// What keeps a rule from being one at all, package policy finds itself
// (policy.Rule.Faults). Here an unauthenticated third party is played against the
// rules: for each rule, messages are built that match it and that such a party can
// send (ability.go says what that takes, parts.go and spoof.go build them), and each message is
// decided by policy.Settings.Decide. What is answered more mildly than without the
// rule, or is missing in reports, is a finding, with the message. Its level follows
// from the effort: an error where anybody can, or whoever opens an account; a warning
// where customers of a service can; a remark where one named party can. Rules that
// refuse or defer are attacked by what they leave out (attack.go). Work is bounded, and
// rules beyond the bound are named.
//
// Package holder knows the domains and networks through which many parties send.
// Nothing here decides about mail, and nothing is looked up.
//
//	for _, f := range lint.Rules(rules, lint.Options{Now: time.Now()}) {
//		fmt.Println(f.Level == policy.Error, f.Code, f.Error())
//	}
package lint
