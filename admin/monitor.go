package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Bounds of an order to enforce nothing: ours. Less than a minute is over before
// anybody has looked, and what is to last longer than a week is a change of the
// configuration.
const (
	MinMonitor = time.Minute
	MaxMonitor = 7 * 24 * time.Hour
)

// maxSays is how many bytes of what a client calls itself are kept: our limit,
// two Linux user names of 32 with words between them.
const maxSays = 100

// Monitoring is an order that every listener only watches.
type Monitoring struct {
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
	By    string    `json:"by"` // who ordered it, as the kernel and the client say
	// Warning is what may keep the order from surviving a restart.
	Warning string `json:"warning,omitempty"`
}

// Monitor takes such orders. by says who gives them.
type Monitor interface {
	Watch(by string, span time.Duration) Monitoring
	// Enforce ends the order. It returns the one that was ended, nil for none.
	Enforce(by string) *Monitoring
}

// routeMonitor adds the orders.
func (c Control) routeMonitor(mux *http.ServeMux) {
	mux.HandleFunc("POST /monitor", func(w http.ResponseWriter, r *http.Request) {
		span, err := monitorSpan(r.URL.Query().Get("seconds"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		reply(w, c.Monitor.Watch(orderedBy(r), span))
	})
	mux.HandleFunc("POST /monitor/end", func(w http.ResponseWriter, r *http.Request) { reply(w, c.Monitor.Enforce(orderedBy(r))) })
}

// ErrMonitorSpan means that an order is too short or too long.
var ErrMonitorSpan = errors.New("at least 1m and at most 7d")

// CheckMonitor holds the span of an order to its bounds.
func CheckMonitor(span time.Duration) error {
	if span < MinMonitor || span > MaxMonitor {
		return ErrMonitorSpan
	}
	return nil
}

func monitorSpan(text string) (time.Duration, error) {
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("seconds: %q is not a number", text)
	}
	span := time.Duration(n) * time.Second
	return span, CheckMonitor(span)
}

// orderedBy says who sent a request: first what the kernel says, then what the
// client calls itself, which anybody can write.
func orderedBy(r *http.Request) string {
	who := requester(r)
	if says := plain(r.URL.Query().Get("says")); says != "" {
		who += "; calls itself " + says
	}
	return who
}

// plain keeps the printable ASCII of a text, and not too much of it.
func plain(text string) string {
	text = strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return -1
		}
		return c
	}, text[:min(len(text), maxSays)])
	return strings.TrimSpace(text)
}

// Watch has the daemon enforce nothing for a span, from now on. says is whom the
// operator calls themselves; the daemon notes who the kernel says it is, too.
func (c *Client) Watch(ctx context.Context, says string, span time.Duration) (m Monitoring, err error) {
	q := url.Values{"seconds": {strconv.FormatInt(int64(span/time.Second), 10)}, "says": {says}}
	return m, c.call(ctx, http.MethodPost, "/monitor?"+q.Encode(), &m)
}

// Enforce ends what Watch began. It returns the order that was ended, nil when
// there was none.
func (c *Client) Enforce(ctx context.Context, says string) (m *Monitoring, err error) {
	return m, c.call(ctx, http.MethodPost, "/monitor/end?"+url.Values{"says": {says}}.Encode(), &m)
}
