package dnscache

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"dmarcgate/dnscache/schedule"
	"dmarcgate/internal/dnstest"
)

// Limits of schedule, as lookups see them.
const (
	maxLookups      = 150 // that one message may begin
	maxOtherLookups = 100 // of them in class Other
)

// gave reports whether a lookup gave way.
func gave(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Pressure() && !e.Ours()
}

func TestAccountBeginsALimitedNumberOfLookups(t *testing.T) {
	r := newRig(t, Config{}, dnstest.New(t, "x.example. TXT \"x\"\n!any\n"))
	client := netip.MustParseAddr("192.0.2.1")
	account := schedule.NewAccount(client)
	other, author := r.View(DKIM).Charged(account, schedule.Other), r.View(DMARC).Charged(account, schedule.Author)
	for i := range maxOtherLookups {
		if _, err := other.TXT(t.Context(), fmt.Sprintf("k%d.x.example", i)); err != nil {
			t.Fatalf("lookup %d of class Other: %v", i, err)
		}
	}
	if _, err := other.TXT(t.Context(), "more.x.example"); !gave(err) {
		t.Errorf("one more of class Other: %v; want that it gave way", err)
	}
	for i := range maxLookups - maxOtherLookups {
		if _, err := author.TXT(t.Context(), fmt.Sprintf("a%d.x.example", i)); err != nil {
			t.Fatalf("lookup %d of class Author, behind those of class Other: %v", i, err)
		}
	}
	if _, err := author.TXT(t.Context(), "more.x.example"); !gave(err) {
		t.Errorf("one more of class Author: %v; want that it gave way", err)
	}
	if _, err := author.TXT(t.Context(), "k1.x.example"); err != nil {
		t.Errorf("a name that the cache has: %v; want its answer", err)
	}
	if _, err := r.View(DMARC).Charged(schedule.NewAccount(client), schedule.Author).TXT(t.Context(), "more.x.example"); err != nil {
		t.Errorf("the same for another message: %v; want an answer", err)
	}
	if _, err := r.View(DMARC).TXT(t.Context(), "ours.x.example"); err != nil {
		t.Errorf("a lookup of our own: %v; want an answer", err)
	}
}
