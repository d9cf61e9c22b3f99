package wire

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/miekg/dns"
)

func TestMixCaseChangesLettersOnly(t *testing.T) {
	seen := make(map[string]bool)
	k, ok := Clean("a.\x01bc-9_[\xff@." + strings.Repeat("xyz", 20) + ".example.com")
	if !ok {
		t.Fatal("the name is not one")
	}
	for range 50 {
		q, err := newQuery(Query{Question: Question{dns.TypeTXT, k}, Mix: true})
		if err != nil {
			t.Fatal(err)
		}
		plain, err := newQuery(Query{Question: Question{dns.TypeTXT, k}})
		if err != nil || !sameQuestion(q.question, plain.question) {
			t.Fatalf("question = %q; want %q but for case", q.question, plain.question)
		}
		seen[q.name] = true
	}
	if len(seen) < 49 {
		t.Errorf("%d spellings in 50 queries; want nearly all different", len(seen))
	}
}

func TestKindsOfLocalErrors(t *testing.T) {
	late, cancel := context.WithTimeout(context.Background(), 0)
	defer cancel()
	for _, c := range []struct {
		ctx  context.Context
		err  error
		want Kind
	}{
		{context.Background(), &net.OpError{Op: "dial", Err: os.NewSyscallError("socket", syscall.EMFILE)}, Local},
		{context.Background(), syscall.ENFILE, Local},
		{context.Background(), syscall.ENOBUFS, Local},
		{context.Background(), syscall.ENOMEM, Local},
		{context.Background(), syscall.EAGAIN, Local},
		{late, syscall.EMFILE, Local},
		{context.Background(), syscall.EADDRNOTAVAIL, Network},
		{context.Background(), syscall.ECONNREFUSED, Network},
		{context.Background(), syscall.ENETUNREACH, Network},
		{context.Background(), os.ErrDeadlineExceeded, Timeout},
		{late, syscall.ECONNREFUSED, Timeout},
		{late, fmt.Errorf("%w: x", errMalformed), Malformed},
	} {
		if got := KindOf(c.ctx, c.err); got != c.want {
			t.Errorf("KindOf(%v) = %v; want %v", c.err, got, c.want)
		}
	}
}

func TestKindsHaveNames(t *testing.T) {
	if ServFail.String() != "servfail" || Kind(200).String() != "unknown" || Kind(0).String() != "unknown" {
		t.Errorf("%v, %v, %v; want servfail, unknown, unknown", ServFail, Kind(200), Kind(0))
	}
}
