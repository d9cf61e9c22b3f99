// Package admin serves the operators of the daemon: an HTTP listener for
// monitoring, and the control socket with its client. The daemon starts both
// servers; subcommands such as status, reload, tail and cache use the client.
//
// # HTTP listener
//
// NewServer is meant for loopback. It has no password, changes nothing and shows
// no text from mail.
//
//	/metrics  Prometheus text format, or OpenMetrics or protobuf on request; runs the checks, too
//	/healthz  200 while the process serves
//	/readyz   200 if every check passes, else 503; one line for each check
//
// # Control socket
//
// Control serves HTTP with JSON on a Unix socket: status, reload, live decisions
// (tail), the DNS cache, the suspension of enforcement (monitor), purge, adoption
// and import of results, and orders about reports. Client is the other side, which
// the commands use. The mode of the socket decides who may connect. The kernel tells
// both sides the process and user of the other (Peer).
//
// The package does none of the work itself: the daemon passes in the functions
// that do. It is not an interface for mail.
//
// # Limits
//
// limits.go bounds requests, import rows, and the time that a client may take
// to send a request or read an answer. A client that reads too slowly loses
// lines of tail; mail never waits.
//
// # Failures
//
// A failed check makes /readyz 503 and changes nothing else. Errors of Client
// name the group or user that may use the socket (Access).
package admin

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"dmarcgate/metrics"
)

const (
	checkTimeout = 3 * time.Second // for all checks of one request
	checkEvery   = 2 * time.Second // a result is served again for this long
	readTimeout  = 5 * time.Second
	writeTimeout = 30 * time.Second
	maxHeader    = 16 << 10
)

// Check is one thing that must work for the daemon to be ready.
type Check struct {
	Name string
	Run  func(context.Context) error
}

// NewServer makes the HTTP server; the caller gives it a listener.
// m takes the results of the checks; m may be nil.
func NewServer(reg *prometheus.Registry, checks []Check, m *metrics.Metrics) *http.Server {
	ready := &readiness{checks: checks, metrics: m, now: time.Now}
	scrape := promhttp.HandlerFor(reg, promhttp.HandlerOpts{EnableOpenMetrics: true, Registry: reg})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		ready.state(r.Context())
		scrape.ServeHTTP(w, r)
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.Handle("GET /readyz", ready)
	return &http.Server{
		Handler: mux, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: time.Minute, MaxHeaderBytes: maxHeader,
	}
}

// readiness runs the checks, at most once in checkEvery, so that a scrape
// loop cannot make DNS traffic.
type readiness struct {
	checks  []Check
	metrics *metrics.Metrics
	now     func() time.Time

	mu    sync.Mutex // guards what follows, and makes requests share one run
	at    time.Time
	ready bool
	text  string
}

func (r *readiness) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	ready, text := r.state(req.Context())
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if !ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	fmt.Fprint(w, text)
}

func (r *readiness) state(ctx context.Context) (bool, string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.at.IsZero() && r.now().Sub(r.at) < checkEvery {
		return r.ready, r.text
	}
	// The result is shared, so it must not depend on this request's client
	// going away.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTimeout)
	defer cancel()
	r.ready, r.text = r.run(ctx)
	r.at = r.now()
	return r.ready, r.text
}

func (r *readiness) run(ctx context.Context) (bool, string) {
	var b strings.Builder
	ready := true
	for _, c := range r.checks {
		err := c.Run(ctx)
		r.metrics.Ready(c.Name, err == nil)
		if err != nil {
			ready = false
			fmt.Fprintf(&b, "fail %s: %q\n", c.Name, err.Error())
			continue
		}
		fmt.Fprintf(&b, "ok %s\n", c.Name)
	}
	return ready, b.String()
}
