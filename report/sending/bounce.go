package sending

import (
	"context"
	"errors"

	"dmarcgate/report/bounce"
	"dmarcgate/report/queue"
)

// Bounced returns the handler of bounces for a queue: a failed delivery is refused, and
// counts against its address, once. Other mail changes nothing.
func Bounced(q queue.Store, m Metrics) bounce.Handler {
	return func(ctx context.Context, b bounce.Bounce) error {
		if b.Kind != bounce.Failed {
			return nil
		}
		first, err := q.Bounce(ctx, b.Token, queue.Outcome{
			Host: b.MTA, Enhanced: b.Status, Text: b.Text, Why: "bounce",
			Strike: &queue.Strike{Kind: queue.SuppressAddr, Reason: b.Text, Source: queue.FromBounce}, // of the address of the delivery
		})
		if errors.Is(err, queue.ErrUnknown) {
			return nil // deleted since, or of a queue that was lost
		}
		if first {
			m.ReportDelivery(string(queue.Refused), "bounce")
		}
		return err
	}
}
