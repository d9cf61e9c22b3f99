// Package schedule says who may send a DNS query now: it hands out the places at
// the servers, and lets lookups wait for one.
//
// How many queries a server takes is found out as TCP does (window.go): answers
// let its window grow, a check query that fails halves it, and so do failures of
// many zones at once, but not below a floor, as mail can be made to fail. A query
// that was given up keeps its place for holdTime. Each lookup is charged to an
// Account, which is a message and the network of its client, to its zone and to a
// Class: under pressure no message, client or zone takes the share of another
// (share.go), and class Author has a reserve.
//
// It sends nothing and knows no address and no answer.
//
// # Limits
//
// maxWaiting lookups wait, for a part of the time of a lookup. One message begins
// at most maxLookups lookups. maxAccounts clients and zones are remembered in
// each class.
package schedule
