package dkim

import (
	"context"
	"crypto/sha256"
	"strings"
	"testing"
)

// linked returns the Run of a message with a field of ARC on top.
func linked(dns Resolver, field string) *Run {
	return Start(context.Background(), dns, headerOf(field+"\r\n"+letter), Options{})
}

const arcSignature = "ARC-Message-Signature: i=1; a=rsa-sha256; d=example.com; s=s1; h=from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA"

func TestLinkParsing(t *testing.T) {
	for _, tt := range []struct {
		name, old, new, why string
	}{
		{"as it should be", "i=1", "i=1", ""},
		{"v= is not read", "i=1", "i=1; v=7", ""},
		{"i= is no identity", "i=1", "i=@other.example", ""},
		{"the results are covered", "h=from", "h=from:arc-authentication-results", ""},
		{"the seal is covered", "h=from", "h=from:Arc-Seal", "covers"},
		{"no bh=", "bh=", "zz=", "bh= is missing"},
		{"no h=", "h=from; ", "", "h= is missing"},
		{"no From", "h=from", "h=to", "From is not signed"},
		{"SHA-1", "rsa-sha256", "rsa-sha1", "SHA-1"},
		{"a tag twice", "i=1", "i=1; i=1", "cannot be read"},
		{"too long", "i=1", "i=1; z=" + strings.Repeat("x", maxField), "too long"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run := linked(nil, strings.Replace(arcSignature, tt.old, tt.new, 1))
			l := run.MessageSignature(0)
			if got := l.Refused(); !strings.Contains(got, tt.why) || (got == "") != (tt.why == "") {
				t.Errorf("Refused() = %q; want %q", got, tt.why)
			}
			if run.Wanted() || len(run.Domains()) != 0 || len(run.Finish()) != 0 {
				t.Error("a Link that was read is a signature of the Run; want nothing of it there")
			}
		})
	}
}

func TestLinkTag(t *testing.T) {
	l := linked(nil, arcSignature).MessageSignature(0)
	if i, none := l.Tag("i"), l.Tag("cv"); i != "1" || none != "" {
		t.Errorf("Tag(i) = %q, Tag(cv) = %q; want 1 and nothing", i, none)
	}
	if got := l.Known(); got.Domain != "example.com" || got.Selector != "s1" || got.Algorithm != "rsa-sha256" || got.Status != None {
		t.Errorf("Known() = %+v; want what the field says", got)
	}
	if got := linked(nil, "ARC-Seal: ;;").Seal(0); got.Tag("i") != "" || got.Refused() == "" {
		t.Errorf("Seal() = %+v; want one that is refused", got)
	}
}

func TestLinkWithoutStartDoesNotVerify(t *testing.T) {
	run := linked(records{own()}, arcSignature)
	if got := run.MessageSignature(0).Verify(); got.Status != PermError || got.Why != "not begun" {
		t.Errorf("Verify() = %+v; want permerror", got)
	}
	if got := run.Seal(0).VerifyAfter(sha256.New()); got.Status != PermError {
		t.Errorf("VerifyAfter() = %+v; want permerror", got)
	}
	run.Finish()
}

func TestLinkStartedAfterBodyDoesNotVerify(t *testing.T) {
	dns := counting{records{own()}, make(chan string, 1)}
	run := linked(dns, arcSignature)
	run.Write([]byte("x"))
	l := run.MessageSignature(0)
	l.Hash()
	run.Fetch(context.Background(), l)
	if got := l.Verify(); got.Status != PermError || len(dns.queried) != 0 {
		t.Errorf("Verify() = %+v after %d lookups; want permerror after none", got, len(dns.queried))
	}
	run.Finish()
}

func TestLinkWithOtherBodyNeedsNoKey(t *testing.T) {
	dns := counting{records{own()}, make(chan string, 1)}
	run := linked(dns, arcSignature)
	l := run.MessageSignature(0)
	l.Hash()
	run.Write([]byte("another body\r\n"))
	if got := l.Body(); got != "body hash did not verify" {
		t.Errorf("Body() = %q; want that its hash did not verify", got)
	}
	run.Fetch(context.Background(), l)
	if got := l.Verify(); got.Status != Fail || len(dns.queried) != 0 {
		t.Errorf("Verify() = %+v after %d lookups; want fail after none", got, len(dns.queried))
	}
	run.Finish()
}

func TestLinkKeyIsChargedToOthers(t *testing.T) {
	near, far := counting{records{own()}, make(chan string, 9)}, counting{records{own()}, make(chan string, 9)}
	run := Start(context.Background(), near, headerOf("ARC-Seal: i=1; a=rsa-sha256; cv=none; d=example.com; s=s1; b=AAAA\r\n"+letter), Options{Unrelated: far})
	l := run.Seal(0)
	run.Fetch(context.Background(), l)
	run.Fetch(context.Background(), l) // which changes nothing
	l.VerifyAfter(sha256.New())
	if len(near.queried) != 0 || len(far.queried) != 1 {
		t.Errorf("lookups = %d of aligned keys, %d of third parties'; want 0 and 1", len(near.queried), len(far.queried))
	}
}

func TestLinkRaisesPanicOfLookup(t *testing.T) {
	run := linked(broken{}, "ARC-Seal: i=1; a=rsa-sha256; cv=none; d=example.com; s=s1; b=AAAA")
	l := run.Seal(0)
	run.Fetch(context.Background(), l)
	defer func() {
		if p := recover(); p == nil {
			t.Error("VerifyAfter() returns; want the panic of the lookup")
		}
	}()
	l.VerifyAfter(sha256.New())
}
