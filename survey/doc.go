// Package survey finds the infrastructure that delivered a stored message, and its
// other mail: whether the source looks like a forwarder, and how much of its
// failing mail a rule would accept. The commands what-if and rules add use it.
//
// It reads a store and writes nothing. Of each source it keeps a bounded number
// of names.
package survey
