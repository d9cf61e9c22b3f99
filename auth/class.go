package auth

import (
	"context"
	"slices"

	"dmarcgate/auth/dkim"
	"dmarcgate/auth/dmarc"
	"dmarcgate/message"
)

// Class says how much the verdict on a message needs a lookup. The zero Class
// gives way first.
type Class uint8

const (
	OfOther  Class = iota // what cannot align with an author domain, by its name
	OfAuthor              // the author domains, and what may align with them
)

// asking is DNS that waits for answers.
func (r *Run) asking(c Class) CacheOnly {
	if r.checker.Charge == nil {
		return CacheOnly{SPF: r.checker.SPF, DKIM: r.checker.DKIM, DMARC: r.checker.Finder.Resolver}
	}
	r.charge.Do(func() { r.charged = r.checker.Charge(r.query.Client) })
	return r.charged(c)
}

// mayAlign reports whether a domain could be aligned with an author domain, as
// far as names tell.
func (r *Run) mayAlign(domain string) bool {
	return slices.ContainsFunc(r.query.Authors, func(a string) bool { return dmarc.Related(domain, a) })
}

// senderClass is that of the identity that SPF can confirm.
func (r *Run) senderClass() Class {
	domain := heloDomain(r.query.Helo)
	if r.query.MailFrom != "" {
		domain, _ = message.AddressDomain(r.query.MailFrom)
	}
	if r.mayAlign(domain) {
		return OfAuthor
	}
	return OfOther
}

// keys are the keys of DKIM, by class.
type keys struct{ author, other keysOf }

func (k *keys) of(r *Run) {
	k.author, k.other = keysOf{r, OfAuthor}, keysOf{r, OfOther}
}

// keysOf asks for the keys of a class.
type keysOf struct {
	run   *Run
	class Class
}

// TXT is that of dkim.Resolver.
func (k *keysOf) TXT(ctx context.Context, name string) ([]string, error) {
	return k.run.asking(k.class).DKIM.TXT(ctx, name)
}

// Parsed is that of dkim.Keeper. Where nothing is kept it returns nothing.
func (k *keysOf) Parsed(ctx context.Context, name string, parse func(txts []string) any) (any, error) {
	keeper, ok := k.run.asking(k.class).DKIM.(dkim.Keeper)
	if !ok {
		return nil, nil
	}
	return keeper.Parsed(ctx, name, parse)
}
