// Package pattern matches domains, networks and parts of the week against the
// patterns of rules and configuration, and reads the map files that hold long
// lists of domains and networks.
//
// A pattern is read once (ParseDomain, ParseDomainMap, ParseNetMap) and then
// only asked whether it holds something. None changes after it was made, so any
// number of goroutines may use one. What is wrong in a text is a Fault, which
// also gives the fix.
//
// Which mail a pattern is about is the business of package policy, and whether
// it is safe to trust what one holds is that of its checks.
//
//	p, err := pattern.ParseDomain(".example.org")
//	fmt.Println(p.Holds("mail.example.org", "example.org"), err) // true <nil>
package pattern
