// Package xml writes and reads the documents of aggregate reports, in the form of RFC
// 9990 and in that of RFC 7489.
package xml
