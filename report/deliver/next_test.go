package deliver

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

var first = time.Date(2026, 11, 30, 1, 0, 0, 0, time.UTC)

func TestNextDecides(t *testing.T) {
	const middle = 0.5 // no jitter
	busy := Outcome{Class: Retry, Phase: Rcpt, Code: 450}
	lost := Outcome{Class: Retry, Phase: Connect}
	for _, tt := range []struct {
		name    string
		outcome Outcome
		tries   int
		after   time.Duration // since the first attempt
		want    Step
	}{
		{"sent", Outcome{Class: Sent}, 1, 0, Step{}},
		{"refused recipient", Outcome{Class: Refused, Phase: Rcpt, Code: 550}, 1, 0, Step{Strike: true}},
		{"refused text", Outcome{Class: Refused, Phase: End, Code: 554}, 1, 0, Step{Strike: true}},
		{"too large", Outcome{Class: Refused, Phase: Mail, Code: 552, Enhanced: "5.3.4"}, 1, 0, Step{}},
		{"too large for the recipient", Outcome{Class: Refused, Phase: End, Code: 552, Enhanced: "5.2.3"}, 1, 0, Step{}},
		{"mailbox full", Outcome{Class: Refused, Phase: Rcpt, Code: 552, Enhanced: "5.2.2"}, 1, 0, Step{Strike: true}},
		{"our fault", Outcome{Class: OurFault, Phase: Auth, Code: 535}, 1, 0, Step{Again: true, At: first.Add(5 * time.Minute), Pause: true}},
		{"our fault, late", Outcome{Class: OurFault, Phase: Auth, Code: 535}, 9, 80 * time.Hour, Step{Again: true, At: first.Add(86 * time.Hour), Pause: true}},
		{"busy once", busy, 1, 0, Step{Again: true, At: first.Add(5 * time.Minute)}},
		{"busy twice", busy, 2, 5 * time.Minute, Step{Again: true, At: first.Add(15 * time.Minute)}},
		{"busy seven times", busy, 7, 6 * time.Hour, Step{Again: true, At: first.Add(6*time.Hour + 320*time.Minute)}},
		{"busy eight times", busy, 8, 12 * time.Hour, Step{Again: true, At: first.Add(18 * time.Hour)}},
		{"busy a million times", busy, 1e6, 12 * time.Hour, Step{Again: true, At: first.Add(18 * time.Hour)}},
		{"busy near the end", busy, 20, 70 * time.Hour, Step{Again: true, At: first.Add(72 * time.Hour)}},
		{"busy just before the end", busy, 20, 72*time.Hour - 1, Step{Again: true, At: first.Add(72 * time.Hour)}},
		{"busy to the end", busy, 21, 72 * time.Hour, Step{Strike: true}},
		{"no smarthost to the end", lost, 21, 72 * time.Hour, Step{}},
		{"no reply to the text to the end", Outcome{Class: Retry, Phase: End}, 21, 72 * time.Hour, Step{}},
		{"421 to the end", Outcome{Class: Retry, Phase: Rcpt, Code: 421}, 21, 72 * time.Hour, Step{}},
		{"sender refused now, to the end", Outcome{Class: Retry, Phase: Mail, Code: 450}, 21, 72 * time.Hour, Step{}},
		{"nothing known", Outcome{}, 0, 0, Step{Again: true, At: first.Add(5 * time.Minute)}},
	} {
		got := Next(tt.outcome, History{tt.tries, first}, first.Add(tt.after), middle)
		if got != tt.want {
			t.Errorf("%s: Next() = %+v; want %+v", tt.name, got, tt.want)
		}
	}
}

func TestNextSpreadsAttempts(t *testing.T) {
	for draw, want := range map[float64]time.Duration{0: 4 * time.Minute, 0.5: 5 * time.Minute, 0.75: 5*time.Minute + 30*time.Second, 1: 6 * time.Minute} {
		if got := Next(Outcome{}, History{1, first}, first, draw); got.At != first.Add(want) {
			t.Errorf("Next() with %v = %v later; want %v", draw, got.At.Sub(first), want)
		}
	}
}

// A destination that never answers is asked some twenty times in three days.
func TestNextGivesUpAfterThreeDays(t *testing.T) {
	for _, draw := range []float64{0, 0.5, 0.999} {
		now, n := first, 1
		for ; ; n++ {
			step := Next(Outcome{Class: Retry, Phase: Rcpt, Code: 450}, History{n, first}, now, draw)
			if !step.Again {
				break
			}
			if !step.At.After(now) {
				t.Fatalf("attempt %d is at %v, not after %v", n+1, step.At, now)
			}
			now = step.At
		}
		if now != first.Add(GiveUp) || n < 15 || n > 25 {
			t.Errorf("with %v the delivery expires after %d attempts, at %v; want 15 to 25 and %v", draw, n, now, first.Add(GiveUp))
		}
	}
}

func TestStreakPausesAfterFiveHosts(t *testing.T) {
	refused := Outcome{Class: Refused, Phase: Rcpt, Code: 554}
	host := func(i int) string { return fmt.Sprintf("host%d.example", i) }
	all := []string{host(0), host(1), host(2), host(3), host(4)}
	for _, tt := range []struct {
		name string
		add  func(s *Streak) []string
		want bool
	}{
		{"five hosts", func(s *Streak) []string {
			for i := range 4 {
				s.Add(host(i), refused)
			}
			return s.Add(host(4), refused)
		}, true},
		{"four hosts", func(s *Streak) (paused []string) {
			for i := range 4 {
				paused = s.Add(host(i), refused)
			}
			return paused
		}, false},
		{"one host ten times", func(s *Streak) (paused []string) {
			for range 10 {
				paused = s.Add("host.example", refused)
			}
			return paused
		}, false},
		{"a mail that is sent between them", func(s *Streak) (paused []string) {
			for i := range 8 {
				if i == 4 {
					s.Add("good.example", Outcome{Class: Sent})
				}
				paused = s.Add(host(i), refused)
			}
			return paused
		}, false},
		{"mails that are too large", func(s *Streak) (paused []string) {
			for i := range 9 {
				paused = s.Add(host(i), Outcome{Class: Refused, Phase: Mail, Code: 552, Enhanced: "5.3.4"})
			}
			return paused
		}, false},
		{"retries between them end nothing", func(s *Streak) (paused []string) {
			for i := range 5 {
				s.Add(host(i), Outcome{Class: Retry, Phase: Rcpt, Code: 450})
				paused = s.Add(host(i), refused)
			}
			return paused
		}, true},
	} {
		if got := tt.add(new(Streak)); got != nil != tt.want || tt.want && !slices.Equal(got, all) {
			t.Errorf("%s: Add() = %v; want the five hosts: %v", tt.name, got, tt.want)
		}
	}
}

// pageRows are the rows of the table of answers in docs/report-mail.md, each with
// outcomes that it is about.
var pageRows = map[string][]error{
	"2xx to the text":                                   {nil},
	"no connection, no reply, 421":                      {io.EOF, said(421, 4, 3, 2)},
	"4xx to any command":                                {said(450, 4, 7, 1)},
	"5xx to RCPT, DATA or the text":                     {said(550, 5, 1, 1), said(552, 5, 2, 2), said(554, 5, 7, 1)},
	"552 5.3.4 or 5.2.3, too large":                     {said(552, 5, 3, 4), said(552, 5, 2, 3)},
	"550 5.1.7 or 5.1.8 to RCPT, about the sender":      {said(550, 5, 1, 7), said(550, 5, 1, 8)},
	"5xx to the greeting, EHLO, STARTTLS, AUTH or MAIL": {said(554, 5, 7, 1)},
	"no STARTTLS or no AUTH where required":             {errNoTLS, errNoAuth, errPlain},
	"certificate that is not valid":                     {&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}},
	"no reply to the text":                              {os.ErrDeadlineExceeded},
}

// phases are those that a row is about; all others are about RCPT.
var phases = map[string][]Phase{
	"2xx to the text":                                   {End},
	"no reply to the text":                              {End},
	"4xx to any command":                                {Greeting, StartTLS, Auth, Mail, Rcpt, Data, End},
	"no connection, no reply, 421":                      {Connect, Greeting, StartTLS, Auth, Mail, Rcpt, Data},
	"5xx to RCPT, DATA or the text":                     {Rcpt, Data, End},
	"552 5.3.4 or 5.2.3, too large":                     {Mail, Rcpt, Data, End},
	"5xx to the greeting, EHLO, STARTTLS, AUTH or MAIL": {Greeting, StartTLS, Auth, Mail},
	"no STARTTLS or no AUTH where required":             {StartTLS, Auth},
	"certificate that is not valid":                     {Connect, StartTLS},
}

func said(code int, enhanced ...int) error {
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode(enhanced)}
}

// consequence writes a step as the page does.
func consequence(o Outcome, s Step) string {
	switch {
	case o.Class == Sent:
		return "done"
	case s.Pause:
		return "another attempt; all sending pauses"
	case o.Uncertain():
		return "another attempt; the recipient may get a copy"
	case s.Again:
		return "another attempt"
	case s.Strike:
		return "no further attempt; strike against the recipient"
	}
	return "no further attempt; no strike"
}

func TestPageHasTheConsequencesOfAnswers(t *testing.T) {
	page, err := os.ReadFile("../../docs/report-mail.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "| answer of the smarthost | class | consequence |\n|---|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	rows := strings.Split(table, "\n")
	if len(rows) != len(pageRows) {
		t.Errorf("the table has %d rows; want %d", len(rows), len(pageRows))
	}
	s := &Sender{}
	for _, row := range rows {
		cells := strings.Split(strings.Trim(row, "| "), " | ")
		answers, known := pageRows[cells[0]]
		if !known {
			t.Errorf("the row %q has no outcome here", cells[0])
		}
		about := phases[cells[0]]
		if about == nil {
			about = []Phase{Rcpt}
		}
		for _, err := range answers {
			for _, phase := range about {
				o := s.outcome(phase, err)
				if err == nil {
					o.Class = Sent
				}
				step := Next(o, History{1, first}, first, 0.5)
				if got := []string{"`" + o.Class.String() + "`", consequence(o, step)}; !slices.Equal(got, cells[1:]) {
					t.Errorf("%s: %v at %s is %q; the page says %q", cells[0], err, phase, got, cells[1:])
				}
			}
		}
	}
}

func TestPageHasTheDeadlines(t *testing.T) {
	page, err := os.ReadFile("../../docs/report-mail.md")
	if err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(strings.Fields(string(page)), " "); connectWait != 30*time.Second || commandWait != 5*time.Minute || dataWait != 10*time.Minute || endWait != 10*time.Minute || maxReply != 256<<10 ||
		!strings.Contains(text, "30 s for the connection, 5 min for each command, 10 min for the text, and 10 min for the reply to the text. Of the replies of a phase, 256 KiB") {
		t.Error("docs/report-mail.md has other deadlines than the source")
	}
}
