package tables

import (
	"context"
	"fmt"

	"dmarcgate/report/queue"
)

const suppressionColumns = "kind, what, reason, source, since, until, strikes"

func (s *step) suppressions(text string, args ...any) (all []queue.Suppression, err error) {
	err = s.each("SELECT "+suppressionColumns+" FROM suppression"+text, args, func(r Rows) error {
		var x queue.Suppression
		err := r.Scan(&x.Kind, &x.What, &x.Reason, &x.Source, stamp{&x.Since}, stamp{&x.Until}, &x.Strikes)
		all = append(all, x)
		return err
	})
	return all, err
}

// Suppressed returns the active suppressions of a destination.
func (q *Queue) Suppressed(ctx context.Context, addr, host, policyDomain string) (active []queue.Suppression, err error) {
	err = q.do(ctx, "reading suppressions", func(s *step) (err error) {
		active, err = s.suppressions(` WHERE (kind = $1 AND what = $2 OR kind = $3 AND what = $4 OR kind = $5 AND what = $6) AND (until IS NULL OR until > $7) ORDER BY kind`,
			queue.SuppressAddr, free(addr, maxKey), queue.SuppressHost, free(host, maxKey), queue.SuppressDomain, free(policyDomain, maxKey), s.now)
		return err
	})
	return active, err
}

// Suppressing returns all suppressions.
func (q *Queue) Suppressing(ctx context.Context) (list []queue.Suppression, err error) {
	err = q.do(ctx, "reading suppressions", func(s *step) (err error) {
		list, err = s.suppressions(" ORDER BY kind, what")
		return err
	})
	return list, err
}

// Suppress sets a suppression. It begins now.
func (q *Queue) Suppress(ctx context.Context, x queue.Suppression) error {
	if err := checkSuppression(x.Kind, x.What, x.Source); err != nil {
		return err
	}
	return q.do(ctx, "suppressing", func(s *step) error {
		x.Since = s.now
		return s.suppress(x)
	})
}

func (s *step) suppress(x queue.Suppression) error {
	_, err := s.exec("INSERT INTO suppression ("+suppressionColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (kind, what) DO UPDATE SET reason = excluded.reason, source = excluded.source, since = excluded.since, until = excluded.until, strikes = excluded.strikes`,
		x.Kind, x.What, free(x.Reason, maxText), x.Source, x.Since, x.Until, x.Strikes)
	return err
}

// strike counts one failure against a destination.
func (s *step) strike(by queue.Strike) error {
	if err := checkSuppression(by.Kind, by.What, by.Source); err != nil {
		return err
	}
	// The row is there before it is locked: of two hosts that strike at once, the
	// second one counts on.
	if _, err := s.exec("INSERT INTO suppression ("+suppressionColumns+") VALUES ($1, $2, '', $3, $4, $4, 0) ON CONFLICT DO NOTHING", by.Kind, by.What, by.Source, s.now); err != nil {
		return err
	}
	found, err := s.suppressions(" WHERE kind = $1 AND what = $2 FOR UPDATE", by.Kind, by.What)
	if err != nil {
		return err
	}
	return s.suppress(found[0].Struck(by, s.now))
}

// Unsuppress lifts a suppression.
func (q *Queue) Unsuppress(ctx context.Context, kind, what string) error {
	return q.do(ctx, "lifting a suppression", func(s *step) error {
		n, err := s.exec("DELETE FROM suppression WHERE kind = $1 AND what = $2", free(kind, maxText), free(what, maxKey))
		if err == nil && n == 0 {
			return queue.ErrUnknown
		}
		return err
	})
}

func checkSuppression(kind, what, source string) error {
	switch kind {
	case queue.SuppressAddr, queue.SuppressHost, queue.SuppressDomain:
	default:
		return fmt.Errorf("suppressing: unknown kind %.20q", kind)
	}
	switch source {
	case queue.FromBounce, queue.FromPerson, queue.FromPolicy, queue.FromDNSBL:
	default:
		return fmt.Errorf("suppressing: unknown source %.20q", source)
	}
	return key("what is suppressed", what)
}
