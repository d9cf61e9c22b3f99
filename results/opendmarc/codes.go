package opendmarc

import (
	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
)

// The numbers of opendmarc-ar.h (ARES_RESULT_*): results of SPF, DKIM and ARC.
var resultWords = map[int]string{
	0: "pass", 2: "softfail", 3: "neutral", 4: "temperror", 5: "permerror", 6: "none", 7: "fail", 8: "policy",
	9: "permerror", // nxdomain
}

// The numbers of dmarc.h for what came out (DMARC_POLICY_*).
const (
	policyAbsent     = 14 // no record
	policyPass       = 15
	policyReject     = 16
	policyQuarantine = 17
	policyNone       = 18
)

var failedPolicies = map[int]dmarc.Policy{policyReject: dmarc.Reject, policyQuarantine: dmarc.Quarantine, policyNone: dmarc.None}

// alignedYes is DMARC_POLICY_*_ALIGNMENT_PASS; the other one is 5.
const alignedYes = 4

// Policies and modes are the codes of their first letters (DMARC_RECORD_*).
var (
	published = map[int]dmarc.Policy{'n': dmarc.None, 'q': dmarc.Quarantine, 'r': dmarc.Reject}
	modes     = map[int]dmarc.Mode{'r': dmarc.Relaxed, 's': dmarc.Strict}
)

// done is what became of a message.
type done struct {
	action      policy.Action
	disposition policy.Disposition
}

// The numbers of opendmarc.h (DMARC_RESULT_*). A message that was discarded was
// accepted for the sender; nobody received it.
var actions = map[int]done{
	0: {policy.Reject, policy.Rejected},
	1: {policy.Reject, policy.Rejected}, // discard
	2: {policy.Accept, policy.Delivered},
	3: {policy.Tempfail, policy.Delivered},
	4: {policy.Hold, policy.Quarantined},
}
