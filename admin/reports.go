package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"dmarcgate/report/queue"
)

// Reports is what the control socket can do with the reports that the daemon sends.
type Reports interface {
	// Order does in the queue what a person orders: queue.Order.Apply. The daemon acts
	// on it when it looks at the queue next. ErrNoReports means that sending is off.
	Order(ctx context.Context, o queue.Order) error
}

// ErrNoReports means that a daemon has no queue of reports open.
var ErrNoReports = errors.New("this daemon sends no reports")

// routeReports adds what the control socket can do with reports.
func (c Control) routeReports(mux *http.ServeMux) {
	mux.HandleFunc("POST /reports/order", func(w http.ResponseWriter, r *http.Request) {
		if c.Reports == nil {
			noReports(w)
			return
		}
		var o queue.Order
		if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
			http.Error(w, fmt.Sprintf("the order cannot be read: %v", err), http.StatusBadRequest)
			return
		}
		if o.Do == queue.PauseSending {
			o.Why = orderedBy(r) + ": " + o.Why
		}
		err := c.Reports.Order(r.Context(), o)
		if errors.Is(err, ErrNoReports) {
			noReports(w)
			return
		}
		answer(w, true, err)
	})
}

// noReports answers so that the client sees ErrNoReports.
func noReports(w http.ResponseWriter) {
	http.Error(w, ErrNoReports.Error(), http.StatusNotImplemented)
}

// Order has the daemon do in the queue of reports what a person orders. ErrNoReports
// means that the daemon has no queue open, or is an earlier one that knows no reports.
func (c *Client) Order(ctx context.Context, o queue.Order) error {
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	var done bool
	return c.send(ctx, "/reports/order", bytes.NewReader(text), &done)
}
