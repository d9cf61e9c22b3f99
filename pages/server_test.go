package pages

import (
	"context"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"dmarcgate/pages/view"
	"dmarcgate/results"
)

// ask sends a request for a path of loopback.
func ask(h http.Handler, method, path string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	r.Host = "localhost:9436"
	for _, f := range change {
		f(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// paths are all pages.
func paths(h http.Handler) []string {
	list := []string{"/", "/decisions", "/decisions?result=notable", "/senders", "/rules", "/what-if", "/reports", "/dns"}
	return append(list, regexp.MustCompile(`/decisions/\d+`).FindString(ask(h, "GET", "/decisions").Body.String()))
}

func TestPagesAnswerGetAndHeadAndNothingElse(t *testing.T) {
	h := free(newFixture(t).Source)
	for _, path := range paths(h) {
		if w := ask(h, "GET", path); w.Code != 200 || !strings.Contains(w.Body.String(), "</html>") {
			t.Errorf("GET %s = %d %s; want a page", path, w.Code, w.Body)
		}
		if w := ask(h, "HEAD", path); w.Code != 200 {
			t.Errorf("HEAD %s = %d; want 200", path, w.Code)
		}
		for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE"} {
			if w := ask(h, method, path); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s = %d, Allow %q; want 405", method, path, w.Code, w.Header().Get("Allow"))
			}
		}
	}
	for _, path := range []string{"/decisions/0", "/decisions/-1", "/decisions/999999999", "/decisions/x", "/nothing", "/static/style.css", "/decisions/9223372036854775807"} {
		if w := ask(h, "GET", path); w.Code != http.StatusNotFound {
			t.Errorf("GET %s = %d; want 404", path, w.Code)
		}
	}
}

func TestPagesAreForRequestsThatNameLoopback(t *testing.T) {
	h := free(newFixture(t).Source)
	for host, want := range map[string]int{
		"localhost": 200, "LOCALHOST:80": 200, "127.0.0.1:9436": 200, "[::1]:9436": 200, "127.9.9.9": 200,
		"": 421, "evil.example": 421, "localhost.evil.example:9436": 421, "192.0.2.1:9436": 421, "[2001:db8::1]": 421, "127.0.0.1.evil.example": 421, "0.0.0.0:9436": 421,
	} {
		if w := ask(h, "GET", "/", func(r *http.Request) { r.Host = host }); w.Code != want {
			t.Errorf("Host %q = %d; want %d", host, w.Code, want)
		}
	}
}

func TestEveryAnswerForbidsScriptsAndForeignContent(t *testing.T) {
	h := free(newFixture(t).Source)
	for _, path := range append(paths(h), "/nothing", stylePath, iconPath) {
		w := ask(h, "GET", path)
		csp := w.Header().Get("Content-Security-Policy")
		if !strings.HasPrefix(csp, "default-src 'none';") || strings.Contains(csp, "unsafe") || strings.Contains(csp, "http") || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: Content-Security-Policy %q, %v", path, csp, w.Header())
		}
		text := w.Body.String()
		for _, bad := range []string{"<script", "style=", "onclick", "http://", "https://", "javascript:\"", "<style"} {
			if strings.Contains(strings.ReplaceAll(text, `xmlns="http://www.w3.org/2000/svg"`, ""), bad) {
				t.Errorf("%s has %s", path, bad)
			}
		}
	}
}

func TestHostileNamesAreShownAsText(t *testing.T) {
	f := newFixture(t)
	h := free(f.Source)
	shown := 0
	for _, path := range append(paths(h), "/decisions?author="+"%3Cscript%3E%E2%80%AE", "/decisions?client=%3Cb%3E%22") {
		text := ask(h, "GET", path).Body.String()
		for _, bad := range []string{"<script", "<b>x", "\u202e", "\u200b", "\x1b", "\xff"} {
			if strings.Contains(text, bad) {
				t.Errorf("%s has %q", path, bad)
			}
		}
		if strings.Contains(text, "&lt;U&#43;202E&gt;") {
			shown++
		}
	}
	if shown < 3 {
		t.Errorf("%d pages show the control of the hostile name; want at least 3", shown)
	}
}

// crowded is a store with more messages than are counted.
type crowded struct {
	Store
	since time.Time
}

func (c crowded) NewestFailing(_ context.Context, _ time.Time, n int) (time.Time, bool, error) {
	return c.since, n == maxCounted, nil
}

func (c crowded) TopFailing(_ context.Context, since time.Time, _ int) ([]results.Failing, error) {
	return []results.Failing{{Author: "first.example", Messages: 7, Last: since}}, nil
}

func TestSendersSaysSinceWhenMessagesAreCounted(t *testing.T) {
	f := newFixture(t)
	f.Source.Store = crowded{f.store, noon.Add(-time.Hour)}
	text := ask(free(f.Source), "GET", "/senders").Body.String()
	if want := "The newest " + view.Number(maxCounted) + " messages are counted, since " + view.Moment(noon.Add(-time.Hour)); strings.Count(text, want) != 1 || !strings.Contains(text, "first.example") {
		t.Errorf("the page does not say once %q:\n%s", want, text)
	}
}

func TestDecisionsFilterFindsByEachField(t *testing.T) {
	h := free(newFixture(t).Source)
	for query, want := range map[string]string{
		"author=bank.example": "bank.example", "client=198.51.100.128/25": "parcel.example", "rule=city-list": "city.example", "rule=parcel-strict": "parcel.example",
		"result=temperror": "slow.example", "action=tag": "parcel.example", "qid=4Q000001": "4", "client=198.51.100.44": "city.example",
	} {
		text := ask(h, "GET", "/decisions?"+query).Body.String()
		rows := regexp.MustCompile(`data-label="Author domain" class="code">([^<]*)<`).FindAllStringSubmatch(text, -1)
		if len(rows) == 0 {
			t.Errorf("%s finds nothing", query)
		}
		for _, r := range rows {
			if !strings.HasPrefix(query, "qid") && r[1] != want {
				t.Errorf("%s finds %s; want %s alone", query, r[1], want)
				break
			}
		}
		if limit := strings.Contains(text, "10\u202f000 messages"); limit == strings.HasPrefix(query, "qid") {
			t.Errorf("%s says that it looks at the newest messages = %v", query, limit)
		}
	}
	if text := ask(h, "GET", "/decisions?client=nonsense").Body.String(); !strings.Contains(text, "neither an address nor a network") {
		t.Error("a client that cannot be read is not reported")
	}
}

func TestDecisionsLeadToAllOlderOnes(t *testing.T) {
	h := free(newFixture(t).Source)
	link := regexp.MustCompile(`href="(/decisions\?[^"]*before=\d+)"`)
	seen := make(map[string]bool)
	for path := "/decisions"; path != ""; {
		text := ask(h, "GET", path).Body.String()
		for _, m := range regexp.MustCompile(`href="/decisions/(\d+)"`).FindAllStringSubmatch(text, -1) {
			if seen[m[1]] {
				t.Fatalf("%s has message %s again", path, m[1])
			}
			seen[m[1]] = true
		}
		path = ""
		if m := link.FindStringSubmatch(text); m != nil {
			path = strings.ReplaceAll(m[1], "&amp;", "&")
		}
	}
	if len(seen) < 1000 {
		t.Errorf("the pages lead to %d messages; want all", len(seen))
	}
}
