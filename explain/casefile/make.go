package casefile

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"dmarcgate/config"
	"dmarcgate/config/rulefile"
	"dmarcgate/dnscache"
	"dmarcgate/milter"
	"dmarcgate/policy"
	"dmarcgate/policy/sampling"
	"dmarcgate/site"
	"dmarcgate/term"
)

// What a case does not say: our name and the queue id.
const (
	caseID  = "mx.receiver.example"
	caseQID = "4XyZ1"

	caseListener = "mta"
	caseTrusted  = "192.0.2.255" // network of hosts of ours
)

// caseConfig is the configuration that cases run with.
const caseConfig = `authserv_id = "` + caseID + `"
state_dir = "/nonexistent"
%s
[[listener]]
name = "` + caseListener + `"
address = "unix:/nonexistent/milter.sock"
profile = %q
quarantine = %q
trusted_networks = [%q]
%s`

// failTimeout is how long a case waits for servers that do not answer; the
// others wait as all cases do.
const failTimeout = "500ms"

// Outcome is what became of a message.
type Outcome struct {
	Facts    policy.Facts
	Decision policy.Decision
	Reply    string // to the MTA
}

// Source is what a case is made of.
type Source struct {
	Config   *config.Config
	Listener config.Listener // that took the message
	Rules    []policy.Rule
	Letter   Letter
	Outcome  Outcome
	Lookups  []dnscache.Lookup // what was looked up for it
	NotTold  []string          // what only the MTA knew, and may have mattered
	Redact   bool              // take out what is private

	// Play takes a message along the path of the daemon, with the settings of a case
	// and with these answers as all that is in the DNS. It returns what came of it, and
	// what was queried, each as "TXT example.com".
	Play func(in site.Site, m Letter, answers []dnscache.Lookup) (y Outcome, queried []string)
}

// draft is a case before it is text.
type draft struct {
	*Source
	config, rules string // TOML
	profile       string
	quarantine    string
	trusted       string // network, when the message is of one
	letter        Letter
	answers       []dnscache.Lookup
	notes         []string
}

// Make writes the case file of a message.
func Make(s Source) (string, error) {
	l, m, x, redact := s.Listener, s.Letter, s.Outcome, s.Redact
	r := &draft{Source: &s, config: settings(s.Config, m), profile: l.Profile.String(), quarantine: l.Quarantine.String(), letter: m, answers: s.Lookups}
	if sampling.DrawFrom(x.Facts.Seed, "ramp") < 100-l.EnforceShare && x.Facts.Seed != 0 {
		r.profile = policy.Monitor.String() // by a draw that hangs on our secret
	}
	if x.Facts.Skip == policy.TrustedNetwork {
		r.trusted = netip.PrefixFrom(x.Facts.Client, x.Facts.Client.BitLen()).String()
	}
	var cut bool
	if r.rules, cut = rules(s.Rules, l.Name, x, redact); cut {
		r.note("of maps, only the items that are about this message are here")
	}
	if r.trusted == "" && x.Facts.Client == netip.MustParseAddr(caseTrusted) {
		r.trusted = "192.0.2.254" // what a case trusts by default is this client
	}
	if redact {
		r.letter = (&redactor{}).letter(m, x.Facts)
		r.note("redacted: signatures over what was replaced no longer verify")
	}
	for _, what := range s.NotTold {
		r.note("the daemon may have decided otherwise, because explain was not told this: " + what)
	}
	if s.Config.Discovery.PSLFile != "" {
		r.note("made with the suffix list of a file, which is not here")
	}
	y, questions, err := r.play()
	if err == nil && redact { // names that SPF made of a local part were not queried again, and must not be told
		r.answers = slices.DeleteFunc(slices.Clone(r.answers), func(a dnscache.Lookup) bool { return !slices.Contains(questions, question(a)) })
		y, _, err = r.play()
	}
	if err != nil {
		return "", err
	}
	for _, d := range differences(x, y) {
		r.note(d)
	}
	if drawsOpen(y.Facts, s.Config.Discovery.Pct != "ignore") {
		r.note("the decision depends on a draw for pct, which is another each time that the case is run")
	}
	return r.text(y, s.Config.Discovery.Pct != "ignore")
}

func (r *draft) note(text string) { r.notes = append(r.notes, text) }

// play takes the message along the path with the settings and the DNS of the
// case, as the runner of cases does.
func (r *draft) play() (y Outcome, questions []string, err error) {
	in, err := r.inputs()
	if err != nil {
		return Outcome{}, nil, fmt.Errorf("playing it: %w", err)
	}
	env := *r.letter.Env
	env.QueueID = caseQID
	if len(env.Rcpts) == 0 {
		env.Rcpts = []string{DefaultRcpt}
	}
	y, questions = r.Play(in, Letter{&env, r.letter.Header, r.letter.Body}, r.answers)
	return y, questions, nil
}

// inputs reads the settings of the case.
func (r *draft) inputs() (site.Site, error) {
	trusted := cmp.Or(r.trusted, caseTrusted)
	top, tables := r.config, ""
	if i := strings.Index("\n"+r.config, "\n["); i >= 0 {
		top, tables = r.config[:i], r.config[i:]
	}
	cfg, err := config.Parse("bundle", fmt.Appendf(nil, caseConfig, top, r.profile, r.quarantine, trusted, tables))
	if err != nil {
		return site.Site{}, err
	}
	in, err := site.With(cfg, site.AllParts|site.CopiedRules)
	if err != nil {
		return site.Site{}, err
	}
	rules, err := rulefile.Parse("bundle", []byte(r.rules))
	if err != nil {
		return site.Site{}, err
	}
	in.Rules, err = policy.NewRules(rules)
	return in, err
}

// text writes the file.
func (r *draft) text(y Outcome, drawn bool) (string, error) {
	var comments strings.Builder
	for _, n := range r.notes {
		fmt.Fprintf(&comments, "; %s\n", term.Printable(n))
	}
	c := &Case{
		Proves:   term.Bounded("From "+term.OrNone(caseAuthors(y.Facts))+": "+y.Decision.Action.String()+", as explained by dmarcgate explain --bundle", 190) + ".",
		Envelope: r.envelope(),
		Sections: map[string]string{
			"config": r.config, "rules": r.rules, "zone": comments.String() + zone(r.answers), "message": r.message(), "want": want(y, drawn),
		},
	}
	return c.Text()
}

func caseAuthors(f policy.Facts) string {
	var names []string
	for _, a := range f.Authors {
		names = append(names, a.Domain)
	}
	return strings.Join(names, ", ")
}

func (r *draft) envelope() map[string][]string {
	env := r.letter.Env
	lines := map[string][]string{
		"client": {clientWord(env)}, "helo": {env.Helo}, "mail_from": {"<" + env.MailFrom + ">"}, "profile": {r.profile}, "quarantine": {r.quarantine},
	}
	for _, rcpt := range env.Rcpts {
		lines["recipient"] = append(lines["recipient"], "<"+rcpt+">")
	}
	if env.ClientName != "" {
		lines["name"] = []string{env.ClientName}
	}
	if env.TLS != "" {
		lines["tls"] = []string{"yes"}
	}
	if env.Authenticated != "" {
		lines["auth"] = []string{env.Authenticated}
	}
	if r.trusted != "" {
		lines["trusted"] = []string{r.trusted}
	}
	if silent(r.answers) {
		lines["dns-timeout"] = []string{failTimeout}
	}
	return lines
}

func clientWord(env *milter.Envelope) string {
	if !env.Client.IsValid() {
		return "none"
	}
	return env.Client.String()
}

// message has the line ends of a file.
func (r *draft) message() string {
	var b strings.Builder
	for _, f := range r.letter.Header {
		b.Write(f)
	}
	b.WriteString("\r\n")
	b.Write(r.letter.Body)
	return strings.ReplaceAll(b.String(), "\r\n", "\n")
}
