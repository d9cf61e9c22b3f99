// Package index finds, among many override rules, those that could match a message,
// so that a decision costs as much as the rules that are tried and not as all rules.
//
// Package policy says what a rule asks for (Keys) and what a message has; whether a
// rule matches is decided there. A look-up allocates nothing and cannot fail. An index
// has at most Max rules and does not change once it is made.
package index
