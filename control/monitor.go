package control

import (
	"cmp"
	"fmt"
	"os"
	"time"

	"dmarcgate/term"
)

// Watch has every listener enforce nothing for a span, which admin.CheckMonitor
// allows.
func (s Session) Watch(span time.Duration) error {
	ctx, cancel := soon()
	defer cancel()
	m, err := s.Client.Watch(ctx, operator(), span)
	if err != nil {
		return err
	}
	if s.JSON {
		return s.encode(m)
	}
	fmt.Fprintf(s.Out, "enforcement suspended until %s; to resume earlier: dmarcgate monitor --end\n", term.Stamp(m.Until))
	if m.Warning != "" {
		fmt.Fprintf(s.Out, "warning: %s\n", term.Printable(m.Warning))
	}
	return nil
}

// Enforce ends what Watch has begun.
func (s Session) Enforce() error {
	ctx, cancel := soon()
	defer cancel()
	m, err := s.Client.Enforce(ctx, operator())
	switch {
	case err != nil:
		return err
	case s.JSON:
		return s.encode(m)
	case m == nil:
		fmt.Fprintln(s.Out, "dmarcgate monitor was not active; the profiles are those of the configuration")
	default:
		fmt.Fprintln(s.Out, "the profiles of the configuration are active again")
	}
	return nil
}

// operator is who gives an order, as far as the environment says: with sudo the
// kernel knows only root.
func operator() string {
	return cmp.Or(os.Getenv("SUDO_USER"), os.Getenv("LOGNAME"), os.Getenv("USER"))
}
