package reports

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/user"
	"time"

	"dmarcgate/config"
	"dmarcgate/report/queue"
	"dmarcgate/term"
)

// ChangeOptions are those of Change.
type ChangeOptions struct {
	Socket string // control socket of the daemon, instead of the configured one; may be empty
	Order  queue.Order
	JSON   bool
}

// Change does what is ordered, and says so. Without a daemon the queue is changed here,
// which warn is told.
func Change(ctx context.Context, out, warn io.Writer, cfg *config.Config, o ChangeOptions) error {
	if err := order(ctx, warn, cfg, o.Socket, o.Order); err != nil {
		return err
	}
	if o.JSON {
		return json.NewEncoder(out).Encode(map[string]string{"done": string(o.Order.Do)})
	}
	_, err := fmt.Fprintln(out, done(o.Order))
	return err
}

// done says what was done, and what follows.
func done(o queue.Order) string {
	what := term.Printable(o.Suppression.Kind + ":" + o.Suppression.What)
	switch o.Do {
	case queue.SendNow:
		return "report " + term.Printable(o.ID) + " is due now; the daemon looks for due reports once a minute, and asks all gates again"
	case queue.RetryReport:
		return "report " + term.Printable(o.ID) + " is back at work, except for mails that were sent; the daemon asks all gates again"
	case queue.ReopenDay:
		return "the reports of " + o.Day.Format(time.DateOnly) + " are made again; mails that left before the queue was restored leave a second time"
	case queue.Suppress:
		if o.Suppression.Until.IsZero() {
			return what + " is suppressed until reports unsuppress lifts it"
		}
		return what + " is suppressed until " + term.Stamp(o.Suppression.Until)
	case queue.Unsuppress:
		return what + " is not suppressed any more"
	case queue.PauseSending:
		return "sending is paused until reports resume; days are closed and documents are made meanwhile"
	}
	return "sending goes on"
}

// caller is who runs this command, for the reason of a pause.
func caller() string {
	if u, err := user.Current(); err == nil {
		return term.Printable(u.Username)
	}
	return fmt.Sprintf("user %d", os.Getuid())
}
