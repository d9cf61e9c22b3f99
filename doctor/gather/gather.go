package gather

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"time"

	"dmarcgate/admin"
	"dmarcgate/config"
	"dmarcgate/doctor"
	reportid "dmarcgate/report/identity"
	"dmarcgate/site"
	"dmarcgate/site/check"
)

// deadline is how long Facts may take: our limit, so that an operator who waits
// for an answer about a server that hangs gets the answer.
const deadline = 8 * time.Second

// Options say which host is examined.
type Options struct {
	Config  string // path of the configuration file
	Version string // of this program
	// Client asks the daemon of a configuration.
	Client func(*config.Config) *admin.Client
	// Host finds what of this host would stop the daemon, as check.Options.Host.
	Host func(*config.Config) (stops, warnings []config.Problem)
	// Reports checks the identity of aggregate reports (package report/identity) of a
	// configuration that has one; an error says why nothing could be checked. nil checks
	// nothing.
	Reports func(context.Context, *config.Config) ([]reportid.Finding, error)
	// PostfixDir is the configuration directory of Postfix; "" is that of postconf.
	PostfixDir string
	// Filters is the directory with opendkim.conf and opendmarc.conf; "" is /etc.
	Filters string

	deadline time.Duration // for tests; 0 is the constant
}

// task finds out a part of the facts. It returns what puts them into the host,
// which is called in no other goroutine.
type task struct {
	name string
	run  func(context.Context) func(*doctor.Host)
}

// Facts collects what is known of this host. An error is one of a configuration
// file that is not there or cannot be read at all.
func Facts(ctx context.Context, o Options) (*doctor.Host, error) {
	cfg, err := config.LoadPartly(o.Config)
	if cfg == nil || errors.Is(err, fs.ErrNotExist) && o.Config != site.DefaultConfig {
		return nil, err
	}
	if o.deadline == 0 {
		o.deadline = deadline
	}
	h := &doctor.Host{Now: time.Now(), Program: o.Version, Path: o.Config, Config: cfg, Addresses: addresses()}
	ctx, cancel := context.WithTimeout(ctx, o.deadline)
	defer cancel()
	h.Unseen = append(h.Unseen, together(ctx, h, []task{
		{"check-config", func(context.Context) func(*doctor.Host) { return checked(o) }},
		{"the daemon", func(ctx context.Context) func(*doctor.Host) { return daemon(ctx, o.Client(cfg)) }},
		{"Postfix", func(ctx context.Context) func(*doctor.Host) { return mta(ctx, cfg, o) }},
		{"name servers", func(ctx context.Context) func(*doctor.Host) { return resolvers(ctx, cfg) }},
		{"stored messages", func(ctx context.Context) func(*doctor.Host) { return mail(ctx, cfg) }},
		{"files", func(context.Context) func(*doctor.Host) { return files(cfg, o.Config) }},
		{"identity of reports", func(ctx context.Context) func(*doctor.Host) { return reports(ctx, cfg, o) }},
	})...)
	storeFacts(h)
	return h, nil
}

// together runs tasks at once until the context ends, and returns what has not
// come to an end.
func together(ctx context.Context, h *doctor.Host, tasks []task) (unseen []string) {
	type done struct {
		task int
		put  func(*doctor.Host)
	}
	results := make(chan done, len(tasks)) // a task that hangs ends some time, and is not heard
	for n, t := range tasks {
		go func() { results <- done{n, t.run(ctx)} }()
	}
	waiting := make([]bool, len(tasks))
	for range tasks {
		select {
		case d := <-results:
			waiting[d.task] = true
			d.put(h)
		case <-ctx.Done():
			for n, ended := range waiting {
				if !ended {
					unseen = append(unseen, fmt.Sprintf("%s: no answer in time", tasks[n].name))
				}
			}
			return unseen
		}
	}
	return nil
}

// checked is what check-config finds.
func checked(o Options) func(*doctor.Host) {
	found := check.Find(o.Config, check.Options{Host: o.Host})
	var list []site.Remark
	var broken *config.Errors
	switch {
	case errors.As(found.Err, &broken):
		for _, p := range broken.Problems {
			list = append(list, site.Remark{Level: site.LevelError, Problem: p})
		}
	case errors.Is(found.Err, fs.ErrPermission):
		return func(h *doctor.Host) { h.Unseen = append(h.Unseen, found.Err.Error()+"; run doctor as root") }
	case found.Err != nil:
		list = append(list, site.Remark{Level: site.LevelError, Problem: config.Problem{File: o.Config, Text: found.Err.Error(), Fix: "run dmarcgate check-config"}})
	}
	list = append(list, found.Warnings...)
	return func(h *doctor.Host) { h.Checked = list }
}

// reports checks the identity of aggregate reports, where the configuration has one. With
// sending switched on, check-config names keys that are missing.
func reports(ctx context.Context, cfg *config.Config, o Options) func(*doctor.Host) {
	r := cfg.Reports
	if o.Reports == nil || r.Email == "" || r.Send && len(r.Missing()) > 0 {
		return func(*doctor.Host) {}
	}
	found, err := o.Reports(ctx, cfg)
	return func(h *doctor.Host) {
		h.Reports = found
		if err != nil {
			h.Unseen = append(h.Unseen, "identity of reports: "+err.Error())
		}
	}
}

// daemon asks for the status.
func daemon(ctx context.Context, client *admin.Client) func(*doctor.Host) {
	status, err := client.Status(ctx)
	return func(h *doctor.Host) {
		switch {
		case err == nil:
			h.Daemon = &status
		case errors.Is(err, fs.ErrPermission):
			h.Unseen = append(h.Unseen, err.Error())
		default:
			h.Silence = err.Error()
		}
	}
}

// addresses are those of the interfaces of this host.
func addresses() []netip.Addr {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var out []netip.Addr
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Addr())
		}
	}
	return out
}

// root tells whether this process may see what the users of others can do.
func root() bool { return os.Geteuid() == 0 }
