package explain

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"dmarcgate/auth/authres"
	"dmarcgate/auth/dmarc"
	"dmarcgate/config"
	"dmarcgate/config/rulefile"
	"dmarcgate/config/tomlfile"
	"dmarcgate/dnscache"
	"dmarcgate/message"
	"dmarcgate/milter"
	"dmarcgate/policy"
	"dmarcgate/site"
	"dmarcgate/term"
)

// A bundle is a case file (docs/testing.md): whoever has it sees what we saw,
// without our DNS, and it can be put beside the other cases as it is. What it
// wants is not what was decided here but what comes of the file itself, which
// is played before it is given away.

// CaseRcpt is the recipient of a case that names none.
const CaseRcpt = "user@receiver.example"

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

// draft is a bundle before it is text.
type draft struct {
	config, rules string // TOML
	profile       string
	quarantine    string
	trusted       string // network, when the message is of one
	letter        Letter
	answers       []asked
	notes         []string
}

// bundle writes the case file of a message that was explained.
func bundle(in site.Site, l config.Listener, m Letter, x *Explanation, redact bool) (string, error) {
	r := &draft{config: caseSettings(in.Config, m), profile: l.Profile.String(), quarantine: l.Quarantine.String(), letter: m, answers: x.Lookups}
	if policy.DrawFrom(x.Facts.Seed, "ramp") < 100-l.EnforceShare && x.Facts.Seed != 0 {
		r.profile = policy.Monitor.String() // by a draw that hangs on our secret
	}
	if x.Facts.Skip == policy.TrustedNetwork {
		r.trusted = netip.PrefixFrom(x.Facts.Client, x.Facts.Client.BitLen()).String()
	}
	var cut bool
	if r.rules, cut = caseRules(in.Rules.List(), l.Name, x, redact); cut {
		r.note("of maps, only the items that are about this message are here")
	}
	if r.trusted == "" && x.Facts.Client == netip.MustParseAddr(caseTrusted) {
		r.trusted = "192.0.2.254" // what a case trusts by default is this client
	}
	if redact {
		r.letter = (&redactor{}).letter(m, x.Facts)
		r.note("redacted: signatures over what was replaced no longer verify")
	}
	for _, n := range x.NotTold {
		if n.Matters {
			r.note("the daemon may have decided otherwise, because explain was not told this: " + n.What)
		}
	}
	if in.Config.Discovery.PSLFile != "" {
		r.note("made with the suffix list of a file, which is not here")
	}
	y, questions, err := r.play()
	if err == nil && redact { // names that SPF made of a local part were not asked again, and must not be told
		r.answers = slices.DeleteFunc(slices.Clone(r.answers), func(a asked) bool { return !slices.Contains(questions, a.question()) })
		y, _, err = r.play()
	}
	if err != nil {
		return "", err
	}
	for _, d := range differences(x, y) {
		r.note(d)
	}
	if drawsOpen(y.Facts, in.Config.Discovery.Pct != "ignore") {
		r.note("the decision depends on a draw for pct, which is another each time that the case is run")
	}
	return r.text(y, in.Config.Discovery.Pct != "ignore")
}

func (r *draft) note(text string) { r.notes = append(r.notes, text) }

// play takes the message along the path with the settings and the DNS of the
// case, as the runner of cases does.
func (r *draft) play() (y *Explanation, questions []string, err error) {
	in, err := r.inputs()
	if err != nil {
		return nil, nil, fmt.Errorf("playing it: %w", err)
	}
	p := &playback{log: &dnsLog{list: r.answers}}
	l := in.Config.Listeners[0]
	now := in.Snapshot(l, policy.NewSampler(nil), func(dnscache.Purpose) dnscache.View { return dnscache.View{} })
	now.Checker.SPF, now.Checker.DKIM, now.Checker.Finder.Resolver = playedDNS{playback: p}, playedDNS{playback: p}, playedDNS{playback: p}
	now.Checker.Memory, now.Checker.Charge, now.Checker.Other = nil, nil, nil
	env := *r.letter.Env
	env.QueueID = caseQID
	if len(env.Rcpts) == 0 {
		env.Rcpts = []string{CaseRcpt}
	}
	y = Passage(l, site.MilterLimits(in.Config), now, Letter{&env, r.letter.Header, r.letter.Body}, nil)
	return y, p.questions(), nil
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
	in, err := site.With(cfg, site.AllParts)
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
func (r *draft) text(y *Explanation, drawn bool) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s.\n\n", term.Bounded("From "+term.OrNone(caseAuthors(y.Facts))+": "+y.Decision.Action.String()+", as explained by dmarcgate explain --bundle", 190))
	var comments strings.Builder
	for _, n := range r.notes {
		fmt.Fprintf(&comments, "; %s\n", term.Printable(n))
	}
	for _, s := range []struct{ name, text string }{
		{"config", r.config}, {"rules", r.rules}, {"envelope", r.envelope()}, {"zone", comments.String() + r.zone()},
		{"message", r.message()}, {"want", caseWant(y, drawn)},
	} {
		if s.text == "" {
			continue
		}
		if err := section(&b, s.name, s.text); err != nil {
			return "", err
		}
	}
	return b.String(), nil
}

func caseAuthors(f policy.Facts) string {
	var names []string
	for _, a := range f.Authors {
		names = append(names, a.Domain)
	}
	return strings.Join(names, ", ")
}

func (r *draft) envelope() string {
	env := r.letter.Env
	var b strings.Builder
	fmt.Fprintf(&b, "client %s\nhelo %s\nmail <%s>\nprofile %s\nquarantine %s\n", clientWord(env), env.Helo, env.MailFrom, r.profile, r.quarantine)
	for _, rcpt := range env.Rcpts {
		fmt.Fprintf(&b, "recipient <%s>\n", rcpt)
	}
	if env.ClientName != "" {
		fmt.Fprintf(&b, "name %s\n", env.ClientName)
	}
	if env.TLS != "" {
		b.WriteString("tls yes\n")
	}
	if env.Authenticated != "" {
		fmt.Fprintf(&b, "auth %s\n", env.Authenticated)
	}
	if r.trusted != "" {
		fmt.Fprintf(&b, "trusted %s\n", r.trusted)
	}
	if r.silent() {
		fmt.Fprintf(&b, "dns-timeout %s\n", failTimeout)
	}
	return b.String()
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

// What a case file cannot hold as it is: its own placeholders, and lines that
// look like the title of a section.
var (
	casePlaceholder = regexp.MustCompile(`\{(now[^{}]*|key:[^{}]*|[^{}*]+\*\d+)\}`)
	caseTitle       = regexp.MustCompile(`(?m)^-- \S+( escaped)? --$`)
	unprintable     = regexp.MustCompile(`[^\t\n -~]`)
)

// section writes one, with escapes where the text needs them.
func section(b *strings.Builder, name, text string) error {
	if found := casePlaceholder.FindString(text); found != "" {
		return fmt.Errorf("the %s has %q, which a case file would replace", name, term.Printable(found))
	}
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	if !unprintable.MatchString(text) && !caseTitle.MatchString(text) {
		fmt.Fprintf(b, "-- %s --\n%s", name, text)
		return nil
	}
	fmt.Fprintf(b, "-- %s escaped --\n", name)
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if caseTitle.MatchString(line) {
			b.WriteString(`\x2d`)
			line = line[1:]
		}
		for i := range len(line) {
			switch c := line[i]; {
			case c == '\\':
				b.WriteString(`\\`)
			case c < ' ' && c != '\t' || c > '~':
				fmt.Fprintf(b, `\x%02x`, c)
			default:
				b.WriteByte(c)
			}
		}
		b.WriteByte('\n')
	}
	return nil
}

// zone writes the answers as zone text with directives for the failures.
func (r *draft) zone() string {
	var b strings.Builder
	b.WriteString("!any\n")
	var list []asked
	for _, a := range r.answers {
		if a.Outcome != "" && !a.dropped() && !slices.ContainsFunc(list, func(o asked) bool { return o.question() == a.question() }) {
			list = append(list, a)
		}
	}
	if len(list) > 0 && !slices.ContainsFunc(list, func(a asked) bool { return !ours(a.Err) }) {
		b.WriteString("!down\n")
		return b.String()
	}
	slices.SortStableFunc(list, func(a, b asked) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Type, b.Type))
	})
	for _, a := range list {
		switch {
		case a.Err != nil:
			fmt.Fprintf(&b, "!%s %s %s\n", failureWord(a.Err), term.ZoneName(a.Name), a.Type)
		case a.NXDomain:
		case len(a.Records) == 0:
			if !slices.ContainsFunc(list, func(o asked) bool { return o.Name == a.Name && len(o.Records) > 0 }) {
				fmt.Fprintf(&b, "%s HINFO \"-\" \"-\"\n", term.ZoneName(a.Name)) // it exists
			}
		default:
			zoneRecords(&b, a)
		}
	}
	return b.String()
}

var withoutAnswer = regexp.MustCompile(`(?m)^!(down|drop|broken)\b`)

// silent reports whether a server leaves queries of the case without an answer.
func (r *draft) silent() bool {
	return withoutAnswer.MatchString(r.zone())
}

func ours(err error) bool {
	var blamed interface{ Ours() bool }
	return errors.As(err, &blamed) && blamed.Ours()
}

// wants collects the lines of a want section.
type wants struct{ strings.Builder }

func (w *wants) line(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }

// caseWant says what must come of the case. What hangs on a draw under a
// secret that is not in it is left out.
func caseWant(y *Explanation, drawn bool) string {
	w, f := &wants{}, y.Facts
	if f.Skip != policy.Evaluated {
		w.line("skip %s", f.Skip)
		w.line("action %s", y.Decision.Action)
		return w.String()
	}
	open := drawsOpen(f, drawn)
	if f.UnknownClient != policy.ClientKnown {
		w.line("unknown_client %s", f.UnknownClient)
	} else {
		w.line("client %s", f.Client)
	}
	w.line("from %s", f.From)
	w.mechanisms(f)
	for i, a := range f.Authors {
		text := fmt.Sprintf("dmarc=%s header.from=%s", a.Verdict.Status, a.Domain)
		if a.PolicyDomain != "" {
			text += " p=" + a.Verdict.Policy.String()
			if !open {
				text += " policy.dmarc=" + y.Decision.Effective[i].Applied.String()
			}
		}
		w.line("%s", text)
	}
	if !open {
		w.decision(y)
	}
	return w.String()
}

// drawsOpen reports whether a decision depends on a draw for pct, where pct
// counts.
func drawsOpen(f policy.Facts, counts bool) bool {
	return counts && slices.ContainsFunc(f.Authors, func(a policy.Author) bool {
		v := a.Verdict
		return v.Status == dmarc.Fail && v.Policy != dmarc.None && !v.Testing && v.Pct > 0 && v.Pct < 100
	})
}

func (w *wants) decision(y *Explanation) {
	d := y.Decision
	w.line("disposition %s", d.Disposition)
	w.line("action %s", d.Action)
	w.line("override %s", term.OrNone(string(d.Override)))
	w.line("rule %s", term.OrNone(d.Rule))
	if d.Unreported != "" {
		w.line("unreported %s", d.Unreported)
	}
	if len(d.Also) > 0 {
		w.line("also %s", strings.Join(d.Also, ", "))
	}
	if len(d.Shadow) > 0 {
		w.line("shadow %s", shadowWords(d.Shadow))
	}
	reply := strings.Fields(y.Reply)
	w.line("reply %s", strings.Join(reply[:min(len(reply), 2)], " "))
	if result := y.Facts.ARC.Result; result != "" && result != "not_checked" && len(reply) == 1 {
		w.line("results arc=%s", y.Facts.ARC.Result)
	}
}

// plainWord is what stands in a result as it is.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

func (w *wants) mechanisms(f policy.Facts) {
	identity := "smtp.mailfrom="
	if f.NullPath {
		identity = "smtp.helo="
	}
	text := "spf=" + f.SPF.Result
	if f.SPF.Domain != "" {
		text += " " + identity + f.SPF.Domain
	}
	w.line("%s", text)
	if len(f.DKIM) == 0 {
		w.line("dkim=none")
	}
	for _, s := range f.DKIM {
		text := "dkim=" + s.Result
		for _, p := range []struct{ name, value string }{{"d", s.Domain}, {"s", s.Selector}, {"a", s.Algorithm}} {
			if plainWord.MatchString(p.value) {
				text += " header." + p.name + "=" + p.value
			}
		}
		w.line("%s", text)
	}
}

// caseTables are the tables of the configuration that decide about mail.
var caseTables = []string{"DKIM", "ARC", "Discovery", "TempError", "From", "Conformant", "Header"}

// caseSettings writes what of a configuration matters to a message and is not
// the default.
func caseSettings(cfg *config.Config, m Letter) string {
	doc := map[string]any{}
	if ids := caseIDs(cfg, m); len(ids) > 0 {
		doc["authserv_ids_also"] = ids
	}
	standard := config.Default()
	have, usual := reflect.ValueOf(*cfg), reflect.ValueOf(standard)
	for _, name := range caseTables {
		if t := config.Changed(have.FieldByName(name), usual.FieldByName(name)); len(t) > 0 {
			doc[strings.ToLower(name)] = t
		}
	}
	limits := map[string]any{}
	if n := cfg.Limits.HeaderFields; n != standard.Limits.HeaderFields {
		limits["header_fields"] = n
	}
	if n := cfg.Limits.HeaderBytes; n != standard.Limits.HeaderBytes {
		limits["header_bytes"] = n.String()
	}
	if len(limits) > 0 {
		doc["limits"] = limits
	}
	var relays []map[string]any
	for _, r := range cfg.TrustedRelays {
		relay := map[string]any{"networks": term.Texts(r.Networks), "names": r.Names}
		if len(r.Inner) > 0 {
			relay["inner_networks"] = term.Texts(r.Inner)
		}
		relays = append(relays, relay)
	}
	if len(relays) > 0 {
		doc["trusted_relay"] = relays
	}
	return tomlfile.Write(doc)
}

// caseIDs returns the ids under which fields of a message are removed.
func caseIDs(cfg *config.Config, m Letter) []string {
	var ids []string
	for _, id := range slices.Concat(site.OwnIDs(cfg), site.ReadNames(cfg).IDs()) {
		if id != caseID && !slices.Contains(ids, id) && slices.ContainsFunc(m.Header, func(raw []byte) bool { return claims(message.NewField(raw), id) }) {
			ids = append(ids, id)
		}
	}
	return ids
}

// claims reports whether a field is Authentication-Results under an id.
func claims(f message.Field, id string) bool {
	return strings.EqualFold(f.Name, "Authentication-Results") && authres.Claims(f.Body(), []string{id}) && !authres.Claims(f.Body(), nil)
}
