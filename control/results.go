package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"dmarcgate/admin"
	"dmarcgate/config"
	"dmarcgate/results/dbread"
	"dmarcgate/results/pg"
	"dmarcgate/results/sqlite"
	"dmarcgate/site"
	"dmarcgate/term"
)

// fullStatus is the store of this host, and all hosts when there is a
// PostgreSQL.
type fullStatus struct {
	*admin.ResultsStatus              // nil with --all-hosts
	Hosts                []hostStatus `json:"hosts,omitempty"`
	Problem              string       `json:"hosts_failure,omitempty"` // why there are no hosts
}

// hostStatus is a store that PostgreSQL knows.
type hostStatus struct {
	StoreID   string    `json:"store"`
	Place     string    `json:"place"`
	Shipped   int64     `json:"shipped"`
	Watermark time.Time `json:"watermark,omitzero"`
	Seen      time.Time `json:"seen"`
	Stopped   bool      `json:"stopped,omitempty"`
	Skew      float64   `json:"skew_seconds"`
	Refused   int64     `json:"refused,omitempty"`
}

// hostsTimeout is how long PostgreSQL may take to tell of its hosts.
const hostsTimeout = 10 * time.Second

// ResultsOptions are those of Results.
type ResultsOptions struct {
	Place
	AllHosts bool // only what PostgreSQL knows
	JSON     bool
}

// Results shows how the store of this host and PostgreSQL do, and which hosts
// there are. Without a daemon, it shows what the file of the store says, and tells
// so on warn.
func Results(out, warn io.Writer, o ResultsOptions) error {
	ctx, cancel := soon()
	defer cancel()
	var full fullStatus
	var err error
	if o.AllHosts {
		err = full.onlyHosts(ctx, o.Config)
	} else {
		err = full.thisHost(ctx, warn, o.Place)
	}
	if err != nil {
		return err
	}
	if o.JSON {
		return json.NewEncoder(out).Encode(full)
	}
	root := &term.Node{Text: "results"}
	if full.ResultsStatus != nil {
		storeNodes(root, full.ResultsStatus, time.Now())
	}
	full.hostNodes(root, time.Now())
	return root.Print(out)
}

// onlyHosts asks PostgreSQL, and for nothing else.
func (f *fullStatus) onlyHosts(ctx context.Context, path string) error {
	f.addHosts(ctx, path)
	if f.Problem != "" {
		return fmt.Errorf("--all-hosts: %s", f.Problem)
	}
	return nil
}

// thisHost asks the daemon. Without one, the file says what it can.
func (f *fullStatus) thisHost(ctx context.Context, warn io.Writer, at Place) error {
	s, err := at.status(ctx)
	switch {
	case err == nil && s.Results == nil:
		return site.ErrNoResults
	case err == nil:
		f.ResultsStatus = s.Results
	default:
		fmt.Fprintf(warn, "dmarcgate: %v; showing the data of the file\n", err)
		if f.ResultsStatus, err = fileStatus(ctx, warn, at.Config); err != nil {
			return err
		}
		s.Config = at.Config
	}
	if f.Postgres != nil {
		f.addHosts(ctx, s.Config)
	}
	return nil
}

func (p Place) status(ctx context.Context) (admin.Status, error) {
	client, err := p.Client()
	if err != nil {
		return admin.Status{}, errors.New("the configuration does not say where the daemon is")
	}
	return client.Status(ctx)
}

// stateUnknown is how PostgreSQL takes rows when no daemon can say.
const stateUnknown = "no status from a daemon"

// fileStatus is what the file of this host says.
func fileStatus(ctx context.Context, warn io.Writer, path string) (*admin.ResultsStatus, error) {
	cfg, err := site.LoadPartly(warn, path)
	if err != nil {
		return nil, err
	}
	if cfg.Store.Durability == "off" {
		return nil, site.ErrNoResults
	}
	r, err := dbread.Open(ctx, cfg.Store.Path)
	if err != nil {
		return nil, site.StoreProblem(err, cfg.Store.Path)
	}
	defer r.Close()
	st, waiting, err := sqlite.FileStatus(ctx, r, cfg.Store.Path)
	if err != nil {
		return nil, err
	}
	s := &admin.ResultsStatus{
		Path: cfg.Store.Path, Durability: cfg.Store.Durability, ID: st.ID, Rows: st.Rows, Bytes: st.Bytes, FreeBytes: st.FreeBytes,
		MaxBytes: int64(cfg.Store.MaxSize), KeepDays: int(cfg.Store.Retention.Std() / (24 * time.Hour)),
		Oldest: st.Oldest, Newest: st.Newest, Uncleaned: st.Uncleaned,
	}
	if cfg.Store.Postgres.URL != "" {
		s.Postgres = &admin.PostgresStatus{State: stateUnknown, Waiting: waiting.Rows, Oldest: waiting.Oldest}
	}
	return s, nil
}

// addHosts asks PostgreSQL, by the configuration of the daemon, for all hosts.
// That it cannot be asked is part of the status.
func (f *fullStatus) addHosts(ctx context.Context, path string) {
	hosts, err := askHosts(ctx, path)
	if err != nil {
		f.Problem = err.Error()
		return
	}
	for _, h := range hosts {
		f.Hosts = append(f.Hosts, hostStatus{
			StoreID: h.StoreID, Place: h.Place.String(), Shipped: h.Shipped, Watermark: h.Watermark, Seen: h.Seen,
			Stopped: h.Stopped, Skew: h.Skew.Seconds(), Refused: h.Refused,
		})
	}
}

func askHosts(ctx context.Context, path string) ([]pg.Host, error) {
	ctx, cancel := context.WithTimeout(ctx, hostsTimeout)
	defer cancel()
	cfg, err := config.Load(path)
	if err != nil {
		return nil, err
	}
	r, err := site.OpenPostgres(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return r.Hosts(ctx)
}

func (f *fullStatus) hostNodes(root *term.Node, now time.Time) {
	if f.Problem != "" {
		root.Add("hosts: %s", term.Printable(f.Problem))
	}
	for _, h := range f.Hosts {
		n := root.Add("host %s: %d rows, seen %s ago", term.Printable(h.Place), h.Shipped, term.Age(now, h.Seen))
		if h.Stopped {
			n.Text += ", stopped"
		}
		n.Add("store %s", h.StoreID)
		if !h.Watermark.IsZero() {
			n.Add("complete up to %s", term.Stamp(h.Watermark))
		}
		n.Add("clock %+.1f s", h.Skew)
		if h.Refused > 0 {
			n.Add("%d rows stay on that host: refused by PostgreSQL", h.Refused)
		}
	}
}

// storeNodes shows the store and the way to PostgreSQL.
func storeNodes(root *term.Node, s *admin.ResultsStatus, now time.Time) {
	store := root.Add("store %s: %d rows, %s, durability %s", s.Path, s.Rows, term.Mebibytes(s.Bytes), s.Durability)
	store.Add("id %s", s.ID)
	if !s.Oldest.IsZero() {
		store.Add("from %s to %s", term.Stamp(s.Oldest), term.Stamp(s.Newest))
	}
	store.Add("%s", limitsText(s))
	store.Add("%s free on its file system", term.Mebibytes(s.FreeBytes))
	if s.Guard {
		store.Add("FREE SPACE BELOW store.min_free: results not recorded, mail unaffected")
	}
	for _, why := range slices.Sorted(maps.Keys(s.Dropped)) {
		store.Add("%d rows LOST since the start: %s", s.Dropped[why], why)
	}
	for _, why := range slices.Sorted(maps.Keys(s.Deleted)) {
		store.Add("%d rows deleted since the start: %s", s.Deleted[why], why)
	}
	if s.Uncleaned > 0 {
		store.Add("%d rows of older programs still contain addresses of DMARC records", s.Uncleaned)
	}
	if s.SetAside != "" {
		store.Add("damaged store renamed to %s", term.Printable(s.SetAside))
	}
	if s.Failure != "" {
		store.Add("failure: %s", term.Printable(s.Failure))
	}
	postgresNodes(root, s.Postgres, now)
}

// limitsText tells at which size and age rows are deleted.
func limitsText(s *admin.ResultsStatus) string {
	size, age := "no limit of size", "rows are kept for ever"
	if s.MaxBytes > 0 {
		size = "at most " + term.Mebibytes(s.MaxBytes)
	}
	if s.KeepDays > 0 {
		age = "rows are deleted after " + term.Count(s.KeepDays, "day")
	}
	return size + ", " + age
}

func postgresNodes(root *term.Node, s *admin.PostgresStatus, now time.Time) {
	if s == nil {
		return
	}
	n := root.Add("PostgreSQL: %s", s.State)
	if !s.Since.IsZero() {
		n.Text += fmt.Sprintf(" for %s", term.Age(now, s.Since))
	}
	if s.Failure != "" {
		n.Add("%s", term.Bounded(s.Failure, maxText))
	}
	if s.Waiting > 0 {
		n.Add("%d rows wait, the oldest for %s", s.Waiting, term.Age(now, s.Oldest))
	} else {
		n.Add("no rows wait")
	}
	if s.State != stateUnknown {
		n.Add("%d rows moved since the start", s.Shipped)
	}
	if s.Aside > 0 {
		n.Add("%d rows stay in the local store: refused by PostgreSQL", s.Aside)
	}
	if s.Uncleaned > 0 {
		n.Add("%d rows of older programs still contain addresses of DMARC records", s.Uncleaned)
	}
	if s.Skew != nil {
		n.Add("this clock is %+.1f s ahead of the server's", *s.Skew)
	}
}

// Adopt lets the store of the daemon, which is a copy of another, go on under an
// id of its own.
func (s Session) Adopt() error {
	ctx, cancel := soon()
	defer cancel()
	if err := s.Client.Adopt(ctx); err != nil {
		return err
	}
	_, err := fmt.Fprintln(s.Out, "the store has a new id from its first unshared row on; see results status")
	return err
}
