package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/explain"
	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/miltertest"
	"dmarcgate/internal/scale"
	"dmarcgate/policy"
	"dmarcgate/results"
)

// mixShare is how many messages of a mix are explained: 30, and 300 at
// DMARCGATE_SCALE 50.
func mixShare(t *testing.T) int { return min(300, 30*scale.Of(t)) }

// mixRules are the rules of what-if's mix, with their maps written out, and
// some about what explain has to be told.
func mixRules(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	for _, name := range []string{"relaxing.toml", "reports.toml", "tightening.toml", "watching.toml"} {
		text, err := os.ReadFile(filepath.Join("testdata/whatif", name))
		if err != nil {
			t.Fatal(err)
		}
		out.Write(text)
	}
	maps := map[string]string{
		"abused": `"none.example", "bare.example"`, "forwarders": `"forwarder.example", "alumni.example"`,
		"networks": `"198.51.100.128/25", "2001:db8:17::/64"`, "sealers": `"sealer.example"`,
	}
	text := regexp.MustCompile(`"map:maps/([a-z]+)\.txt"`).ReplaceAllStringFunc(strings.ReplaceAll(out.String(), `"edge"`, `"mta"`), func(s string) string {
		return maps[strings.TrimSuffix(strings.TrimPrefix(s, `"map:maps/`), `.txt"`)]
	})
	quarantines := func(id, match string) string {
		return strings.NewReplacer(`"accept"`, `"quarantine"`, `"mailing_list"`, `"local_policy"`).Replace(toldRule(id, "priority = 600\n", match))
	}
	hour := time.Now().UTC().Hour()
	return text + quarantines("encrypted", "tls = true\nspf_pass = [\"bulk.stranger.example\"]\nauthor = [\"org:parent.example\", \"reject.example\"]") +
		quarantines("one-partner", "rcpt_domain = [\"partner.example\"]\nauthor = [\"quarantine.example\", \"half.example\", \"strict.example\"]\nspf_pass = [\"forwarder.example\"]") +
		quarantines("now", fmt.Sprintf("time = [\"%02d:00-%02d:00\"]\nspf_pass = [\"bulk.stranger.example\"]\nauthor = [\"malformed.example\", \"strict.example\"]\nresult = [\"fail\", \"permerror\"]", hour, (hour+2)%24)) +
		quarantines("later", fmt.Sprintf("time = [\"%02d:00-%02d:00\"]\nspf_pass = [\"bulk.stranger.example\"]", (hour+6)%24, (hour+7)%24))
}

// mixTables are settings of the daemon that explains its mix.
const mixTables = `[conformant]
trusted_sealers = ["sealer.example"]
forwarder_networks = ["198.51.100.64/27"]
`

// mixedRow is a message of a mix, and what a daemon recorded of it.
type mixedRow struct {
	mixedMail
	row results.Row
	cfg string // of the daemon
}

// mixedRows sends a mix to three daemons, which all have the same rules and
// know one sender from before.
func mixedRows(t *testing.T, n int) []mixedRow {
	t.Helper()
	const mixed, step = 1000, 31 // so that few messages are of every kind and every domain
	m := newMix(t, mixed)
	dns := dnstest.New(t, m.zone())
	var all []mixedRow
	for k, c := range []daemontest.Config{
		{}, {Profile: "conformant", Quarantine: "hold"},
		{Quarantine: "reject", TCP: "enforce_share = 0.5\n"},
	} {
		c.Trusted, c.Extra, c.Rules = "192.0.2.250", mixTables, mixRules(t)
		d, _ := startDaemon(t, dns.Addr(), c)
		addMixHistory(d)
		addr := d.Listeners()[0].Addr()
		client, err := miltertest.Dial(addr, miltertest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		for i := k; i < n; i += 3 {
			mail := m.mails[i*step%mixed]
			mail.QueueID = fmt.Sprintf("4Xmix%d", i)
			if i/2%2 == 0 {
				mail.TLS = explain.SomeTLS
			}
			if _, err := client.Send(mail.Mail); err != nil {
				t.Fatal(err)
			}
			rows, err := d.Store().ByQueueID(context.Background(), mail.QueueID)
			if err != nil || len(rows) != 1 {
				t.Fatalf("rows of %s = %d, %v; want one", mail.QueueID, len(rows), err)
			}
			all = append(all, mixedRow{mail, rows[0], d.path})
		}
	}
	return all
}

// addMixHistory makes a sender known as one that always signs.
func addMixHistory(d *served) {
	verdict := dmarc.Verdict{Status: dmarc.Pass, AlignedDKIM: true}
	for i := range policy.HistoryMessages + 10 {
		d.Store().Add(results.Row{Facts: policy.Facts{
			Time: time.Now(), QueueID: fmt.Sprint("4Xold", i), FromField: policy.FromOneMailbox, Authors: []policy.Author{{Domain: mixKnown, Org: mixKnown, Verdict: verdict}},
		}})
	}
}

// untold is how many of explainArgs are without what explain need not be told,
// which comes last.
const untold = 11

// explainArgs are the arguments that tell explain all that the MTA told.
func (r mixedRow) explainArgs(t *testing.T) []string {
	tls := "no"
	if r.TLS != "" {
		tls = "yes"
	}
	args := []string{
		"explain", write(t, "m.eml", string(r.Message)), "-c", r.cfg, "--no-daemon", "--client", r.Client.String(), "--helo", r.Helo, "--mail-from", "<" + r.From + ">",
		"--client-name", r.ClientName, "--tls", tls, "--auth", r.Auth,
	}
	for _, rcpt := range r.Rcpts {
		args = append(args, "--rcpt", rcpt)
	}
	return args
}

// parts are the parts of a decision that a replay has to come to.
func parts(d policy.Decision) string {
	var shadow strings.Builder
	for _, s := range d.Shadow {
		fmt.Fprintf(&shadow, "%s %s, ", s.Rule, s.Action)
	}
	text, err := json.Marshal([]any{d.Action, d.Disposition, d.Reason, d.Evidence, d.Rule, d.Unreported, d.Also, shadow.String()})
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// saysWhy are the comments by which a bundle says that it replays to another
// decision than that of the daemon.
var saysWhy = regexp.MustCompile(`(?m)^; (the (action|disposition|reason|evidence|rule|list)\b.* was .* is .* here|.*the daemon may have decided otherwise, because .*|the decision depends on a draw.*)$`)

// A bundle of a message that a daemon has decided about replays to the decision
// of that daemon, or says why it does not.
func TestExplainBundleReplaysDecisionOfDaemon(t *testing.T) {
	same, told := 0, 0
	for i, r := range mixedRows(t, mixShare(t)) {
		all := r.explainArgs(t)
		runs := [][]string{append(slices.Clone(all), "--bundle", "-")}
		if i%4 == 0 { // each takes a daemon
			runs = append(runs, append(slices.Clone(all), "--bundle", "-", "--no-redact"))
		}
		if i%4 == 1 {
			runs = append(runs, append(slices.Clone(all[:untold]), "--bundle", "-"))
		}
		for _, args := range runs {
			text, got := replayed(t, args)
			switch because := saysWhy.FindAllString(text, -1); {
			case parts(got) == parts(r.row.Decision):
				same++
			case len(because) > 0:
				told++
			default:
				t.Errorf("%s (%s), %q: the replay decides\n%s\nthe daemon has decided\n%s\nbecause %s, and the bundle says nothing of it:\n%s",
					r.QueueID, r.kind, args, parts(got), parts(r.row.Decision), r.row.Decision.Why, text)
			}
			if !slices.Contains(args, "--no-redact") {
				checkRedacted(t, text)
			}
		}
	}
	t.Logf("of %d replays %d come to the same decision, %d say why not", same+told, same, told)
	if same < told {
		t.Errorf("of %d replays %d come to the same decision; want most of them", same+told, same)
	}
}

// replayed makes a bundle and sends it through a daemon.
func replayed(t *testing.T, args []string) (bundle string, d policy.Decision) {
	t.Helper()
	code, text, stderr := command(args...)
	if code != 0 {
		t.Fatalf("explain = %d, %s", code, stderr)
	}
	return text, readCase(t, write(t, "bundle.txt", text)).play(t).row.Decision
}

func checkRedacted(t *testing.T, text string) {
	t.Helper()
	for _, private := range []string{"someone", "Hello ", "Subject: message", "mix.example", "friends.lists"} {
		if strings.Contains(text, private) {
			t.Errorf("a redacted bundle has %q:\n%s", private, text)
		}
	}
}

// explain --qid names every rule that had a part in the decision, and --rule
// agrees with each.
func TestExplainQIDNamesAllRules(t *testing.T) {
	named := 0
	for _, r := range mixedRows(t, mixShare(t)) {
		code, out, stderr := command("explain", "--qid", r.QueueID, "-c", r.cfg)
		if code != 0 {
			t.Fatalf("explain --qid = %d, %s", code, stderr)
		}
		d := r.row.Decision
		var want []string
		if d.Rule != "" {
			want = append(want, "─ rule "+d.Rule+"\n")
		}
		if d.Unreported != "" {
			want = append(want, "─ rule "+d.Unreported+" keeps the message out of reports")
		}
		if len(d.Also) > 0 {
			want = append(want, "also matched: "+strings.Join(d.Also, ", "))
		}
		for _, s := range d.Shadow {
			want = append(want, "in shadow, rule "+s.Rule+" would have answered "+s.Action.String())
		}
		for _, w := range want {
			named++
			if !strings.Contains(out, w) {
				t.Errorf("explain --qid %s prints\n%s\nwant %q in it", r.QueueID, out, w)
			}
		}
		r.checkRules(t)
	}
	if named == 0 {
		t.Error("no rule had a part in any decision")
	}
}

// checkRules asks about two rules of those that had a part, and one that had
// none.
func (r mixedRow) checkRules(t *testing.T) {
	t.Helper()
	d := r.row.Decision
	parts := append([]string{d.Rule, d.Unreported}, d.Also...)
	for _, s := range d.Shadow {
		parts = append(parts, s.Rule)
	}
	for _, id := range []string{"lists", "watch-everybody", "robots", "encrypted", "one-partner"} {
		code, out, stderr := command("explain", "--qid", r.QueueID, "-c", r.cfg, "--rule", id)
		if code != 0 {
			t.Fatalf("explain --qid --rule = %d, %s", code, stderr)
		}
		if got, want := strings.Contains(out, ": matches\n"), slices.Contains(parts, id); got != want {
			t.Errorf("explain --qid %s --rule %s prints\n%s\nwant matches: %v", r.QueueID, id, out, want)
		}
	}
}
