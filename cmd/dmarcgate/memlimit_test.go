package main

import (
	"testing"

	"dmarcgate/internal/dnstest"
)

func TestGOMEMLIMITIsKeptAndLogged(t *testing.T) {
	dns := dnstest.New(t, processZone)
	h := newHost(t, hostConfig{dns: dns.Addr()})
	h.env = []string{"GOMEMLIMIT=300MiB"}
	p := h.start()
	if !p.logged(`msg="memory limit"`, "bytes=314572800", "source=GOMEMLIMIT") {
		t.Errorf("the log does not name the limit:\n%s", p.log())
	}
}
