//go:build mta

package mtatest

import (
	"testing"

	"github.com/miekg/dns"
)

func TestForwarderAnswersWithWhatItsUpstreamSays(t *testing.T) {
	upstream := StartDNS(t, "shop.example. TXT \"hello\"\n")
	f := StartForwarder(t, upstream.Addr())
	c := dns.Client{}
	for range 2 {
		rep, _, err := c.Exchange(new(dns.Msg).SetQuestion("shop.example.", dns.TypeTXT), f.Addr())
		if err != nil || len(rep.Answer) != 1 {
			t.Fatalf("dnsmasq says %v, %v; want the record", rep, err)
		}
	}
	f.Stop()
	f.Stop()
	if _, _, err := c.Exchange(new(dns.Msg).SetQuestion("shop.example.", dns.TypeTXT), f.Addr()); err == nil {
		t.Error("a stopped dnsmasq answers")
	}
}
