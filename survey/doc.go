// Package survey says which infrastructure brought a stored message, and what
// else came from there: whether the source looks like a forwarder, and how much
// of what fails from it a rule would accept. what-if and rules add both ask this.
//
// It reads a store and writes nothing. Of each source it keeps a bounded number
// of names.
package survey
