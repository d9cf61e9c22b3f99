// Package whatif decides stored messages again under settings that are not
// active, and reports the answers that would change. For a stricter profile it
// also says what has to be done before it is used: which messages would be
// refused or quarantined, and who brought them.
//
// It reads a store and writes nothing but its report. Where a stored row does not
// tell how a message would come out, the report says so and why. Its memory does
// not grow with the messages, nor with the names in them.
package whatif
