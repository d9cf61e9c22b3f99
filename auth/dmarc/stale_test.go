package dmarc

import (
	"context"
	"errors"
	"slices"
	"testing"
)

// aged is DNS with stale answers for some names, "*" for all.
type aged struct {
	*fakeDNS
	old []string
}

// staleAnswer is the error beside a stale answer, of whom to blame.
type staleAnswer struct{ error }

func (staleAnswer) Stale() bool     { return true }
func (o staleAnswer) Unwrap() error { return o.error }

func (a aged) beside(name string, err error) error {
	if err == nil && (slices.Contains(a.old, name) || slices.Contains(a.old, "*")) {
		return staleAnswer{ours}
	}
	return err
}

func (a aged) TXT(ctx context.Context, name string) ([]string, error) {
	txts, err := a.fakeDNS.TXT(ctx, name)
	return txts, a.beside(name, err)
}

func (a aged) Exists(ctx context.Context, name string) (bool, error) {
	exists, err := a.fakeDNS.Exists(ctx, name)
	return exists, a.beside(name, err)
}

// TestFindWithStaleAnswerEqualsFresh has each name old alone, then all.
func TestFindWithStaleAnswerEqualsFresh(t *testing.T) {
	ids := []Identifier{spf("bounce.a.example.com", true), dkim("example.com", true), dkim("cut.example.com", true), dkim("example.net", true)}
	for _, zone := range []func() *fakeDNS{
		func() *fakeDNS { return zone("example.com p=reject; sp=quarantine") },
		func() *fakeDNS { return zone("a.example.com p=reject", "example.com p=none") },
		func() *fakeDNS { return zone("cut.example.com p=none; psd=n", "example.com p=reject; aspf=s") },
		func() *fakeDNS { return zone("example.com p=reject; psd=y", "a.example.com p=none") },
		func() *fakeDNS { return zone("example.com p=reject", "example.com p=none") },
		func() *fakeDNS { return zone() },
	} {
		for _, m := range []Method{TreeWalk, PSL} {
			for _, author := range []string{"a.example.com", "cut.example.com", "example.com"} {
				fresh, orgs := evaluated(t, zone(), m, author, ids)
				for _, old := range []string{"_dmarc.a.example.com", "_dmarc.example.com", "_dmarc.com", "*"} {
					got, gotOrgs := evaluated(t, aged{zone(), []string{old}}, m, author, ids)
					if got.Verdict != fresh.Verdict || !got.Discovery.Record.Equal(fresh.Discovery.Record) ||
						got.Discovery.Org != fresh.Discovery.Org || got.Discovery.Source != fresh.Discovery.Source || !slices.Equal(gotOrgs, orgs) {
						t.Errorf("%s by %v with a stale answer for %s: %+v, %v; want %+v, %v", author, m, old, got, gotOrgs, fresh, orgs)
					}
					queried := slices.ContainsFunc(got.Discovery.Walk, func(s Step) bool { return old == "*" || s.Name() == old })
					if got.Discovery.Stale != queried || got.Discovery.Err != nil || got.Discovery.OrgErr != nil {
						t.Errorf("%s by %v with a stale answer for %s: Stale = %v, %v; want %v", author, m, old, got.Discovery.Stale, got.Discovery.Err, queried)
					}
				}
				if fresh.Discovery.Stale {
					t.Errorf("%s by %v: Stale with fresh answers", author, m)
				}
			}
		}
	}
}

// evaluated returns an opinion with the Organizational Domains of identifiers.
func evaluated(t *testing.T, dns Resolver, m Method, author string, ids []Identifier) (Opinion, []string) {
	t.Helper()
	f := &Finder{Resolver: dns, Method: m, Walks: new(Walks)}
	o := Opinion{Discovery: f.Find(t.Context(), author)}
	var orgs []string
	var found []Identifier
	for _, id := range ids {
		id = f.Identify(t.Context(), id, o.Discovery)
		found, orgs = append(found, id), append(orgs, id.Org)
	}
	o.Verdict = Evaluate(o.Discovery, found)
	return o, orgs
}

func TestFindMarksNamesOfStaleAnswers(t *testing.T) {
	dns := aged{zone("example.com p=reject"), []string{"_dmarc.example.com"}}
	d := (&Finder{Resolver: dns}).Find(t.Context(), "a.example.com")
	for _, s := range d.Walk {
		if want := s.Domain == "example.com"; s.Stale != want || s.Err != nil {
			t.Errorf("step %+v: Stale = %v; want %v", s, s.Stale, want)
		}
	}
	if v := Evaluate(d, nil); v.Status != Fail || v.Policy != Reject {
		t.Errorf("Evaluate() = %+v; want a fail as published", v)
	}
}

func TestIdentifyMarksStaleOrganization(t *testing.T) {
	dns := aged{zone("example.com p=reject"), []string{"_dmarc.x.example.com"}}
	f := &Finder{Resolver: dns}
	d := f.Find(t.Context(), "a.example.com")
	for domain, want := range map[string]bool{"x.example.com": true, "y.example.com": false, "a.example.com": false, "x.example.net": false} {
		id := f.Identify(t.Context(), dkim(domain, true), d)
		if id.Stale != want || id.OrgErr != nil {
			t.Errorf("Identify(%s) = %+v; want Stale %v", domain, id, want)
		}
	}
	if d.Stale {
		t.Error("Stale = true; want false: the author's answers are fresh")
	}
}

// A stale answer that the domain does not exist must not bring np on it.
func TestFindIgnoresStaleExistence(t *testing.T) {
	for _, missing := range []bool{true, false} {
		dns := aged{zone("example.com p=none; np=reject"), []string{"a.example.com"}}
		dns.missing["a.example.com"] = missing
		d := (&Finder{Resolver: dns}).Find(t.Context(), "a.example.com")
		if d.Existence != ExistenceUnknown || d.Stale {
			t.Errorf("missing %v: existence = %v, Stale = %v; want unknown, and no more than that", missing, d.Existence, d.Stale)
		}
		if v := Evaluate(d, nil); v.Policy != None {
			t.Errorf("missing %v: policy = %v; want none", missing, v.Policy)
		}
	}
}

func TestStaleNeedsStaleError(t *testing.T) {
	for _, err := range []error{theirs, errTimeout, notStale{}} {
		dns := zone("example.com p=reject").failing(err, "example.com")
		d := (&Finder{Resolver: dns}).Find(t.Context(), "example.com")
		if !errors.Is(d.Err, err) || d.Stale || d.Source != SourceNone {
			t.Errorf("with %v: Err = %v, source %v, Stale %v; want the error alone", err, d.Err, d.Source, d.Stale)
		}
	}
}

// notStale could say that there is a stale answer, and does not.
type notStale struct{}

func (notStale) Error() string { return "no answer" }
func (notStale) Stale() bool   { return false }

func TestStaleUnwrapsErrors(t *testing.T) {
	if !isStale(errors.Join(errTimeout, staleAnswer{theirs})) || isStale(nil) || isStale(errTimeout) {
		t.Error("isStale() does not tell a stale answer from an error")
	}
}
