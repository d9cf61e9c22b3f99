// Package lint finds errors and warnings in a set of rules, and in the lists of the
// configuration that exempt mail from DMARC.
//
// What keeps a rule from being one at all, package policy finds itself
// (policy.Rule.Faults). Here is what such a rule could do: whether anybody can
// use what it accepts by (anchors), which rules hide or contradict others, and
// what its operator should look at again. Nothing here decides about mail.
//
//	for _, f := range lint.Rules(rules, lint.Options{Now: time.Now()}) {
//		fmt.Println(f.Level == policy.Error, f.Code, f.Error())
//	}
package lint
