package pages

import (
	"bytes"
	"context"
	"errors"
	"html/template"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"dmarcgate/admin"
	"dmarcgate/pages/view"
	"dmarcgate/report/queue"
	"dmarcgate/results"
	"dmarcgate/site"
)

// Store is what the pages read of a store; *dbread.Reader is one.
type Store interface {
	results.Queries
	DaySums(ctx context.Context, from time.Time) (sums []results.DaySum, complete bool, err error)
	Older(ctx context.Context, sequence int64, limit int) ([]results.Row, error)
	NewestRuled(ctx context.Context, limit int) ([]results.Row, error)
	FirstSeen(ctx context.Context, org string) (time.Time, error)
	NewestFailing(ctx context.Context, from time.Time, n int) (time.Time, bool, error)
	NewestOverridden(ctx context.Context, from time.Time, n int) (time.Time, bool, error)
}

// Reports is what the pages read about aggregate reports. Sending never waits for it.
type Reports interface {
	// Problem is why nothing can be sent with the settings of [reports].
	Problem() error
	// Overview returns nil when there is no queue.
	Overview(ctx context.Context, days, lines int) (*queue.Overview, error)
}

// Source is what the pages show.
type Source struct {
	Status  func(context.Context) admin.Status
	Site    func() site.Site       // the active configuration and rules
	Store   Store                  // nil when nothing is recorded
	Reports Reports                // nil when nothing is recorded
	Counts  func() []view.DNSCount // of DNS, since the start
	Now     func() time.Time       // nil is time.Now
}

// server answers requests.
type server struct {
	Source
	gate      *gate
	kept      kept
	templates map[string]*template.Template
}

// maker makes what a template shows. An error of it is the page's.
type maker func(ctx context.Context, r *http.Request) (any, error)

// page is what a template is given.
type page struct {
	Title string
	Path  string // of the page among those of the menu
	Style string
	Icon  string
	Now   string
	Body  any
}

// errNotFound means that there is no such message.
var errNotFound = errors.New("there is no such message; perhaps it is no longer kept")

// NewServer makes the HTTP server; the caller gives it a listener (see Limit).
func NewServer(src Source) *http.Server {
	return &http.Server{
		Handler: paced(newServer(src).handler()), ReadTimeout: readTime, WriteTimeout: writeTime + 2*turnTime + makeTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHeader,
	}
}

func newServer(src Source) *server {
	if src.Now == nil {
		src.Now = time.Now
	}
	s := &server{Source: src, gate: newGate(), templates: parse()}
	s.kept.now = src.Now
	return s
}

// handler leads the paths to the pages.
func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /static/{file}", static)
	mux.HandleFunc("GET /{$}", s.page("status", "Status", "/", s.status))
	mux.HandleFunc("GET /decisions", s.page("decisions", "Decisions", "/decisions", s.decisions))
	mux.HandleFunc("GET /decisions/{sequence}", s.page("decision", "Decision", "/decisions", s.decision))
	mux.HandleFunc("GET /senders", s.page("senders", "Senders", "/senders", s.senders))
	mux.HandleFunc("GET /rules", s.page("rules", "Rules", "/rules", s.rules))
	mux.HandleFunc("GET /what-if", s.page("whatif", "What-if", "/what-if", s.whatIf))
	mux.HandleFunc("GET /reports", s.page("reports", "Reports", "/reports", s.reports))
	mux.HandleFunc("GET /dns", s.page("dns", "DNS", "/dns", s.dns))
	return guard(mux)
}

// policyField lets a page have our style sheet, our icon and our forms, and
// nothing else: no script, no style within a page, nothing from another host.
const policyField = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// guard checks what a request may be before anything is done for it, and sets the
// fields of every answer.
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policyField)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			h.Set("Allow", "GET, HEAD")
			h.Set("Connection", "close") // the body is not read
			http.Error(w, "the pages change nothing: use GET or HEAD", http.StatusMethodNotAllowed)
		case !local(r.Host):
			h.Set("Connection", "close")
			http.Error(w, "the Host field must be localhost, 127.0.0.1 or [::1]", http.StatusMisdirectedRequest)
		case len(r.RequestURI) > maxQuery:
			http.Error(w, "the address is too long", http.StatusRequestURITooLong)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// local reports whether a Host field names loopback. A site that resolves its own
// name to loopback (DNS rebinding) sends its own name.
func local(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	if strings.EqualFold(name, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return err == nil && a.IsLoopback()
}

// page answers with what a template makes of a maker's value.
func (s *server) page(name, title, path string, make maker) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		address := r.URL.Path + "?" + r.URL.Query().Encode()
		a, err := s.keptOrNew(r, address, func() answer {
			return s.answer(r, name, page{Title: title, Path: path, Style: stylePath, Icon: iconPath, Now: view.Moment(s.Now())}, make)
		})
		if err != nil {
			busy(w)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if a.code == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", retryAfter)
		}
		w.WriteHeader(a.code)
		_, _ = w.Write(a.body) // the client that went away needs no answer
	}
}

// keptOrNew returns the answer that is kept for an address, or makes one when it is
// its turn. The error is errBusy.
func (s *server) keptOrNew(r *http.Request, address string, make func() answer) (answer, error) {
	if a, ok := s.kept.get(address); ok {
		return a, nil
	}
	leave, err := s.gate.enter(r.Context())
	if err != nil {
		return answer{}, err
	}
	defer leave()
	if a, ok := s.kept.get(address); ok { // another request has made it meanwhile
		return a, nil
	}
	a := make()
	s.kept.put(address, a)
	return a, nil
}

func busy(w http.ResponseWriter) {
	w.Header().Set("Retry-After", retryAfter)
	http.Error(w, errBusy.Error()+"; try again in some seconds", http.StatusServiceUnavailable)
}

// answer makes a page. It goes on when its client does not wait, because others
// may ask for the same.
func (s *server) answer(r *http.Request, name string, p page, make maker) answer {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), makeTime)
	defer cancel()
	body, err := make(ctx, r)
	code := http.StatusOK
	switch {
	case errors.Is(err, errNotFound):
		code = http.StatusNotFound
	case errors.Is(err, context.DeadlineExceeded):
		code, err = http.StatusServiceUnavailable, errSlow
	case err != nil:
		code = http.StatusInternalServerError
	}
	p.Body = body
	if err != nil {
		name, p.Body = "error", view.Shown(err.Error())
	}
	var b bytes.Buffer
	if err := s.templates[name].ExecuteTemplate(&b, "layout", p); err != nil || b.Len() > maxPage {
		return answer{code: http.StatusInternalServerError, body: []byte("the page could not be made\n")}
	}
	return answer{code: code, body: b.Bytes()}
}

// errSlow means that the store took too long.
var errSlow = errors.New("the store did not answer within 1 second; try again")

// note says why a part of a page is missing; "" for no error.
func note(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, context.DeadlineExceeded):
		return errSlow.Error()
	}
	return view.Shown(err.Error())
}
