package spf

import (
	"fmt"
	"strings"
	"testing"
)

// drawn writes a tree as "term=terms/voids[why](below)".
func drawn(b Branch) string {
	s := fmt.Sprintf("%s=%d/%d", b.Term, b.Terms, b.Voids)
	if b.Why != "" {
		s += "[" + b.Why + "]"
	}
	var below []string
	for _, x := range b.Below {
		below = append(below, drawn(x))
	}
	if len(below) > 0 {
		s += "(" + strings.Join(below, " ") + ")"
	}
	return s
}

func TestTreeCountsTheTermsOfARecord(t *testing.T) {
	z := reachZone{
		txt: map[string]string{
			"none.example": "hello", "ips.example": "v=spf1 ip4:192.0.2.1 ip6:2001:db8::1 -all",
			"two.example":     "v=spf1 include:one.two.example ~a:none.example mx -all",
			"one.two.example": "v=spf1 a:host.example ?all a:never.example",
			"re.example":      "v=spf1 ip4:192.0.2.1 redirect=two.example", "off.example": "v=spf1 -all redirect=two.example",
			"loop.example": "v=spf1 include:loop.example -all", "macro.example": "v=spf1 exists:%{i}.m.example ptr -all",
			"gone.example": "v=spf1 include:none.example include:bad.example include:lame.example -all", "bad.example": "v=spf1 foo",
			"exists.example": "v=spf1 exists:host.example exists:nothing.example a:six.example -all",
			"wide.example":   "v=spf1" + strings.Repeat(" a:host.example", 40) + " -all",
		},
		addrs:   map[string][]string{"host.example": {"192.0.2.1"}, "six.example": {"2001:db8::1"}},
		mx:      map[string][]string{"two.example": {"host.example"}},
		failing: map[string]bool{"lame.example": true},
	}
	for domain, want := range map[string]string{
		"ips.example":    "ips.example=0/0",
		"two.example":    "two.example=4/1(include:one.two.example=2/0(a:host.example=1/0) ~a:none.example=1/1[finds nothing] mx=1/0)",
		"re.example":     "re.example=5/1(redirect=two.example=5/1(include:one.two.example=2/0(a:host.example=1/0) ~a:none.example=1/1[finds nothing] mx=1/0))",
		"off.example":    "off.example=0/0",
		"loop.example":   "loop.example=1/0(include:loop.example=1/0[includes itself])",
		"macro.example":  "macro.example=2/0(exists:%{i}.m.example=1/0[depends on the message] ptr=1/0[names of the client; do not use (RFC 7208, Section 5.5)])",
		"exists.example": "exists.example=3/1(exists:host.example=1/0 exists:nothing.example=1/1[finds nothing] a:six.example=1/0)",
	} {
		b, err := TreeOf(t.Context(), z, domain)
		if got := drawn(b); err != nil || got != want {
			t.Errorf("TreeOf(%s) = %s, %v\nwant %s", domain, got, err, want)
		}
	}
	gone, err := TreeOf(t.Context(), z, "gone.example")
	for _, want := range []string{"include:none.example=1/0[no SPF record]", "include:bad.example=1/0[", "include:lame.example=1/0[no answer]"} {
		if got := drawn(gone); err == nil || !strings.Contains(got, want) {
			t.Errorf("TreeOf(gone.example) = %s, %v; want %s, and the failure", got, err, want)
		}
	}
	if b, _ := TreeOf(t.Context(), z, "wide.example"); b.Terms != maxBranches || b.Why == "" {
		t.Errorf("TreeOf(wide.example) has %d terms, %q; want %d and a reason", b.Terms, b.Why, maxBranches)
	}
}
