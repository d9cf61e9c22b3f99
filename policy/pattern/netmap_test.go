package pattern

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
)

func TestNetMapSpansJoinsWhatTouches(t *testing.T) {
	var list []netip.Prefix
	for _, s := range []string{"2001:db8::/32", "192.0.2.128/25", "192.0.2.0/25", "198.51.100.7/32", "255.255.255.255/32", "::/128"} {
		list = append(list, netip.MustParsePrefix(s))
	}
	var got []string
	for first, last := range NewNetMap("", list).Spans() {
		got = append(got, fmt.Sprint(first, "-", last))
	}
	want := []string{
		"192.0.2.0-192.0.2.255", "198.51.100.7-198.51.100.7", "255.255.255.255-255.255.255.255",
		"::-::", "2001:db8::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
	}
	if !slices.Equal(got, want) {
		t.Errorf("Spans() = %q; want %q", got, want)
	}
	for range NewNetMap("", list).Spans() {
		break
	}
}
