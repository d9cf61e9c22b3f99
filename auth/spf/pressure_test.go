package spf

import (
	"errors"
	"strings"
	"testing"

	"dmarcgate/internal/dnstest"
)

// A failure about the client's own names matches nothing; a lookup that gave
// way to those of other messages leaves the check open.
func TestCheckIsOpenWhereALookupGaveWay(t *testing.T) {
	const records = `
		x.example  TXT "v=spf1 # -all"
		m.x.example A 192.0.2.1
		far.example A 192.0.2.1
		192.0.2.1.x.example A 127.0.0.2
		m.x.example.x.example A 127.0.0.2
		1.2.0.192.in-addr.arpa PTR m.x.example
		2.2.0.192.in-addr.arpa PTR far.example
		`
	for _, tt := range []struct {
		term, press string
		want        Status
		pressed     bool
	}{
		{"ptr", "", Pass, false},
		{"ptr", "!pressure 1.2.0.192.in-addr.arpa", TempError, true},
		{"ptr", "!servfail 1.2.0.192.in-addr.arpa", Fail, false},
		{"ptr", "!pressure m.x.example", TempError, true},
		{"ptr", "!servfail m.x.example", Fail, false},
		{"exists:%{p}.x.example", "", Pass, false},
		{"exists:%{p}.x.example", "!pressure 1.2.0.192.in-addr.arpa", TempError, true},
		{"exists:%{p}.x.example", "!servfail 1.2.0.192.in-addr.arpa", Fail, false},
		{"ip4:192.0.2.1 ptr", "!pressure 1.2.0.192.in-addr.arpa", Pass, false},
		{"a:m.x.example", "!pressure m.x.example", TempError, true},
		{"exists:%{i}.x.example", "!pressure 1.2.0.192.in-addr.arpa", Pass, false},
		{"ptr:other.example", "!pressure m.x.example", Fail, false},
	} {
		t.Run(tt.term+" "+tt.press, func(t *testing.T) {
			z := dnstest.NewZone(t, strings.Replace(records, "#", tt.term, 1)+tt.press)
			got := ask(t, z, v4)
			var e interface{ Pressure() bool }
			pressed := errors.As(got.Err, &e) && e.Pressure()
			if got.Status != tt.want || pressed != tt.pressed {
				t.Errorf("Check() = %+v; want %v, gave way: %v", got, tt.want, tt.pressed)
			}
		})
	}
}
