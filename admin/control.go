package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"dmarcgate/results"
)

// Status is what the control socket tells of the daemon.
type Status struct {
	Version   string    `json:"version"`
	PID       int       `json:"pid"`
	Started   time.Time `json:"started"`
	Config    string    `json:"config"`
	Reloaded  time.Time `json:"reloaded"`           // when the active settings were read
	Failure   string    `json:"failure,omitempty"`  // of the last reload; the settings before it are active
	Restart   []string  `json:"restart,omitempty"`  // changed settings that wait for a restart
	Warnings  []string  `json:"warnings,omitempty"` // about the configuration that is active
	Rules     int       `json:"rules"`
	RulesHash string    `json:"rules_hash"`
	RuleMaps  []RuleMap `json:"rule_maps,omitempty"`
	// RuleWarnings is how much there is to say against the active rules;
	// RuleFindings is the first of it.
	RuleWarnings int           `json:"rule_warnings"`
	RuleFindings []RuleFinding `json:"rule_findings,omitempty"`
	// RulesDemoted is how many rules are not enforced since the start, because this
	// version refuses them; DemotedRules is the first of them, with the error.
	RulesDemoted int               `json:"rules_demoted"`
	DemotedRules []RuleFinding     `json:"demoted_rules,omitempty"`
	Store        string            `json:"store"`
	Results      *ResultsStatus    `json:"results,omitempty"` // nil without a store
	Listeners    []ListenerStatus  `json:"listeners"`
	Checks       map[string]string `json:"checks"` // "ok", or what is wrong
	DNS          DNSStatus         `json:"dns"`
	Monitor      *Monitoring       `json:"monitor,omitempty"` // nil while the profiles of the configuration are active
}

// RuleMap is a map file that rules name.
type RuleMap struct {
	Path    string `json:"path"`
	Entries int    `json:"entries"`
}

// RuleFinding is a warning about a rule, or the error of one that is demoted.
type RuleFinding struct {
	Code string `json:"code"`
	Rule string `json:"rule,omitempty"`
	File string `json:"file"`
	Line int    `json:"line,omitempty"`
	Key  string `json:"key,omitempty"`
	Text string `json:"text"`
	Fix  string `json:"fix,omitempty"`
}

// DNSStatus is how names are looked up.
type DNSStatus struct {
	Servers []ServerStatus `json:"servers"` // in the order in which they are asked
	Entries int            `json:"cache_entries"`
	Bytes   uint64         `json:"cache_bytes"`    // estimated
	Lookups uint64         `json:"lookups"`        // since the start
	Cached  uint64         `json:"lookups_cached"` // those of them that the cache served or that joined another one
}

// RefusalAdvice is what to do about a name server that refuses queries.
const RefusalAdvice = "raise its limit of queries at once (dnsmasq: dns-forward-max), or let it resolve for this host; see docs/dns.md"

// ServerStatus is the health of a name server.
type ServerStatus struct {
	Address  string    `json:"address"`
	Trusted  bool      `json:"trusted,omitempty"` // its word for DNSSEC is believed
	Down     bool      `json:"down,omitempty"`    // found dead, and passed over until it answers a check
	Since    time.Time `json:"since,omitzero"`    // of Down
	Failures int       `json:"failures,omitempty"`
	Queries  uint64    `json:"queries"`
	RTT      float64   `json:"rtt_seconds,omitempty"` // smoothed; absent before the first answer
	Err      string    `json:"last_failure,omitempty"`

	Window   int       `json:"window"`               // queries in flight at most, as the server takes them
	InFlight int       `json:"in_flight"`            // queries that are
	GivenUp  int       `json:"given_up"`             // queries that are not waited for any more, but the server may
	Refusing time.Time `json:"refusing,omitzero"`    // since when it refuses or drops queries
	Refusal  string    `json:"refusal,omitempty"`    // what it did then
	Plain    bool      `json:"lower_case,omitempty"` // names are sent in lower case: it does not repeat the case of letters
}

// ListenerStatus is one listener.
type ListenerStatus struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	Profile string `json:"profile"`

	Sockets []string `json:"sockets"` // where the listener listens, as "unix:/path" or "tcp:host:port"; systemd may pass several sockets

	EnforceShare int `json:"enforce_share"` // percent of the messages for which the profile is enforced

	AuthservID string   `json:"authserv_id,omitempty"` // of the configuration; absent when it is the MTA's name
	MTANames   []string `json:"mta_names,omitempty"`   // that MTAs have given in the last 30 days

	Warning *ListenerWarning `json:"warning,omitempty"` // nil while the listener sees and evaluates mail

	Traffic Traffic `json:"traffic"`
}

// Traffic is what a listener has seen since the start of the daemon.
type Traffic struct {
	Sessions uint64            `json:"sessions"`           // connections from an MTA
	Active   uint64            `json:"sessions_active"`    // connections that are open
	Limit    int               `json:"sessions_limit"`     // connections that may be open: limits.connections
	InFlight uint64            `json:"messages_in_flight"` // messages between the end of their header and the answer
	Messages map[string]uint64 `json:"messages"`           // answered messages by action, and "aborted"
}

// ListenerWarning says that a listener hardly evaluates any mail.
type ListenerWarning struct {
	Code string `json:"code"` // no_header or not_evaluated
	Text string `json:"text"`
	Fix  string `json:"fix"`
}

// ReloadResult is what became of a reload.
type ReloadResult struct {
	OK      bool     `json:"ok"`
	Problem string   `json:"problem,omitempty"` // file:line and fix, one a line
	Restart []string `json:"restart,omitempty"` // changed settings that wait for a restart
}

// Control is what the control socket can do.
type Control struct {
	Status func(context.Context) Status
	Reload func() ReloadResult
	Tail   *Tail
	Cache  Cache

	Monitor Monitor

	Results Results // nil without a store
	Reports Reports // nil while no queue of reports is open

	times times // for tests
}

// NewControl makes the server of the control socket. It speaks HTTP with
// JSON; whoever can open the socket may use it, within the limits of limits.go.
func NewControl(c Control) *http.Server {
	c.times = c.times.orDefaults()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) { reply(w, c.Status(r.Context())) })
	mux.HandleFunc("POST /reload", func(w http.ResponseWriter, _ *http.Request) { reply(w, c.Reload()) })
	mux.HandleFunc("GET /tail", c.tail)
	c.routeCache(mux)
	c.routeMonitor(mux)
	c.routeResults(mux)
	c.routeReports(mux)
	all := http.NewServeMux()
	all.HandleFunc("POST /results/import", c.importRows) // has no end that is known: it bounds itself
	all.HandleFunc("/", c.times.bounded(mux.ServeHTTP))
	return &http.Server{
		Handler: all, ReadHeaderTimeout: readTimeout, IdleTimeout: time.Minute, MaxHeaderBytes: maxHeader, ConnContext: withPeer,
	}
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client that went away needs no answer
}

// tail writes rows as JSON, one a line, until the client goes away.
func (c Control) tail(w http.ResponseWriter, r *http.Request) {
	f, err := parseFilter(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	rows, cancel := c.Tail.subscribe(f)
	if rows == nil {
		http.Error(w, fmt.Sprintf("there are %d listeners already", maxTails), http.StatusServiceUnavailable)
		return
	}
	defer cancel()
	flush := http.NewResponseController(w)
	_ = flush.Flush() // tells the client that it is listening
	enc := json.NewEncoder(w)
	for {
		select {
		case <-r.Context().Done():
			return
		case row := <-rows:
			if enc.Encode(row) != nil || flush.Flush() != nil {
				return
			}
		}
	}
}

func parseFilter(q url.Values) (Filter, error) {
	f := Filter{Listener: q.Get("listener"), Domain: q.Get("domain"), Result: q.Get("result"), Action: q.Get("action"), Rule: q.Get("rule")}
	text := q.Get("client")
	if text == "" {
		return f, nil
	}
	if a, err := netip.ParseAddr(text); err == nil {
		f.Client = netip.PrefixFrom(a, a.BitLen())
		return f, nil
	}
	var err error
	if f.Client, err = netip.ParsePrefix(text); err != nil {
		return Filter{}, fmt.Errorf("client %q is neither an address nor a network", text)
	}
	return f, nil
}

func (f Filter) query() url.Values {
	q := url.Values{}
	for name, v := range map[string]string{"listener": f.Listener, "domain": f.Domain, "result": f.Result, "action": f.Action, "rule": f.Rule} {
		if v != "" {
			q.Set(name, v)
		}
	}
	if f.Client.IsValid() {
		q.Set("client", f.Client.String())
	}
	return q
}

// Client talks to the control socket of a daemon.
type Client struct {
	path string
	http http.Client
}

// Dial makes a client for the socket at path; it connects with the first call.
func Dial(path string) *Client {
	return DialIf(path, func(Peer) error { return nil })
}

// DialIf is Dial where trust is asked about the process at the other end before
// anything is sent to it. Its error ends the call.
func DialIf(path string, trust func(Peer) error) *Client {
	return &Client{path: path, http: http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			conn, err := d.DialContext(ctx, "unix", path)
			if err != nil {
				return nil, err
			}
			p, err := peerOf(conn)
			if err == nil {
				err = trust(p)
			}
			if err != nil {
				conn.Close()
				return nil, untrusted{err}
			}
			return conn, nil
		},
	}}}
}

// untrusted is why DialIf does not go on with a daemon that is there.
type untrusted struct{ error }

// unreachable says why a daemon cannot be asked, and what to do.
func (c *Client) unreachable(err error) error {
	switch {
	case errors.As(err, new(untrusted)):
		return fmt.Errorf("the daemon at %s is not asked: %w", c.path, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("asking the daemon at %s: %w; %s", c.path, err, Access(c.path))
	}
	return fmt.Errorf("asking the daemon at %s: %w; is it running?", c.path, err)
}

// Status asks for the daemon's status.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.call(ctx, http.MethodGet, "/status", &s)
}

// Reload has the daemon read its configuration again.
func (c *Client) Reload(ctx context.Context) (r ReloadResult, err error) {
	return r, c.call(ctx, http.MethodPost, "/reload", &r)
}

// Tail calls f with each decision until ctx is done, f returns an error, or
// the daemon ends.
func (c *Client) Tail(ctx context.Context, filter Filter, f func(results.Row) error) error {
	listening, hangUp := context.WithCancel(ctx)
	defer hangUp()
	next, err := c.Listen(listening, filter)
	if err != nil {
		return err
	}
	for {
		row, err := next()
		switch {
		case err != nil && (ctx.Err() != nil || err == io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := f(row); err != nil {
			return err
		}
	}
}

// Listen is Tail for a caller that first has to know that the daemon shows every
// decision from now on, which it does when Listen returns. next waits for a
// decision, and fails with io.EOF when the daemon ends. The connection is closed when
// ctx is done.
func (c *Client) Listen(ctx context.Context, filter Filter) (next func() (results.Row, error), err error) {
	body, err := c.open(ctx, http.MethodGet, "/tail?"+filter.query().Encode())
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(body)
	return func() (row results.Row, err error) {
		if err = dec.Decode(&row); err != nil {
			body.Close()
			if err != io.EOF {
				err = fmt.Errorf("reading from %s: %w", c.path, err)
			}
		}
		return row, err
	}, nil
}

func (c *Client) call(ctx context.Context, method, path string, v any) error {
	return c.decode(ctx, method, path, nil, v)
}

// send posts a body, and decodes the answer.
func (c *Client) send(ctx context.Context, path string, body io.Reader, v any) error {
	return c.decode(ctx, http.MethodPost, path, body, v)
}

func (c *Client) decode(ctx context.Context, method, path string, send io.Reader, v any) error {
	body, err := c.do(ctx, method, path, send)
	if err != nil {
		return err
	}
	defer body.Close()
	return json.NewDecoder(body).Decode(v)
}

func (c *Client) open(ctx context.Context, method, path string) (io.ReadCloser, error) {
	return c.do(ctx, method, path, nil)
}

func (c *Client) do(ctx context.Context, method, path string, send io.Reader) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://control"+path, send)
	if err != nil {
		return nil, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(err)
	}
	if res.StatusCode != http.StatusOK {
		defer res.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(res.Body, maxHeader))
		if res.StatusCode == http.StatusNotImplemented {
			return nil, fmt.Errorf("the daemon at %s answers: %w", c.path, ErrNoReports)
		}
		return nil, fmt.Errorf("the daemon at %s answers: %s", c.path, bytes.TrimSpace(text))
	}
	return res.Body, nil
}
