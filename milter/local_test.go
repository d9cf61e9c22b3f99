package milter

import "testing"

// Postfix plays a client for mail of sendmail(1): loopback, port 0. A client
// on the network has a port, and one whose port is not known another address.
func TestConnectTellsLocalMail(t *testing.T) {
	for _, tt := range []struct {
		about, frame string
		local        bool
	}{
		{"sendmail(1)", "localhost\x004\x00\x00127.0.0.1\x00", true},
		{"sendmail(1) over IPv6", "localhost\x006\x00\x00IPv6:::1\x00", true},
		{"a local socket", "localhost\x00L\x00\x00/run/x\x00", true},
		{"a client on loopback", "localhost\x004\x9c\x40127.0.0.1\x00", false},
		{"a client without a port", "[192.0.2.1]\x004\x00\x00192.0.2.1\x00", false},
		{"no address", "unknown\x00U", false},
	} {
		p, err := parseConnect([]byte(tt.frame))
		if err != nil || p.local != tt.local {
			t.Errorf("%s: parseConnect = %+v, %v; want local %v", tt.about, p, err, tt.local)
		}
	}
}
