// Package reporter gives aggregate reports (report/sending) what they need of the
// daemon: the rows of the store or of PostgreSQL, the DNS, the queue, the smarthost and
// the settings of [reports], which a reload changes. It also takes bounces, and the
// orders of people that come over the control socket.
//
// With [reports] send = false, the default, Run reads the configuration once a minute
// and does nothing else: no queue is opened, no DNS query is made, no connection is
// opened.
//
// # Failures
//
// Mail never waits for reports. A key or password that cannot be read keeps reports
// waiting, and is logged.
package reporter

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"os"
	"strings"
	"sync"

	"dmarcgate/admin"
	"dmarcgate/config"
	"dmarcgate/dnscache"
	"dmarcgate/metrics"
	"dmarcgate/report/deliver"
	"dmarcgate/report/gate"
	"dmarcgate/report/identity"
	"dmarcgate/report/mail"
	"dmarcgate/report/queue"
	"dmarcgate/report/queue/file"
	"dmarcgate/report/queue/pg"
	"dmarcgate/report/sending"
	"dmarcgate/report/xml"
	pgresults "dmarcgate/results/pg"
	"dmarcgate/results/sqlite"
	"dmarcgate/site"
	"dmarcgate/site/shape"
)

// Parts are what a daemon has.
type Parts struct {
	Inputs  func() site.Site // active
	Store   *sqlite.Store
	DNS     *dnscache.Resolver
	Metrics *metrics.Metrics
	Log     *slog.Logger
	Version string // of the program
}

// Reporter makes and sends the reports of a daemon.
type Reporter struct {
	Parts
	sending *sending.Sending
	rows    *rows
	queue   *handle
	wake    [2]chan struct{} // sending, bounces; each has room for one
}

// New returns a Reporter. It opens nothing.
func New(p Parts) *Reporter {
	r := &Reporter{Parts: p, rows: &rows{store: p.Store, inputs: p.Inputs}}
	r.queue = &handle{open: r.openQueue, place: r.place}
	for i := range r.wake {
		r.wake[i] = make(chan struct{}, 1)
	}
	host, _ := os.Hostname()
	r.sending = sending.New(sending.Parts{
		Settings: r.settings, Queue: r.openQueue, Marks: p.Store, Rows: r.rows, Records: records{p.DNS, p.Inputs},
		Owner: fmt.Sprintf("%s/%d/%s", strings.Join(strings.Fields(host), "-"), os.Getpid(), rand.Text()),
		Log:   p.Log, Metrics: p.Metrics, Draw: mathrand.Float64, Wake: r.wake[0],
	})
	return r
}

// Run works until ctx ends.
func (r *Reporter) Run(ctx context.Context) {
	defer r.rows.close()
	defer r.queue.drop()
	var wg sync.WaitGroup
	wg.Go(func() { (&bounces{Reporter: r}).run(ctx) })
	r.sending.Run(ctx)
	wg.Wait()
}

// Wake has both loops look at once: the configuration or the queue has changed. It can be
// called on nil.
func (r *Reporter) Wake() {
	if r == nil {
		return
	}
	for _, c := range r.wake {
		select {
		case c <- struct{}{}:
		default: // one is due already
		}
	}
}

// Turn does what is due, once. It is for one goroutine, and not beside Run.
func (r *Reporter) Turn(ctx context.Context) error { return r.sending.Turn(ctx) }

// Order does in the queue what a person orders, and returns admin.ErrNoReports while
// sending is off. A turn that acts on the order begins at once.
func (r *Reporter) Order(ctx context.Context, o queue.Order) error {
	if !r.Inputs().Config.Reports.Send {
		return admin.ErrNoReports
	}
	err := r.queue.use(ctx, func(q queue.Store) error { return o.Apply(ctx, q) })
	if err == nil {
		r.Wake()
		r.Log.Info("reports: ordered", "do", string(o.Do), "report", o.ID, "suppression", strings.TrimPrefix(o.Suppression.Kind+":"+o.Suppression.What, ":"), "why", o.Why+o.Suppression.Reason)
	}
	return err
}

// place is where the queue is, besides the path of the store, which only a restart
// changes.
func (r *Reporter) place() pgresults.Config { return site.PostgresConfig(r.Inputs().Config) }

// openQueue opens the queue: in PostgreSQL where hosts share one, else in a file.
func (r *Reporter) openQueue(ctx context.Context) (queue.Store, error) {
	cfg := r.Inputs().Config
	if cfg.Store.Postgres.URL != "" {
		return pg.Open(ctx, site.PostgresConfig(cfg))
	}
	return file.Open(ctx, file.Options{Path: site.ReportQueue(cfg), Log: r.Log})
}

// settings is [reports] as it is active. It reads no file unless sending is on.
func (r *Reporter) settings() (sending.Settings, error) {
	in := r.Inputs()
	cfg := in.Config
	if !cfg.Reports.Send {
		return sending.Settings{}, nil
	}
	var keys []*mail.Key
	var record string
	if cfg.Reports.KeyFile != "" {
		_, domain, _ := strings.Cut(cfg.Reports.Email, "@")
		key, err := mail.LoadKey(cfg.Reports.KeyFile, domain, cfg.Reports.Selector)
		if err == nil {
			record, err = key.Record()
		}
		if err != nil {
			return sending.Settings{}, err
		}
		keys = append(keys, key)
	}
	rep := site.ReportsOf(cfg, record)
	return sending.Settings{
		Gate: rep.Gate, Contact: rep.Contact, Generator: "dmarcgate " + r.Version, Limits: xml.Limits{Mail: rep.MaxMail, Expanded: rep.MaxXML},
		Schema: rep.Schema, CatchUp: site.ReportCatchUp(cfg), Keys: keys, Discovery: shape.Discovery,
		Place:  r.place(),
		Open:   func() (sending.Sender, error) { return openSender(cfg.Reports) },
		Verify: func(ctx context.Context, id gate.Identity, probe []byte) string { return r.verify(ctx, in, id, probe) },
	}, nil
}

// openSender returns a session with the smarthost, without a connection.
func openSender(cfg config.Reports) (sending.Sender, error) {
	conf := deliver.Config{Smarthost: cfg.Smarthost, Hello: helloName(cfg.Submitter), TLS: deliver.TLS(cfg.TLS)}
	if cfg.AuthFile != "" {
		var err error
		if conf.User, conf.Password, err = deliver.LoadPassword(cfg.AuthFile); err != nil {
			return nil, err
		}
	}
	return deliver.New(conf)
}

// helloName is the name of this host in EHLO (RFC 5321, Section 4.1.1.1): a host name
// without a dot is none that others can look up.
func helloName(fallback string) string {
	if host, err := os.Hostname(); err == nil && strings.Contains(host, ".") {
		return host
	}
	return fallback
}

// verify checks the identity as doctor does, logs what is wrong, and returns the first
// thing that keeps reports back.
func (r *Reporter) verify(ctx context.Context, in site.Site, id gate.Identity, probe []byte) (problem string) {
	found := identity.Check(ctx, in.Checker(r.DNS.View), r.DNS.View(dnscache.DMARC), id, probe)
	for _, f := range found {
		log := r.Log.Error
		if f.Warning || f.Temporary {
			log = r.Log.Warn
		}
		log("reports: identity check", "key", f.Key, "problem", f.Text, "fix", f.Fix)
	}
	return identity.Problem(found)
}
