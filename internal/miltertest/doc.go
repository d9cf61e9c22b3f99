// Package miltertest plays an MTA for tests, the demo and benchmarks: it speaks
// the milter protocol to a filter in raw frames, as Postfix or Sendmail do, and
// returns the message with the edits of the filter.
//
// It uses no milter library, so that a mistake in one is not made on both
// sides, and it can send what no MTA would. It is not for production: it holds
// whole messages in memory and trusts the filter's text. A filter that breaks
// the protocol is an error that says how.
//
// A Client is one milter connection and not safe for concurrent use.
package miltertest
