//go:build mta

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dkimtest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/miltertest"
	"dmarcgate/internal/promtest"
)

// boardRules are an active rule that matches the demo's mailing list, and a rule in shadow
// mode that matches one of the demo's spoofs.
const boardRules = `
[[rule]]
id = "list"
owner = "x"
created = 2026-01-01
expires = 2099-01-01
mode = "enforce"
action = "accept"
reason = "mailing_list"
[rule.match]
client = ["198.51.100.0/24"]
author = ["shop.example"]
[[rule]]
id = "tried"
owner = "x"
created = 2026-01-01
expires = 2099-01-01
mode = "shadow"
action = "accept"
reason = "local_policy"
[rule.match]
client = ["203.0.113.66"]
author = ["bank.example"]
`

// atRest are the panels that show zero while all is well; the value is what would move them.
var atRest = map[string]string{
	"Name servers down":                            "a name server that does not answer",
	"Listeners that check no mail":                 "a content filter in front",
	"Settings that wait for a restart":             "a changed setting",
	"Enforcement suspended for":                    "dmarcgate monitor",
	"Oldest row that waits for PostgreSQL":         "PostgreSQL",
	"Messages whose client is not known":           "a relay without a usable Received field",
	"Warnings about rules, and rules not enforced": "rules that lint refuses",
	"Errors towards the MTA":                       "an MTA that breaks the protocol",
	"Memory of headers":                            "headers beyond 64 KiB: the limit alone is not zero",
	"Headers that wait for memory":                 "more of these than limits.header_memory",
	"Log lines lost":                               "a syslog that is away",
	"Name servers up, refusing, down":              "a name server that does not answer",
	"Lookups that gave way":                        "an attack",
	"Replies that match no query":                  "forged replies",
	"Entries that left the cache":                  "a full cache",
	"Messages answered before their commit":        "a slow disk",
	"Rows that wait for the writer":                "a slow disk",
	"Rows deleted":                                 "old rows",
	"Rows dropped for lack of space":               "a full disk",
	"Store damaged or renewed, clock jumped":       "a broken disk",
	"Rows that may hold addresses":                 "a store of an earlier program",
	"Rows that wait for PostgreSQL":                "PostgreSQL",
	"Rows and batches sent to PostgreSQL":          "PostgreSQL",
	"PostgreSQL accepts rows":                      "PostgreSQL",
	"Clock compared with PostgreSQL":               "PostgreSQL",
	"Messages without a header":                    "clients that leave early",
	"Report mail may leave":                        "[reports] send = true",
	"Begin of the last closed day: ago":            "[reports] send = true",
	"Oldest report mail is overdue for":            "[reports] send = true",
	"Report mails possibly sent twice":             "a host that dies",
	"Suppressed destinations":                      "bounces",
	"Hosts missing in the last closed day":         "a host that is silent",
	"Reports planned":                              "[reports] send = true",
	"Messages of closed days in reports":           "[reports] send = true",
	"Deliveries of reports":                        "[reports] send = true",
	"Reports in the queue":                         "[reports] send = true",
	"Deliveries in the queue":                      "[reports] send = true",
	"Bytes of reports":                             "[reports] send = true",
	"Time to make documents":                       "[reports] send = true",
	"Tree walk and suffix list compared":           "compare = true",
}

// boardDaemon runs a daemon with a listener for each profile.
func boardDaemon(t *testing.T, dns string) *served {
	t.Helper()
	text := fmt.Sprintf("authserv_id = %q\nstate_dir = \"%%s\"\nrules_dir = \"%%s/rules\"\n[dns]\nservers = [%q]\n[admin]\nlisten = \"127.0.0.1:0\"\n", demoID, dns)
	for _, profile := range []string{"strict", "conformant", "monitor"} {
		text += fmt.Sprintf("[[listener]]\nname = %q\naddress = \"unix:%%s/%s.sock\"\nprofile = %q\n", profile, profile, profile)
	}
	path := daemontest.Write(t, text)
	dir := filepath.Join(filepath.Dir(path), "rules")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	daemontest.PutFile(t, filepath.Join(dir, "board.toml"), boardRules)
	d, _ := startAt(t, path)
	return d
}

// boardMails are the demo's, with an ARC chain and a broken record.
func boardMails(t *testing.T) (mails []demoMail, zone string) {
	t.Helper()
	mails, zone, err := demoMails()
	if err != nil {
		t.Fatal(err)
	}
	key, err := dkimtest.RSA(2048)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := key.Seal(demoText("Someone <someone@plain.example>", "List"), dkimtest.Hop{Domain: "shop.example", Selector: "s1", Results: "lists.example; dmarc=pass header.from=plain.example"})
	if err != nil {
		t.Fatal(err)
	}
	mails = append(mails,
		mail("sealed", "strict", demoThirdParty, "x@plain.example", sealed),
		mail("a broken record", "strict", demoThirdParty, "x@plain.example", demoText("a@defect.example", "Hello")))
	return mails, zone + "_dmarc.defect.example. TXT \"v=DMARC1; p=reject; sp=never\"\n"
}

// play sends rounds of mail until the test ends.
func play(t *testing.T, d *served, mails []demoMail) {
	ticker := time.NewTicker(200 * time.Millisecond)
	done, ended := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() {
		close(done)
		<-ended
		ticker.Stop()
	})
	go func() {
		defer close(ended)
		for round := 0; ; round++ {
			if err := playRound(d, mails, round); err != nil {
				t.Error(err)
				return
			}
			select {
			case <-ticker.C:
			case <-done:
				return
			}
		}
	}()
}

// playRound sends every message once, and one under a name that is new, so that the name
// servers are queried in each round.
func playRound(d *served, mails []demoMail, round int) error {
	clients := make(map[string]*miltertest.Client)
	defer func() {
		for _, c := range clients {
			c.Close()
		}
	}()
	author := fmt.Sprintf("a@n%d.bank.example", round)
	mails = append(slices.Clip(mails), mail("a new name", "conformant", demoThirdParty, "x@bank.example", demoText(author, "Hello")))
	for i, m := range mails {
		if clients[m.profile] == nil {
			c, err := miltertest.Dial("unix:"+filepath.Join(d.Inputs().Config.StateDir, m.profile+".sock"), miltertest.Options{})
			if err != nil {
				return err
			}
			clients[m.profile] = c
		}
		m.QueueID = fmt.Sprintf("4B%dx%d", round, i)
		if _, err := clients[m.profile].Send(m.Mail); err != nil {
			return fmt.Errorf("%s: %w", m.what, err)
		}
	}
	return nil
}

// boardConfig is the configuration of docs/monitoring.md for a target of the test's own,
// with the alerts, and with seconds for minutes.
func boardConfig(t *testing.T, target string) string {
	t.Helper()
	rules, err := filepath.Abs("../../deploy/prometheus/dmarcgate.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	text := blocks(t, "docs/monitoring.md", "yaml")[0]
	for old, new := range map[string]string{"127.0.0.1:9435": target, "/etc/prometheus/dmarcgate.rules.yml": rules} {
		if !strings.Contains(text, old) {
			t.Fatalf("the configuration of docs/monitoring.md has no %s:\n%s", old, text)
		}
		text = strings.Replace(text, old, new, 1)
	}
	path := filepath.Join(t.TempDir(), "prometheus.yml")
	daemontest.PutFile(t, path, "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"+text)
	return path
}

// A Prometheus of Debian gets data for every query of the dashboard from a daemon under a
// little load, with classic and with native histograms, and no alert of a fault fires.
func TestDashboardQueriesReturnData(t *testing.T) {
	mails, zone := boardMails(t)
	dns := dnstest.New(t, zone)
	d := boardDaemon(t, dns.Addr())
	config := boardConfig(t, d.Web().String())
	servers := map[string]*promtest.Server{
		"classic": promtest.Start(t, config),
		"native":  promtest.Start(t, config, "--enable-feature=native-histograms"),
	}
	play(t, d, mails)
	for name, s := range servers {
		t.Run(name, func(t *testing.T) {
			checkBoard(t, s)
			checkAlerts(t, s)
		})
	}
	if got, err := servers["native"].Query("dmarcgate_milter_eom_duration_seconds_bucket"); err != nil || len(got) > 0 {
		t.Errorf("the Prometheus with native histograms has %d classic buckets, %v; want none, or it tests nothing", len(got), err)
	}
}

// checkBoard sends the queries of all variables, panels and annotations until each has data.
func checkBoard(t *testing.T, s *promtest.Server) {
	t.Helper()
	board := readBoard(t)
	fill := boardVariables(t, s, board)
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			var got []promtest.Sample
			daemontest.Eventually(t, fmt.Sprintf("data of the panel %q: %s", p.Title, target.Expr), func() bool {
				samples, err := s.Query(fill(target.Expr))
				if err != nil {
					t.Fatalf("the panel %q: %v", p.Title, err)
				}
				got = promtest.Numbers(samples)
				return len(got) > 0
			})
		}
		if p.Type == "row" || atRest[p.Title] != "" {
			continue
		}
		daemontest.Eventually(t, fmt.Sprintf("a number other than zero in the panel %q", p.Title), func() bool {
			return slices.ContainsFunc(p.Targets, func(target struct{ Expr string }) bool {
				got, err := s.Query(fill(target.Expr))
				return err == nil && slices.ContainsFunc(promtest.Numbers(got), func(s promtest.Sample) bool { return s.Value != 0 })
			})
		})
	}
	for _, a := range board.Annotations.List {
		if got, err := s.Query(fill(a.Expr)); err != nil || len(got) == 0 {
			t.Errorf("the annotation %s: %d series, %v; want some", a.Name, len(got), err)
		}
	}
}

// boardVariables asks for the values of the variables as Grafana does, and returns what
// puts all of them into a query.
func boardVariables(t *testing.T, s *promtest.Server, board boardJSON) func(string) string {
	t.Helper()
	pairs := []string{"$__rate_interval", "10s", "$__range", "1m"}
	query := regexp.MustCompile(`^label_values\((.*), (\w+)\)$`)
	for _, v := range board.Templating.List {
		m := query.FindStringSubmatch(v.Definition)
		if m == nil {
			continue // the data source
		}
		var values []string
		daemontest.Eventually(t, "values of the variable "+v.Name, func() bool {
			var err error
			if values, err = s.LabelValues(m[2], strings.NewReplacer(pairs...).Replace(m[1])); err != nil {
				t.Fatalf("the variable %s: %v", v.Name, err)
			}
			return len(values) > 0
		})
		pairs = append(pairs, "$"+v.Name, "("+strings.Join(values, "|")+")")
	}
	if want := "(conformant|monitor|strict)"; pairs[len(pairs)-1] != want {
		t.Errorf("the variable listener has the values %s; want %s", pairs[len(pairs)-1], want)
	}
	return strings.NewReplacer(pairs...).Replace
}

// checkAlerts sends what the alerts select: a metric, a label or a value that the daemon
// does not have would keep an alert from ever firing.
func checkAlerts(t *testing.T, s *promtest.Server) {
	t.Helper()
	text, err := os.ReadFile("../../deploy/prometheus/dmarcgate.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, sel := range regexp.MustCompile(`\b[a-z:]*dmarcgate_[\w:]+(\{[^}]*\})?`).FindAllString(string(text), -1) {
		if strings.Contains(sel, "_duration_seconds") && !strings.Contains(sel, ":") {
			continue // a Prometheus has one of the two kinds of histograms; the recording reads either
		}
		n++
		daemontest.Eventually(t, "series of the alerts: "+sel, func() bool {
			got, err := s.Query(sel)
			if err != nil {
				t.Fatal(err)
			}
			return len(promtest.Numbers(got)) > 0
		})
	}
	if n < 30 {
		t.Errorf("the alerts have %d selections; want all", n)
	}
	alerts, err := s.Alerts()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range alerts {
		if a.State == "firing" {
			t.Errorf("%v fires; the daemon is well", a.Labels)
		}
	}
}
