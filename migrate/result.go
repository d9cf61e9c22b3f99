package migrate

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"dmarcgate/config"
	"dmarcgate/policy"
	"dmarcgate/policy/lint"
	"dmarcgate/policy/pattern"
	"dmarcgate/term"
)

// Remark says what becomes of a key.
type Remark struct {
	Warning bool   // the key means something else here, or is lost; else the key is not needed here
	File    string // of the other program
	Line    int    // 0 is the whole file: a key that is not written
	Key     string
	Text    string
}

// String is a remark on one line of printable text.
func (r Remark) String() string {
	level, place := "note", term.Printable(r.File)
	if r.Warning {
		level = "warning"
	}
	if r.Line > 0 {
		place += fmt.Sprintf(":%d", r.Line)
	}
	return fmt.Sprintf("%s: %s: %s: %s", level, place, term.Printable(r.Key), term.Printable(r.Text))
}

// Result is what a configuration becomes.
type Result struct {
	Rules   []policy.Rule
	Maps    map[string][]string // items of map files, by path below the directory of the rules
	Remarks []Remark

	from     string
	settings []setting
}

// setting is a key of dmarcgate.toml with its value in TOML.
type setting struct {
	table, key, value string
	from              place
}

// place is a key of the other program.
type place struct {
	file string
	line int
	key  string
}

// draft is a Result in the making.
type draft struct {
	in  Input
	out Result
}

func newDraft(in Input) *draft {
	return &draft{in: in, out: Result{from: in.Name, Maps: map[string][]string{}}}
}

// key is the place of a key that is not written.
func (d *draft) key(name string) place { return place{file: d.in.Name, key: name} }

func (d *draft) warn(p place, format string, args ...any) {
	d.out.Remarks = append(d.out.Remarks, Remark{true, p.file, p.line, p.key, fmt.Sprintf(format, args...)})
}

func (d *draft) note(p place, format string, args ...any) {
	d.out.Remarks = append(d.out.Remarks, Remark{false, p.file, p.line, p.key, fmt.Sprintf(format, args...)})
}

// set sets a key; a later value replaces an earlier one.
func (d *draft) set(p place, table, key, value string) {
	s := setting{table, key, value, p}
	i := slices.IndexFunc(d.out.settings, func(o setting) bool { return o.table == table && o.key == key })
	if i < 0 {
		d.out.settings = append(d.out.settings, s)
		return
	}
	d.out.settings[i] = s
}

func (d *draft) has(table, key string) bool {
	return slices.ContainsFunc(d.out.settings, func(o setting) bool { return o.table == table && o.key == key })
}

// trust sets trusted_networks, without those that let in too many.
func (d *draft) trust(p place, nets []netip.Prefix) {
	nets = slices.DeleteFunc(nets, func(n netip.Prefix) bool { return n.Addr().IsLoopback() })
	for _, f := range lint.CheckTrusted(nets) {
		if f.Level == policy.Error && f.Item < 0 {
			d.warn(p, "left out of trusted_networks: the list %s", f.Text)
			return
		}
	}
	kept := nets[:0:0]
	for i, n := range nets {
		bad := slices.IndexFunc(lint.CheckTrusted(nets[i:i+1]), func(f lint.TrustFinding) bool { return f.Level == policy.Error })
		if n.Bits() == 0 || bad >= 0 {
			d.warn(p, "left out of trusted_networks: %v is too wide, or others can send from there", n)
			continue
		}
		kept = append(kept, n)
	}
	if len(kept) > 0 {
		d.set(p, "listener", "trusted_networks", quoteNetworks(kept))
	}
}

// mapAbove is how many domains a rule names itself; more stand in a map file.
const mapAbove = 20

// domains are the items of a rule, in a map when they are many.
func (d *draft) domains(id string, list []pattern.Domain) []pattern.Domain {
	if len(list) <= mapAbove {
		return list
	}
	path := "maps/" + id + ".txt"
	d.out.Maps[path] = term.Texts(list)
	return []pattern.Domain{pattern.NewDomainMap(path, list).Pattern()}
}

// dated fills in what every rule of an import has.
func (d *draft) dated(p place, r policy.Rule) policy.Rule {
	r.Owner, r.Mode, r.Priority = "postmaster", policy.Enforce, 100
	r.Created = d.in.Now.UTC().Truncate(24 * time.Hour)
	r.Comment = term.ASCII(term.Bounded(fmt.Sprintf("from %s of %s", p.key, p.file), 200))
	if r.Action == policy.RuleAccept {
		r.Expires = r.Created.AddDate(0, 0, ruleDays)
	}
	return r
}

// unused is an id that no rule has: a key of another program may stand in two places.
func (d *draft) unused(id string) string {
	for n := 2; slices.ContainsFunc(d.out.Rules, func(r policy.Rule) bool { return r.ID == id }); n++ {
		id = fmt.Sprintf("%s-%d", strings.TrimRight(id, "-0123456789"), n)
	}
	return id
}

// refused is what rules lint calls an error in a rule.
func (d *draft) refused(r policy.Rule) (policy.Finding, bool) {
	for _, f := range lint.Rules([]policy.Rule{r}, lint.Options{Now: d.in.Now, ReportsOf: "rfc9990"}) {
		if f.Level == policy.Error {
			return f, true
		}
	}
	return policy.Finding{}, false
}

// rule adds a rule, unless rules lint refuses it, and reports whether it did.
func (d *draft) rule(p place, r policy.Rule) bool {
	r = d.dated(p, r)
	r.ID = d.unused(r.ID)
	if f, refused := d.refused(r); refused {
		d.warn(p, "no rule is written, because rules lint refuses it: %s: %s", f.Key, f.Text)
		for _, path := range mapsOf(r) {
			delete(d.out.Maps, path)
		}
		return false
	}
	d.out.Rules = append(d.out.Rules, r)
	end := "never expires"
	if !r.Expires.IsZero() {
		end = "expires on " + policy.Moment(r.Expires)
	}
	d.note(p, "becomes the rule %s, which %s: see docs/rules.md", r.ID, end)
	return true
}

// mostTried is how many domains are tried one by one when a rule with all is refused.
const mostTried = 200

// anchored adds a rule that accepts mail by a list of domains, which match puts into the
// rule. Domains for which rules lint refuses the rule are left out.
func (d *draft) anchored(p place, id string, reason policy.Reason, list []pattern.Domain, match func([]pattern.Domain) policy.Match) bool {
	id = d.unused(id)
	r := d.dated(p, policy.Rule{ID: id, Action: policy.RuleAccept, Reason: reason})
	r.Match = match(list)
	if _, refused := d.refused(r); refused && len(list) <= mostTried {
		list = slices.DeleteFunc(slices.Clone(list), func(item pattern.Domain) bool {
			r.Match = match([]pattern.Domain{item})
			f, bad := d.refused(r)
			if bad {
				d.warn(p, "%s is left out, because rules lint refuses it: %s", item, f.Text)
			}
			return bad
		})
	}
	if len(list) == 0 {
		return false
	}
	r.Match = match(d.domains(id, list))
	return d.rule(p, r)
}

// mapsOf are the paths of the maps that a rule names.
func mapsOf(r policy.Rule) []string {
	var paths []string
	for _, k := range r.Match.Keys() {
		for _, p := range k.Domains {
			if m := p.Map(); m != nil {
				paths = append(paths, m.Name)
			}
		}
	}
	return paths
}

// sealers adds the rule for mail that trusted ARC sealers vouch for.
func (d *draft) sealers(p place, list []pattern.Domain) {
	d.anchored(p, "trusted-sealers", policy.TrustedForwarder, list, func(items []pattern.Domain) policy.Match { return policy.Match{ARCPass: items} })
}

// finish adds what a listener needs, and drops settings that check-config refuses. The
// remarks are put in the order of lines; those without a line are the last.
func (d *draft) finish() Result {
	d.complete()
	slices.SortStableFunc(d.out.Remarks, func(a, b Remark) int { return cmp.Compare(uint(a.Line-1), uint(b.Line-1)) })
	return d.out
}

func (d *draft) complete() {
	for _, s := range []setting{{key: "name", value: `"mta"`}, {key: "address", value: `"unix:/run/dmarcgate/milter.sock"`}, {key: "profile", value: `"monitor"`}} {
		if !d.has("listener", s.key) {
			d.set(place{}, "listener", s.key, s.value)
		}
	}
	for {
		text, lines := d.out.text("")
		_, err := config.Parse("dmarcgate.toml", []byte(text))
		broken, isBroken := err.(*config.Errors)
		if !isBroken {
			return
		}
		p := broken.Problems[0]
		i, known := lines[p.Line]
		if !known { // no line of ours is at fault
			d.warn(d.key(p.Key), "%s: %s", p.Text, p.Fix)
			return
		}
		s := d.out.settings[i]
		d.warn(s.from, "%s of dmarcgate.toml cannot have this value: %s: %s", s.key, p.Text, p.Fix)
		d.out.settings = slices.Delete(d.out.settings, i, i+1)
		if s.table == "listener" && s.key == "address" {
			d.set(place{}, "listener", "address", `"unix:/run/dmarcgate/milter.sock"`)
		}
	}
}

// Warnings returns how many remarks are warnings.
func (r Result) Warnings() int {
	n := 0
	for _, m := range r.Remarks {
		if m.Warning {
			n++
		}
	}
	return n
}

// comment makes comment lines of text.
func comment(text string) string {
	return "# " + strings.ReplaceAll(term.Printable(text), "\n", " ") + "\n"
}
